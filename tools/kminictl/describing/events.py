"""The events of an object, at the end of its description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.ages import since
from .writer import Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def events_of(session: Session, obj: JsonObject, *, uid: str = "") -> list[JsonObject]:
    """Nothing when the events may not be read. `uid` is another one than the object's own, as nodes have it."""
    from apiserver.api.errors import ApiError

    metadata = obj["metadata"]
    wanted = {
        "involvedObject.name": metadata["name"],
        "involvedObject.namespace": metadata.get("namespace", ""),
        "involvedObject.kind": obj["kind"],
        "involvedObject.uid": uid or metadata.get("uid", ""),
    }
    fields = ",".join(f"{key}={value}" for key, value in wanted.items() if value)
    event = (await session.catalogue()).of_object("v1", "Event")
    if event is None:
        return []
    try:
        found = await session.api.list_(event.kind, metadata.get("namespace") or None, fields=fields)
    except ApiError:
        return []
    return sorted(found, key=last_seen)


def last_seen(event: JsonObject) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def first_seen(event: JsonObject) -> str:
    return str(event.get("eventTime") or event.get("firstTimestamp") or "")


def interval(event: JsonObject) -> str:
    """`5s`, or `5s (x3 over 2m)`."""
    series, count = event.get("series") or {}, event.get("count") or 0
    first = since(first_seen(event))
    if series:
        return f"{since(series.get('lastObservedTime'))} (x{series.get('count', 0)} over {first})"
    if count > 1:
        return f"{since(event.get('lastTimestamp'))} (x{count} over {first})"
    return first


def write_events(writer: Writer, events: list[JsonObject]) -> None:
    if not writer.events:
        return
    if not events:
        writer.line(0, "Events:", "<none>")
        return
    writer.flush()
    writer.line(0, "Events:")
    writer.line(1, "Type", "Reason", "Age", "From", "Message")
    writer.line(1, "----", "------", "----", "----", "-------")
    for each in events:
        source = (each.get("source") or {}).get("component") or each.get("reportingComponent", "")
        message = str(each.get("message", "")).strip()
        writer.line(1, each.get("type", ""), each.get("reason", ""), interval(each), source, message)
