"""The work of `get`: which form is asked for, one table after the other, sorting, watching."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.errors import ApiError
from apiserver.client import requests
from apiserver.client.requests import ListOptions, path_of

from ..cluster.api import TABLE
from ..cluster.selecting import Selection, Target, fetch, targets
from ..failures import CommandError, Several
from ..output import printers, tables

if TYPE_CHECKING:
    from ..cluster.discovery import Resource
    from ..cluster.session import Session

_LIST = {"apiVersion": "v1", "kind": "List"}


class Asked(msgspec.Struct, kw_only=True):
    """The options of `get`."""

    words: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()
    recursive: bool = False
    output: str = ""
    labels: str = ""
    fields: str = ""
    all_namespaces: bool = False
    watch: bool = False
    watch_only: bool = False
    output_watch_events: bool = False
    no_headers: bool = False
    show_labels: bool = False
    show_kind: bool = False
    show_managed_fields: bool = False
    ignore_not_found: bool = False
    server_print: bool = True
    allow_missing_template_keys: bool = True
    label_columns: tuple[str, ...] = ()
    sort_by: str = ""
    chunk_size: int = 500
    subresource: str = ""


class Getting:
    def __init__(self, session: Session, asked: Asked) -> None:
        self._session = session
        self._asked = asked
        self._selection = Selection(
            words=asked.words,
            files=asked.filenames,
            recursive=asked.recursive,
            labels=asked.labels,
            fields=asked.fields,
            all_namespaces=asked.all_namespaces,
        )
        self._printer_of_wholes: printers.Printer | None = None
        if not printers.is_human(asked.output):  # now: a wrong format is said before anything is asked
            self._printer_of_wholes = printers.printer_of(asked.output, headers=not asked.no_headers)

    async def run(self) -> None:
        found = await targets(self._session, self._selection, verb="get")
        if self._asked.watch or self._asked.watch_only:
            from .getting_watch import Watching

            await Watching(self._session, self._asked, found, self._printer_of_wholes).run()
        elif printers.is_human(self._asked.output) and self._asked.server_print:
            await self._tables(found)
        else:
            await self._whole(found)

    # --- tables ---------------------------------------------------------------------------------------

    async def _tables(self, found: list[Target]) -> None:
        errors: list[Exception] = []
        kinds = {target.resource.kind for target in found}
        printer: tables.TablePrinter | None = None
        shown: Resource | None = None
        rows = 0
        for target in found:
            try:
                pages = await self._pages(target)
            except ApiError as error:
                if not (self._asked.ignore_not_found and error.status_code == 404):
                    errors.append(error)
                continue
            if not any(page.get("rows") for page in pages):
                continue
            if printer is None or shown is not target.resource:
                self._end(printer, more=True)
                printer, shown = self._printer(target.resource, several=len(kinds) > 1), target.resource
            for page in pages:
                rows += len(page.get("rows") or [])
                printer.add(page)
        self._end(printer, more=False)
        if not rows and not errors and not self._asked.ignore_not_found:
            self._nothing(found)
        if errors:
            raise Several(errors, once=True)

    def _end(self, printer: tables.TablePrinter | None, *, more: bool) -> None:
        if printer is not None:
            sys.stdout.write(printer.flush() + ("\n" if more and not self._asked.no_headers else ""))

    def _nothing(self, found: list[Target]) -> None:
        namespaced = any(target.resource.namespaced for target in found) and not self._asked.all_namespaces
        where = f" in {self._session.namespace} namespace." if namespaced else ""
        self._session.tell(f"No resources found{where}")

    def _printer(self, resource: Resource, *, several: bool) -> tables.TablePrinter:
        return tables.TablePrinter(layout_of(self._asked, resource, several=several))

    async def _pages(self, target: Target) -> list[dict[str, Any]]:
        """The server's tables of one target, sorted when that is asked for."""
        sort_by = self._asked.sort_by
        more = "includeObject=Object" if sort_by else ""
        kind, namespace = target.resource.kind, target.namespace
        if target.name:
            request = requests.get(path_of(kind, namespace, target.name, self._asked.subresource), accept=TABLE)
            if more:
                request = msgspec.structs.replace(request, query=(("includeObject", "Object"),))
            return [as_table(await self._session.api.json(request))]
        options = ListOptions(labels=self._asked.labels, fields=self._asked.fields, limit=self._asked.chunk_size)
        async with aclosing(self._session.api.pages(kind, namespace, options, accept=TABLE, more=more)) as pages:
            found = [as_table(page) async for page in pages]
        if sort_by and found:
            found[0]["rows"] = [row for page in found for row in page.get("rows") or []]
            del found[1:]
            found[0]["rows"] = sorted_by(sort_by, found[0]["rows"], lambda row: row["object"])
        return found

    # --- whole objects --------------------------------------------------------------------------------

    async def _whole(self, found: list[Target]) -> None:
        errors: list[Exception] = []
        objects: list[dict[str, Any]] = []
        for target in found:
            try:
                objects += await self._objects(target)
            except ApiError as error:
                if not (self._asked.ignore_not_found and error.status_code == 404):
                    errors.append(error)
        if self._asked.sort_by:
            objects = sorted_by(self._asked.sort_by, objects, lambda obj: obj)
        self._print(found, objects, errors)
        if errors:
            raise Several(errors, once=True)

    async def _objects(self, target: Target) -> list[dict[str, Any]]:
        if target.name and self._asked.subresource:
            kind, namespace = target.resource.kind, target.namespace
            return [await self._session.api.get(kind, target.name, namespace, subresource=self._asked.subresource)]
        return [found.object for found in await fetch(self._session, target, self._selection)]

    def _print(self, found: list[Target], objects: list[dict[str, Any]], errors: list[Exception]) -> None:
        asked = self._asked
        printer = self._printer_of_wholes
        if printer is None:
            self._print_plainly(found, objects, errors)
            return
        if not asked.show_managed_fields:
            objects = [printers.without_managed_fields(obj) for obj in objects]
        one = len(objects) == 1 and len(found) == 1 and found[0].name
        if not one and len(objects) == 0 and (errors or asked.ignore_not_found) and all(t.name for t in found):
            return
        if asked.output == "name":
            sys.stdout.write("".join(map(printer.printed, objects)))
            return
        whole = objects[0] if one else {**_LIST, "metadata": {"resourceVersion": ""}, "items": objects}
        sys.stdout.write(printer.printed(whole) + printer.finish())

    def _print_plainly(self, found: list[Target], objects: list[dict[str, Any]], errors: list[Exception]) -> None:
        """--server-print=false: what this client knows by itself of any kind."""
        from ..output.ages import since

        if not objects:
            if not errors and not self._asked.ignore_not_found:
                self._nothing(found)
            return
        printer = self._printer(found[0].resource, several=len({each.resource.kind for each in found}) > 1)
        names = [{"name": "Name"}, {"name": "Age"}]
        rows = [
            {"cells": [obj["metadata"].get("name"), since(obj["metadata"].get("creationTimestamp"))], "object": obj}
            for obj in objects
        ]
        printer.add({"columnDefinitions": names, "rows": rows})
        sys.stdout.write(printer.flush())


