"""Any kind: every field under a readable name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..output import gojson
from .events import events_of, write_events
from .writer import Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]
_ACRONYMS = ("API", "URL", "UID", "OSB", "GUID")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+|[^A-Za-z]+")
_SAID = {(".metadata", field) for field in ("managedFields", "name", "namespace", "labels", "annotations")}


async def anything(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj)
    writer.marks(obj)
    _fields(writer, 0, obj, "")
    write_events(writer, await events_of(session, obj))


def _fields(writer: Writer, level: int, content: JsonObject, path: str) -> None:
    for field in sorted(content):
        value = content[field]
        if (path, field) in _SAID:
            continue
        if isinstance(value, dict):
            writer.line(level, f"{label_for(field)}:")
            _fields(writer, level + 1, value, f"{path}.{field}")
        elif isinstance(value, list):
            writer.line(level, f"{label_for(field)}:")
            for each in value:
                if isinstance(each, dict):
                    _fields(writer, level + 1, each, f"{path}.{field}")
                else:
                    writer.line(level + 1, gojson.sprint(each))
        else:
            writer.line(level, f"{label_for(field)}:", gojson.sprint(value))


def label_for(field: str) -> str:
    """`holderIdentity` → Holder Identity, `apiVersion` → API Version."""
    if not all(character.isalpha() or character == "-" for character in field):
        return field
    parts = [part for part in _PART.findall(field) if part != "_"]
    return " ".join(part.upper() if part.upper() in _ACRONYMS else part[:1].upper() + part[1:] for part in parts)
