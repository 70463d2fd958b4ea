"""Config maps, secrets, service accounts, namespaces and priority classes."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from .events import events_of, write_events
from .writer import NONE, Writer, formatted_labels

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def config_map(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj)
    writer.marks(obj)
    writer.blank()
    writer.line(0, "Data")
    writer.line(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        writer.line(0, f"{key}:")
        writer.line(0, "----")
        writer.line(0, value)
        writer.blank()
    writer.blank()
    writer.line(0, "BinaryData")
    writer.line(0, "====")
    binary = obj.get("binaryData") or {}
    for key in sorted(binary):
        writer.line(0, f"{key}: {len(base64.b64decode(binary[key]))} bytes")
    writer.blank()
    write_events(writer, await events_of(session, obj))


async def secret(session: Session, writer: Writer, obj: JsonObject) -> None:
    """Sizes, never what is inside, but for a token, which is of no use without being seen."""
    writer.begin(obj)
    writer.marks(obj)
    writer.blank()
    writer.line(0, "Type:", obj.get("type", ""))
    writer.blank()
    writer.line(0, "Data")
    writer.line(0, "====")
    for key, value in sorted((obj.get("data") or {}).items()):
        content = base64.b64decode(value)
        if key == "token" and obj.get("type") == "kubernetes.io/service-account-token":
            writer.line(0, f"{key}:", content.decode("utf-8", "replace"))
        else:
            writer.line(0, f"{key}:", f"{len(content)} bytes")


async def service_account(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj)
    writer.marks(obj)
    writer.several("Image pull secrets", [each.get("name", "") for each in obj.get("imagePullSecrets") or []])
    write_events(writer, await events_of(session, obj))


async def namespace(session: Session, writer: Writer, obj: JsonObject) -> None:
    status = obj.get("status") or {}
    writer.begin(obj, namespaced=False)
    writer.marks(obj)
    writer.line(0, "Status:", status.get("phase", ""))
    conditions = status.get("conditions") or []
    if conditions:
        from ..output.ages import rfc1123

        writer.line(0, "Conditions:")
        writer.line(1, "Type", "Status", "LastTransitionTime", "Reason", "Message")
        writer.line(1, "----", "------", "------------------", "------", "-------")
        for each in conditions:
            when = rfc1123(each.get("lastTransitionTime"))
            writer.line(
                1,
                f"{each['type']} ",
                f"{each.get('status', '')} ",
                f"{when} ",
                f"{each.get('reason', '')} ",
                each.get("message", ""),
            )


async def priority_class(session: Session, writer: Writer, obj: JsonObject) -> None:
    writer.begin(obj, namespaced=False)
    writer.line(0, "Value:", obj.get("value", 0))
    writer.line(0, "GlobalDefault:", "true" if obj.get("globalDefault") else "false")
    writer.line(0, "PreemptionPolicy:", obj.get("preemptionPolicy") or NONE)
    writer.line(0, "Description:", obj.get("description", ""))
    writer.line(0, "Annotations:", formatted_labels(obj["metadata"].get("annotations")))
    write_events(writer, await events_of(session, obj))