def layout_of(asked: Asked, resource: Resource, *, several: bool) -> tables.Layout:
    return tables.Layout(
        wide=asked.output == "wide",
        headers=not asked.no_headers,
        namespaces=asked.all_namespaces and resource.namespaced,
        show_labels=asked.show_labels,
        label_columns=asked.label_columns,
        kind=resource.type_name if asked.show_kind or several else "",
        events=asked.output_watch_events,
    )


def as_table(found: dict[str, Any]) -> dict[str, Any]:
    """What a server answers that does not make tables: a name and an age."""
    if tables.is_table(found):
        return found
    from ..output.ages import since

    items = found.get("items")
    objects: list[dict[str, Any]] = items if isinstance(items, list) else [found]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": found.get("metadata") or {},
        "columnDefinitions": [{"name": "Name"}, {"name": "Age"}],
        "rows": [
            {"cells": [obj["metadata"].get("name"), since(obj["metadata"].get("creationTimestamp"))], "object": obj}
            for obj in objects
        ],
    }


def sorted_by(expression: str, rows: list[Any], object_of: Callable[[Any], Any]) -> list[Any]:
    """By the first value that a jsonpath expression finds; those without one come first. Stable.

    Raises CommandError when no object has such a field."""
    from functools import cmp_to_key

    from ..output.jsonpath import JsonPath, relaxed
    from ..output.ordering import compared

    try:
        path = JsonPath(relaxed(expression))
    except ValueError as error:
        raise CommandError(str(error)) from None
    keyed: list[tuple[Any, Any]] = [
        (next((value for found in path.values(object_of(row)) for value in found), None), row) for row in rows
    ]

    def in_order(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
        return compared(one[0], other[0])

    if rows and all(key is None for key, _ in keyed):
        raise CommandError(f'couldn\'t find any field with path "{relaxed(expression)}" in the list of objects')
    return [row for _, row in sorted(keyed, key=cmp_to_key(in_order))]
