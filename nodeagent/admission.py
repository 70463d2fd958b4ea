"""Whether a node takes a pod that was given to it: the kubelet's last check, for pods that came past the scheduler.

The API server's bindings keep every node within its means, so this strikes pods created with `spec.nodeName`, and what
was decided before the node shrank. A pod that is refused is Failed, for good; the reasons and words are the kubelet's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from apiserver.api.base import ResourceList
from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import PODS, amount, requests_of

from .decide import lasting_containers
from .spec.sysctls import FORBIDDEN, forbidden_sysctl
from .spec.unsupported import refusal
from .status import Ending

NODE_AFFINITY = "NodeAffinity"
ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - what a pod asks for, nothing is bound here


def check(pod: Pod, others: Iterable[Pod], allocatable: ResourceList, labels: Mapping[str, str]) -> Ending | None:
    """Why not; None when it may run. `others`: those that are to run here."""
    others = list(others)
    refused = _resources(pod, others, allocatable) or _selector(pod, labels) or _ports(pod, others)
    return refused or _settings(pod)


def _resources(pod: Pod, others: list[Pod], allocatable: ResourceList) -> Ending | None:
    asked = requests_of(pod)
    used: dict[str, int] = {}
    for other in others:
        for name, number in requests_of(other).items():
            used[name] = used.get(name, 0) + number
    for name in sorted(asked, key=lambda name: name != PODS):
        there = amount(name, allocatable[name]) if name in allocatable else 0
        if asked[name] and asked[name] + used.get(name, 0) > there:
            words = f"requested: {asked[name]}, used: {used.get(name, 0)}, capacity: {there}"
            return _refused(f"OutOf{name}", f"Node didn't have enough resource: {name}, {words}")
    return None


def _selector(pod: Pod, labels: Mapping[str, str]) -> Ending | None:
    if all(labels.get(key) == value for key, value in pod.spec.node_selector.items()):
        return None
    words = "node(s) didn't match Pod's node affinity/selector"
    return _refused(NODE_AFFINITY, f"Predicate NodeAffinity failed: {words}")


def _ports(pod: Pod, others: list[Pod]) -> Ending | None:
    taken = [port for other in others for port in _host_ports(other)]
    if any(_same_port(port, other) for port in _host_ports(pod) for other in taken):
        words = "node(s) didn't have free ports for the requested pod ports"
        return _refused("NodePorts", f"Predicate NodePorts failed: {words}")
    return None


def _settings(pod: Pod) -> Ending | None:
    reason, words = refusal(pod)
    if not words:
        reason, words = FORBIDDEN, forbidden_sysctl(pod)
    return _refused(reason, words) if words else None


def _host_ports(pod: Pod) -> Iterator[tuple[str, str, int]]:
    """Address, protocol, port."""
    for container in lasting_containers(pod):
        for port in container.ports:
            if port.host_port:
                yield port.host_ip, port.protocol or "TCP", port.host_port


def _same_port(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    if one[1:] != other[1:]:
        return False
    return one[0] == other[0] or one[0] in ANY_ADDRESS or other[0] in ANY_ADDRESS


def _refused(reason: str, words: str) -> Ending:
    return Ending(reason, f"Pod was rejected: {words}")
