"""`get --watch`: what is there, then every change as it comes, until somebody ends it or --request-timeout does."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from apiserver.client import requests
from apiserver.client.requests import ListOptions

from ..cluster.api import TABLE
from ..cluster.selecting import Target
from ..failures import CommandError
from ..output import printers, tables
from .getting import Asked, as_table, layout_of

if TYPE_CHECKING:
    from ..cluster.session import Session


class Watching:
    def __init__(self, session: Session, asked: Asked, found: list[Target], printer: printers.Printer | None) -> None:
        if len({target.resource.kind for target in found}) != 1:
            raise CommandError("you may only specify a single resource type")
        if len(found) > 1:
            raise CommandError("watch is only supported on individual resources and resource collections")
        self._session = session
        self._asked = asked
        self._target = found[0]
        self._human = printer is None
        self._printer = printer
        self._accept = TABLE if self._human else requests.JSON
        layout = layout_of(asked, found[0].resource, several=False)
        self._table = tables.TablePrinter(layout)

    async def run(self) -> None:
        limit_s = self._session.timeout_s
        try:
            async with asyncio.timeout(limit_s or None):
                await self._follow(await self._begin())
        except TimeoutError:
            return

    async def _begin(self) -> str:
        """Print what is there; the place in the history to go on from."""
        target, asked = self._target, self._asked
        fields = f"metadata.name={target.name}" if target.name else asked.fields
        options = ListOptions(labels=asked.labels, fields=fields, limit=asked.chunk_size)
        version = "0"
        if target.name:
            await self._session.api.get(target.resource.kind, target.name, target.namespace)  # or NotFound is said
        pages = self._session.api.pages(target.resource.kind, target.namespace, options, accept=self._accept)
        async with aclosing(pages):
            async for page in pages:
                version = (page.get("metadata") or {}).get("resourceVersion", version)
                if not asked.watch_only:
                    self._show_page(page)
        return version

    async def _follow(self, version: str) -> None:
        target, asked = self._target, self._asked
        events = self._session.api.watch(
            target.resource.kind,
            target.namespace,
            labels=asked.labels,
            fields=f"metadata.name={target.name}" if target.name else asked.fields,
            resource_version=version,
            accept=self._accept,
        )
        async with aclosing(events):
            async for type_, obj in events:
                self._show(obj, type_)

    def _show_page(self, page: dict[str, Any]) -> None:
        if self._human:
            self._show(page, "ADDED")
            return
        kind = self._target.resource.kind
        for item in page.get("items") or []:
            self._show({"apiVersion": kind.api_version, "kind": kind.kind} | item, "ADDED")

    def _show(self, obj: dict[str, Any], event: str) -> None:
        if self._printer is None:
            self._table.add(as_table(obj), event)
            sys.stdout.write(self._table.flush())
        else:
            if not self._asked.show_managed_fields:
                obj = printers.without_managed_fields(obj)
            if self._asked.output_watch_events:
                obj = {"type": event, "object": obj}
            sys.stdout.write(self._printer.printed(obj) + self._printer.finish())
        sys.stdout.flush()
