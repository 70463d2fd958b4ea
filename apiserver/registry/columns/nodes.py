"""Columns of nodes."""

from __future__ import annotations

from typing import Any

from apiserver.registry.resource import Column

from .cells import AGE, NAME, NONE, UNKNOWN, condition

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


def _status(node: Any, now_s: float) -> str:
    ready = condition(node.status.conditions, "Ready")
    word = "Unknown" if ready is None else "Ready" if ready.status == "True" else "NotReady"
    return f"{word},SchedulingDisabled" if node.spec.unschedulable else word


def _roles(node: Any, now_s: float) -> str:
    labels = node.metadata.labels
    roles = {key.removeprefix(ROLE_PREFIX) for key in labels if key.startswith(ROLE_PREFIX)}
    roles |= {labels.get(ROLE_LABEL, "")}
    return ",".join(sorted(roles - {""})) or NONE


def _address(node: Any, type_: str) -> str:
    return next((each.address for each in node.status.addresses if each.type == type_), NONE)


def _info(node: Any, attribute: str) -> str:
    return str(getattr(node.status.node_info, attribute, ""))


NODE = (
    NAME,
    Column("Status", _status, "Whether the node is ready, and whether it takes new pods."),
    Column("Roles", _roles, "Roles its labels give it."),
    AGE,
    Column("Version", lambda obj, _: _info(obj, "kubelet_version"), "Version of its agent."),
    Column("Internal-IP", lambda obj, _: _address(obj, "InternalIP"), "Its address inside the cluster.", priority=1),
    Column("External-IP", lambda obj, _: _address(obj, "ExternalIP"), "Its address from outside.", priority=1),
    Column("OS-Image", lambda obj, _: _info(obj, "os_image") or UNKNOWN, "Its operating system.", priority=1),
    Column("Kernel-Version", lambda obj, _: _info(obj, "kernel_version") or UNKNOWN, "Its kernel.", priority=1),
    Column(
        "Container-Runtime",
        lambda obj, _: _info(obj, "container_runtime_version") or UNKNOWN,
        "What runs its containers.",
        priority=1,
    ),
)
