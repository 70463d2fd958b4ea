"""The Node object: registered once, its status written when it changes, or every five minutes to show who is there.

The words of the conditions are the kubelet's. A node's pulse is its lease (heartbeat.py), not this.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from apiserver.api.base import ResourceList
from apiserver.api.core.node import (
    ContainerImage,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeStatus,
)
from apiserver.api.meta import ObjectMeta
from apiserver.api.quantity import parse

from .machine import Machine
from .runtime.interface import Health, Image, Version

IMAGES_MAX = 50
NAMES_MAX = 5
#: Type, and reason and message of a node that is well.
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def node_labels(name: str, machine: Machine) -> dict[str, str]:
    """Those that every node gives itself, and the machine's."""
    system, architecture = machine.info.operating_system, machine.info.architecture
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": system,
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": machine.hostname or name,
        "kubernetes.io/os": system,
        **machine.labels,
    }


def allocatable_of(machine: Machine) -> ResourceList:
    return {
        name: str(max(parse("0"), parse(amount) - parse(machine.reserved.get(name, "0"))))
        for name, amount in machine.capacity.items()
    }


def new_node(name: str, machine: Machine, status: NodeStatus) -> Node:
    meta = ObjectMeta(name=name, labels=node_labels(name, machine), annotations=dict(machine.annotations))
    return Node(metadata=meta, status=status)


def missing_of(node: Node, name: str, machine: Machine) -> dict[str, dict[str, str]]:
    """What a Node that is there does not say yet of its machine, as a patch of its metadata."""
    labels = _differing(node.metadata.labels, node_labels(name, machine))
    annotations = _differing(node.metadata.annotations, machine.annotations)
    found = {"labels": labels, "annotations": annotations}
    return {field: texts for field, texts in found.items() if texts}


def _differing(have: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if have.get(key) != value}


def node_status(
    machine: Machine, *, runtime: Version, agent_version: str, health: Health, images: Sequence[Image], now: str
) -> NodeStatus:
    """Every condition as of now; `keep_times` gives those that did not change their old times."""
    info = msgspec.structs.replace(
        machine.info,
        container_runtime_version=f"{runtime.name}://{runtime.version}",
        kubelet_version=agent_version,
    )
    addresses = [NodeAddress(type="InternalIP", address=each) for each in _one_per_family(machine.addresses)]
    return NodeStatus(
        capacity=dict(machine.capacity),
        allocatable=allocatable_of(machine),
        addresses=[*addresses, NodeAddress(type="Hostname", address=machine.hostname)],
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=machine.node_port)),
        node_info=info,
        images=_images(images),
        conditions=[*(_pressure(*each, now) for each in _PRESSURES), _ready(health, now)],
    )


def _one_per_family(addresses: Sequence[str]) -> list[str]:
    found = {ipaddress.ip_address(each).version: each for each in reversed(addresses)}
    return sorted(found.values(), key=list(addresses).index)


def _pressure(kind: str, reason: str, message: str, now: str) -> NodeCondition:
    return _condition(kind, "False", reason, message, now)


def _ready(health: Health, now: str) -> NodeCondition:
    if health.ready and health.network_ready:
        return _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", now)
    what = "container runtime network not ready" if health.ready else "container runtime is down"
    message = f"{what}: {health.message}" if health.message else what
    return _condition("Ready", "False", "KubeletNotReady", message, now)


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> NodeCondition:
    return NodeCondition(
        type=kind, status=status, reason=reason, message=message, last_heartbeat_time=now, last_transition_time=now
    )


def _images(images: Sequence[Image]) -> list[ContainerImage]:
    """The largest, as the kubelet reports them."""
    largest = sorted(images, key=lambda each: (-each.size_bytes, each.names))[:IMAGES_MAX]
    return [ContainerImage(names=list(each.names[:NAMES_MAX]), size_bytes=each.size_bytes) for each in largest]


def keep_times(status: NodeStatus, known: NodeStatus) -> None:
    """Conditions that did not change keep the time of their last change; those of others stay."""
    before = {each.type: each for each in known.conditions}
    for condition in status.conditions:
        last = before.pop(condition.type, None)
        if last is not None and last.status == condition.status:
            condition.last_transition_time = last.last_transition_time
    status.conditions += before.values()


def is_ready(status: NodeStatus) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in status.conditions)


def was_rebooted(known: NodeStatus, status: NodeStatus) -> bool:
    before, now = known.node_info.boot_id, status.node_info.boot_id
    return bool(before) and before != now


def same_but_for_heartbeat(one: NodeStatus, other: NodeStatus) -> bool:
    return _plain(one) == _plain(other)


def _plain(status: NodeStatus) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(status)
    for condition in found.get("conditions", ()):
        condition.pop("lastHeartbeatTime", None)
    return found


def status_patch(known: NodeStatus, status: NodeStatus) -> dict[str, Any]:
    """A merge patch of what the node says; volumes and what else others keep there is left alone."""
    before, after = msgspec.to_builtins(known), msgspec.to_builtins(status)
    patch = {name: value for name, value in after.items() if before.get(name) != value}
    for name in ("capacity", "allocatable"):
        gone = before.get(name, {}).keys() - after.get(name, {}).keys()
        if gone:
            patch[name] = dict.fromkeys(gone) | after.get(name, {})
    if before.get("images") and not after.get("images"):
        patch["images"] = None
    return patch
