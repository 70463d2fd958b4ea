"""`kminictl events`."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session
    from ..output.tabwriter import Columns


@click.command("events", cls=Verb)
@take.all_namespaces
@take.output
@click.option("--for", "about", default="", help="Only those of one object: TYPE/NAME.")
@click.option("--types", "wanted", default="", help="Normal, Warning, or both.")
@switch("-w", "--watch", help="Go on with new ones.")
@switch("--no-headers")
@click.option("--chunk-size", default=500, hidden=True)
@verb
async def events(
    session: Session,
    all_namespaces: bool,
    output: str,
    about: str,
    wanted: str,
    watch: bool,
    no_headers: bool,
    chunk_size: int,
) -> None:
    """List events, the newest last."""
    from ..describing.events import last_seen
    from ..output import printers
    from ..output.tabwriter import Columns

    types = {each.lower() for each in wanted.split(",") if each}
    for word in types - {"normal", "warning"}:
        raise CommandError(f"valid --types are Normal or Warning, not {word}")
    fields = await _fields(session, about)
    kind = (await session.catalogue()).find("events").kind
    namespace = None if all_namespaces else session.namespace
    found = await session.api.list_(kind, namespace, fields=fields, limit=chunk_size)
    found = [each for each in found if not types or str(each.get("type", "")).lower() in types]
    found.sort(key=last_seen)
    if output:
        printer = printers.printer_of(output)
        whole = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found}
        sys.stdout.write(printer.printed(whole) + printer.finish())
        return
    if not found and not watch:
        where = "." if all_namespaces else f" in {session.namespace} namespace."
        session.tell(f"No events found{where}")
        return
    columns = Columns()
    if not no_headers:
        headers = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
        columns.add(["NAMESPACE", *headers] if all_namespaces else headers)
    for each in found:
        _add(columns, each, all_namespaces=all_namespaces)
    sys.stdout.write(columns.flush())
    if watch:
        known = {(each["metadata"]["uid"], each["metadata"]["resourceVersion"]) for each in found}
        stream = session.api.watch(kind, namespace, fields=fields)
        async with aclosing(stream):
            async for type_, each in stream:
                mark = (each["metadata"]["uid"], each["metadata"]["resourceVersion"])
                fits = not types or str(each.get("type", "")).lower() in types
                if type_ != "DELETED" and mark not in known and fits:
                    _add(columns, each, all_namespaces=all_namespaces)
                    sys.stdout.write(columns.flush())
                    sys.stdout.flush()


async def _fields(session: Session, about: str) -> str:
    if not about:
        return ""
    type_, slash, name = about.partition("/")
    if not slash or not name:
        raise CommandError("--for must be in resource/name form")
    kind = (await session.catalogue()).find(type_).kind
    return f"involvedObject.kind={kind.kind},involvedObject.name={name}"


def _add(columns: Columns, event: dict[str, Any], *, all_namespaces: bool) -> None:
    from ..describing.events import interval

    about = event.get("involvedObject") or {}
    row = [
        interval(event),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '')}/{about.get('name', '')}",
        str(event.get("message", "")).strip(),
    ]
    columns.add([event["metadata"].get("namespace", ""), *row] if all_namespaces else row)
