"""`kminictl explain`: what the fields of a kind mean, by the server's own schemas."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from ..command import Verb, switch, verb
from ..failures import CommandError

if TYPE_CHECKING:
    from apiserver.api.kinds import Kind

    from ..cluster.openapi import Schema
    from ..cluster.session import Session

WIDTH = 76
DEPTH_MAX = 30


@click.command(
    "explain",
    cls=Verb,
    missing='You must specify the type of resource to explain. Use "kminictl api-resources" for a complete list of '
    "supported resources.",
)
@click.argument("path")
@switch("--recursive", help="All fields below, by name and type alone.")
@click.option("--api-version", default="", help="Group and version of the kind: apps/v1.")
@click.option("--output", default="plaintext", hidden=True)
@verb
async def explain(session: Session, path: str, recursive: bool, api_version: str, output: str) -> None:
    """Say what a kind, or a field of it, is for: explain TYPE[.FIELD...]."""
    from ..cluster.openapi import schema_of

    if output != "plaintext":
        raise CommandError(f"Invalid Output format: --output {output} is not available, only plaintext")
    type_, *fields = path.split(".")
    kind = await _kind(session, type_, api_version)
    schema = await schema_of(session.api, kind)
    if schema is None:
        raise CommandError(f"the server tells nothing of {kind.kind} in {kind.api_version}")
    group = f"GROUP:      {kind.group}\n" if kind.group else ""
    sys.stdout.write(f"{group}KIND:       {kind.kind}\nVERSION:    {kind.version}\n\n")
    for name in fields:
        found = _inner(schema).field(name)
        if found is None:
            raise CommandError(f'field "{name}" does not exist')
        schema = found
    sys.stdout.write("".join(f"{line}\n" for line in _lines(schema, fields[-1] if fields else "", recursive)))


async def _kind(session: Session, type_: str, api_version: str) -> Kind:
    catalogue = await session.catalogue()
    resource = catalogue.lookup(type_)
    if resource is None:
        raise CommandError(f'the server doesn\'t have a resource type "{type_}"', prefix=False)
    if not api_version:
        return resource.kind
    for each in catalogue.resources:
        if each.kind.api_version == api_version and each.answers_to(type_.lower()):
            return each.kind
    raise CommandError(f"couldn't find resource for {api_version}, {resource.kind.kind}")


def _inner(schema: Schema) -> Schema:
    """What a list, or a map, is made of."""
    while True:
        inner = schema.items or (None if schema.properties else schema.values)
        if inner is None:
            return schema
        schema = inner


def _lines(schema: Schema, field: str, recursive: bool) -> Iterator[str]:
    if field:
        yield f"FIELD: {field} <{type_of(schema)}>"
        yield from ("", "")
    yield "DESCRIPTION:"
    for text in descriptions(schema):
        yield from (f"    {line}" for line in textwrap.wrap(text, WIDTH))
    yield "    "
    inner = _inner(schema)
    if inner.properties:
        yield "FIELDS:"
        yield from _tree(inner, 1, ()) if recursive else _list(inner)
    yield ""


def descriptions(schema: Schema) -> Iterator[str]:
    """Of the field, then of what it is or holds."""
    seen: str | None = None
    here: Schema | None = schema
    while here is not None:
        for text in (here.description, here.own_description if here.reference else ""):
            if text:
                yield text
        seen = here.reference
        here = here.items or (None if here.properties else here.values)
        if here is not None and here.reference == seen and seen:
            return


def _list(schema: Schema) -> Iterator[str]:
    for name, each in schema.properties.items():
        yield _title(schema, name, each, 1)
        yield from (f"    {line}" for line in textwrap.wrap(each.description or each.own_description, WIDTH))
        yield ""


def _tree(schema: Schema, level: int, above: tuple[str, ...]) -> Iterator[str]:
    for name, each in schema.properties.items():
        yield _title(schema, name, each, level)
        inner = _inner(each)
        if inner.properties and inner.reference not in above and level < DEPTH_MAX:
            yield from _tree(inner, level + 1, (*above, inner.reference))


def _title(schema: Schema, name: str, each: Schema, level: int) -> str:
    required = " -required-" if name in schema.required else ""
    return f"{'  ' * level}{name}\t<{type_of(each)}>{required}"


def type_of(schema: Schema) -> str:
    """`string`, `[]Container`, `map[string]Quantity`."""
    if schema.reference and schema.target.get("format") != "date-time":
        return schema.reference.rpartition(".")[2]
    if schema.items is not None:
        return f"[]{type_of(schema.items)}"
    if schema.values is not None:
        return f"map[string]{type_of(schema.values)}"
    kind = schema.target.get("type", "Object")
    return "Object" if kind == "object" else str(kind)
