"""Deployments and replica sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.ages import rfc1123
from .events import events_of, write_events
from .templates import selector_text, template_lines
from .writer import NONE, Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def deployment(session: Session, writer: Writer, obj: JsonObject) -> None:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    writer.begin(obj)
    writer.line(0, "CreationTimestamp:", rfc1123(metadata.get("creationTimestamp")))
    writer.marks(obj)
    writer.line(0, "Selector:", selector_text(spec.get("selector")))
    counts = " | ".join(
        f"{count} {what}"
        for count, what in (
            (spec.get("replicas", 1), "desired"),
            (status.get("updatedReplicas", 0), "updated"),
            (status.get("replicas", 0), "total"),
            (status.get("availableReplicas", 0), "available"),
            (status.get("unavailableReplicas", 0), "unavailable"),
        )
    )
    writer.line(0, "Replicas:", counts)
    strategy = spec.get("strategy") or {}
    writer.line(0, "StrategyType:", strategy.get("type", ""))
    writer.line(0, "MinReadySeconds:", spec.get("minReadySeconds", 0))
    rolling = strategy.get("rollingUpdate")
    if rolling:
        told = f"{rolling.get('maxUnavailable', '')} max unavailable, {rolling.get('maxSurge', '')} max surge"
        writer.line(0, "RollingUpdateStrategy:", told)
    template_lines(writer, spec.get("template") or {})
    _conditions(writer, status)
    await _replica_sets(session, writer, obj)
    write_events(writer, await events_of(session, obj))


def _conditions(writer: Writer, status: JsonObject) -> None:
    conditions = status.get("conditions") or []
    if not conditions:
        return
    writer.line(0, "Conditions:")
    writer.line(1, "Type", "Status", "Reason")
    writer.line(1, "----", "------", "------")
    for each in conditions:
        writer.line(1, f"{each['type']} ", each.get("status", ""), each.get("reason", ""))


async def _replica_sets(session: Session, writer: Writer, obj: JsonObject) -> None:
    from ..verbs.rollout import revisions, without_hash

    known = list((await revisions(session, obj)).values())
    if not known:
        return
    template = without_hash(obj["spec"]["template"])
    newest = next((each for each in known if without_hash(each["spec"]["template"]) == template), None)
    old = [each for each in known if each is not newest]
    writer.line(0, "OldReplicaSets:", ", ".join(map(_created, old)) or NONE)
    writer.line(0, "NewReplicaSet:", _created(newest) if newest else NONE)


def _created(replica_set: JsonObject) -> str:
    wanted, there = replica_set["spec"].get("replicas", 1), (replica_set.get("status") or {}).get("replicas", 0)
    return f"{replica_set['metadata']['name']} ({there}/{wanted} replicas created)"


async def replica_set(session: Session, writer: Writer, obj: JsonObject) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    writer.begin(obj)
    writer.line(0, "Selector:", selector_text(spec.get("selector")))
    writer.marks(obj)
    writer.controller(obj)
    writer.line(0, "Replicas:", f"{status.get('replicas', 0)} current / {spec.get('replicas', 1)} desired")
    writer.line(0, "Pods Status:", await _pods(session, obj))
    template_lines(writer, spec.get("template") or {})
    _conditions(writer, status)
    write_events(writer, await events_of(session, obj))


async def _pods(session: Session, obj: JsonObject) -> str:
    from ..verbs.rollout import selector_text as query

    kind = (await session.catalogue()).find("pods").kind
    labels = query(obj["spec"].get("selector"))
    counts = {"Running": 0, "Pending": 0, "Succeeded": 0, "Failed": 0}
    for pod in await session.api.list_(kind, obj["metadata"]["namespace"], labels=labels):
        owners = pod["metadata"].get("ownerReferences") or []
        if any(each.get("controller") and each.get("uid") == obj["metadata"]["uid"] for each in owners):
            phase = (pod.get("status") or {}).get("phase", "Pending")
            counts[phase] = counts.get(phase, 0) + 1
    names = (("Running", "Running"), ("Pending", "Waiting"), ("Succeeded", "Succeeded"), ("Failed", "Failed"))
    return " / ".join(f"{counts[phase]} {shown}" for phase, shown in names)
