"""Nodes: what they are, what they have, and what their pods ask of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..output.ages import rfc1123, since
from .events import events_of, write_events
from .writer import NONE, UNSET, Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

JsonObject = dict[str, Any]
#: By resource, in thousand-millionths, as Quantity counts them.
Amounts = dict[str, int]
NO_TIME = "Mon, 01 Jan 0001 00:00:00 +0000"  # how Go writes one that is not set
ROLE = "node-role.kubernetes.io/"
_INFORMATION = (
    ("Machine ID", "machineID"),
    ("System UUID", "systemUUID"),
    ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"),
    ("OS Image", "osImage"),
    ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"),
    ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
)


async def node(session: Session, writer: Writer, obj: JsonObject) -> None:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    labels = metadata.get("labels") or {}
    writer.begin(obj, namespaced=False)
    roles = sorted(key.removeprefix(ROLE) for key in labels if key.startswith(ROLE))
    writer.line(0, "Roles:", ",".join(roles) or NONE)
    writer.marks(obj)
    writer.line(0, "CreationTimestamp:", rfc1123(metadata.get("creationTimestamp")))
    writer.several("Taints", [_taint(each) for each in spec.get("taints") or []])
    writer.line(0, "Unschedulable:", "true" if spec.get("unschedulable") else "false")
    await _lease(session, writer, metadata["name"])
    _conditions(writer, status)
    writer.line(0, "Addresses:")
    for each in status.get("addresses") or []:
        writer.line(1, f"{each.get('type', '')}:", each.get("address", ""))
    for title, field in (("Capacity:", "capacity"), ("Allocatable:", "allocatable")):
        amounts = status.get(field) or {}
        if amounts:
            writer.line(0, title)
        for name in sorted(amounts):
            writer.line(1, f"{name}:", amounts[name])
    writer.line(0, "System Info:")
    for title, field in _INFORMATION:
        writer.line(1, f"{title}:", (status.get("nodeInfo") or {}).get(field, ""))
    if spec.get("podCIDR"):
        writer.line(0, "PodCIDR:", spec["podCIDR"])
    if spec.get("podCIDRs"):
        writer.line(0, "PodCIDRs:", ",".join(spec["podCIDRs"]))
    if spec.get("providerID"):
        writer.line(0, "ProviderID:", spec["providerID"])
    await _usage(session, writer, obj)
    write_events(writer, await _events(session, obj))


async def _events(session: Session, obj: JsonObject) -> list[JsonObject]:
    """Kubelets name the node by its name where a uid is due, controllers by its uid."""
    found = [*await events_of(session, obj), *await events_of(session, obj, uid=obj["metadata"]["name"])]
    return sorted(found, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))


def _taint(taint: JsonObject) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key', '')}{value}:{taint.get('effect', '')}"


async def _lease(session: Session, writer: Writer, name: str) -> None:
    from apiserver.api.errors import ApiError
    from apiserver.api.kinds import Kind

    try:
        lease = await session.api.get(Kind("Lease", "coordination.k8s.io", "v1", "leases"), name, "kube-node-lease")
    except ApiError as error:
        writer.line(0, "Lease:", f"Failed to get lease: {error.message}")
        return
    spec = lease.get("spec") or {}
    writer.line(0, "Lease:")
    writer.line(1, "HolderIdentity:", spec.get("holderIdentity") or UNSET)
    writer.line(1, "AcquireTime:", rfc1123(spec.get("acquireTime")) or UNSET)
    writer.line(1, "RenewTime:", rfc1123(spec.get("renewTime")) or UNSET)


def _conditions(writer: Writer, status: JsonObject) -> None:
    conditions = status.get("conditions") or []
    if not conditions:
        return
    writer.line(0, "Conditions:")
    writer.line(1, "Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message")
    writer.line(1, "----", "------", "-----------------", "------------------", "------", "-------")
    for each in conditions:
        times = [f"{rfc1123(each.get(field)) or NO_TIME} " for field in ("lastHeartbeatTime", "lastTransitionTime")]
        first = [f"{each['type']} ", f"{each.get('status', '')} ", *times]
        writer.line(1, *first, f"{each.get('reason', '')} ", each.get("message", ""))


# --- what pods ask for ------------------------------------------------------------------------------


async def _usage(session: Session, writer: Writer, obj: JsonObject) -> None:
    pod = (await session.catalogue()).find("pods").kind
    fields = f"spec.nodeName={obj['metadata']['name']},status.phase!=Succeeded,status.phase!=Failed"
    pods = await session.api.list_(pod, None, fields=fields)
    allocatable = _amounts((obj.get("status") or {}).get("allocatable") or (obj.get("status") or {}).get("capacity"))
    writer.line(0, "Non-terminated Pods:", f"({len(pods)} in total)")
    writer.line(1, "Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age")
    writer.line(1, "---------", "----", "", "------------", "----------", "---------------", "-------------", "---")
    totals: tuple[Amounts, Amounts] = ({}, {})
    for each in pods:
        asked = pod_amounts(each, "requests"), pod_amounts(each, "limits")
        for total, one in zip(totals, asked, strict=True):
            total.update(_sum([total, one]))
        metadata = each["metadata"]
        cells = [_share(one, name, allocatable) for name in ("cpu", "memory") for one in asked]
        writer.line(1, metadata["namespace"], metadata["name"], "", *cells, since(metadata.get("creationTimestamp")))
    writer.line(0, "Allocated resources:")
    writer.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    writer.line(1, "Resource", "Requests", "Limits")
    writer.line(1, "--------", "--------", "------")
    for name in ("cpu", "memory", "ephemeral-storage"):
        writer.line(1, name, *(_share(total, name, allocatable) for total in totals))
    for name in sorted(allocatable):
        if "/" in name or name.startswith("hugepages-"):
            writer.line(1, name, *(_text(name, total.get(name, 0)) for total in totals))


def _share(amounts: Amounts, name: str, allocatable: Amounts) -> str:
    amount, there = amounts.get(name, 0), allocatable.get(name, 0)
    percent = amount * 100 // there if there else 0
    return f"{_text(name, amount)} ({percent}%)"


def _text(name: str, amount: int) -> str:
    from apiserver.api.quantity import Form, Quantity

    return str(Quantity(amount, Form.DECIMAL if name == "cpu" else Form.BINARY))


def _amounts(resources: JsonObject | None) -> Amounts:
    from apiserver.api.quantity import parse

    return {name: parse(str(amount)).nano for name, amount in (resources or {}).items()}


def pod_amounts(pod: JsonObject, field: str) -> Amounts:
    """What a pod asks for: its containers together, or the largest of those that come first, and the overhead.

    (kubernetes.io/docs/concepts/workloads/pods/init-containers: "Resource sharing within containers")"""
    spec = pod.get("spec") or {}
    total = _sum([_of(each, field) for each in spec.get("containers") or []])
    sidecars: Amounts = {}
    first: Amounts = {}
    for each in spec.get("initContainers") or []:
        own = _of(each, field)
        if each.get("restartPolicy") == "Always":
            total, sidecars = _sum([total, own]), _sum([sidecars, own])
            own = sidecars
        else:
            own = _sum([own, sidecars])
        first = {name: max(first.get(name, 0), own.get(name, 0)) for name in {*first, *own}}
    total = {name: max(total.get(name, 0), first.get(name, 0)) for name in {*total, *first}}
    overhead = _amounts(spec.get("overhead"))
    if field == "limits":
        overhead = {name: amount for name, amount in overhead.items() if name in total}
    return _sum([total, overhead])


def _of(container: JsonObject, field: str) -> Amounts:
    return _amounts((container.get("resources") or {}).get(field))


def _sum(parts: list[Amounts]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total
