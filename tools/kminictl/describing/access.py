"""Roles, cluster roles and their bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..verbs.rules import rows
from .writer import Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def role(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj, namespaced=False)
    writer.marks(obj)
    writer.line(0, "PolicyRule:")
    writer.line(1, "Resources", "Non-Resource URLs", "Resource Names", "Verbs")
    writer.line(1, "---------", "-----------------", "--------------", "-----")
    for row in rows(obj.get("rules") or []):
        writer.line(1, *row)


async def binding(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj, namespaced=False)
    writer.marks(obj)
    reference = obj.get("roleRef") or {}
    writer.line(0, "Role:")
    writer.line(1, "Kind:", reference.get("kind", ""))
    writer.line(1, "Name:", reference.get("name", ""))
    writer.line(0, "Subjects:")
    writer.line(1, "Kind", "Name", "Namespace")
    writer.line(1, "----", "----", "---------")
    for subject in obj.get("subjects") or []:
        writer.line(1, subject.get("kind", ""), subject.get("name", ""), subject.get("namespace", ""))
