"""Pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.ages import rfc1123, since
from .containers import write_containers, write_resources
from .events import events_of, write_events
from .templates import write_spread, write_tolerations, write_volumes
from .writer import NONE, Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]


async def pod(session: Session, writer: Writer, obj: JsonObject) -> None:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    _identity(writer, obj, spec, status)
    _containers(writer, obj, spec, status)
    _conditions(writer, spec, status)
    write_volumes(writer, spec.get("volumes") or [], "")
    writer.line(0, "QoS Class:", status.get("qosClass", ""))
    writer.labels("Node-Selectors", spec.get("nodeSelector"))
    write_tolerations(writer, "Tolerations", spec.get("tolerations") or [])
    write_spread(writer, spec.get("topologySpreadConstraints") or [], "")
    write_events(writer, await events_of(session, obj))


def _identity(writer: Writer, obj: JsonObject, spec: JsonObject, status: JsonObject) -> None:
    writer.begin(obj)
    for title, field in (
        ("Priority:", "priority"),
        ("Priority Class Name:", "priorityClassName"),
        ("Runtime Class Name:", "runtimeClassName"),
        ("Service Account:", "serviceAccountName"),
    ):
        if spec.get(field) not in (None, ""):
            writer.line(0, title, spec[field])
    node = spec.get("nodeName")
    writer.line(0, "Node:", f"{node}/{status.get('hostIP', '')}" if node else NONE)
    if status.get("startTime"):
        writer.line(0, "Start Time:", rfc1123(status["startTime"]))
    writer.marks(obj)
    _phase(writer, obj["metadata"], status)
    for title, field in (("Reason:", "reason"), ("Message:", "message")):
        if status.get(field):
            writer.line(0, title, status[field])
    profile = (spec.get("securityContext") or {}).get("seccompProfile") or {}
    if profile:
        writer.line(0, "SeccompProfile:", profile.get("type", ""))
        if profile.get("localhostProfile"):
            writer.line(0, "LocalhostProfile:", profile["localhostProfile"])
    writer.line(0, "IP:", status.get("podIP", ""))
    addresses = status.get("podIPs") or []
    writer.line(0, "IPs:", *([] if addresses else [NONE]))
    for each in addresses:
        writer.line(1, "IP:", each.get("ip", ""))
    writer.controller(obj)
    if status.get("nominatedNodeName"):
        writer.line(0, "NominatedNodeName:", status["nominatedNodeName"])
    if spec.get("resources"):
        writer.line(0, "Resources:")
        write_resources(writer, 1, spec["resources"])


def _phase(writer: Writer, metadata: JsonObject, status: JsonObject) -> None:
    phase = status.get("phase", "")
    if metadata.get("deletionTimestamp") and phase not in ("Failed", "Succeeded"):
        writer.line(0, "Status:", f"Terminating (lasts {since(metadata['deletionTimestamp'])})")
        writer.line(0, "Termination Grace Period:", f"{metadata.get('deletionGracePeriodSeconds', 0)}s")
    else:
        writer.line(0, "Status:", phase)


def _containers(writer: Writer, obj: JsonObject, spec: JsonObject, status: JsonObject) -> None:
    for title, field, states in (
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ):
        if spec.get(field) or field == "containers":
            write_containers(writer, title, spec.get(field) or [], obj, status.get(states) or [])


def _conditions(writer: Writer, spec: JsonObject, status: JsonObject) -> None:
    conditions = status.get("conditions") or []
    gates = spec.get("readinessGates") or []
    if gates:
        known = {each["type"]: each.get("status", "") for each in conditions}
        writer.line(0, "Readiness Gates:")
        writer.line(1, "Type", "Status")
        for gate in gates:
            writer.line(1, f"{gate['conditionType']} ", f"{known.get(gate['conditionType'], NONE)} ")
    if conditions:
        writer.line(0, "Conditions:")
        writer.line(1, "Type", "Status")
        for each in conditions:
            writer.line(1, f"{each['type']} ", f"{each.get('status', '')} ")
