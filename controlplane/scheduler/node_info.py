"""What the scheduler knows of a node: the node itself in plain numbers, and the pods that take room on it.

Only the snapshot changes one (snapshot.py); everybody else reads. `generation` grows whenever anything changed, and no
two nodes of a snapshot ever have the same: who remembers a result beside the generation knows whether it still holds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

from apiserver.api.core.node import Node
from apiserver.api.pod_requests import amount

from .matching import PREFER_NO_SCHEDULE, TaintMark, marks_of
from .pod_info import EVERY_ADDRESS, HostPort, PodInfo

K = TypeVar("K", bound=Hashable)


class NodeInfo:
    """One node. `node` is None while pods are known to be on a node that is not known itself; such a one gets no pods.

    allocatable, used: By resource: cpu in thousandths, all else in its own unit; `pods` is how many.
    scored_cpu, scored_memory: `used`, with something for containers that ask for nothing.
    pods: By uid. ports: host ports in use, each with how many pods have it. claims: `namespace/name` of the
    PersistentVolumeClaims in use, likewise. images: bytes by name, tags included.
    """

    __slots__ = (
        "allocatable",
        "claims",
        "generation",
        "images",
        "labels",
        "name",
        "node",
        "object_generation",
        "pods",
        "ports",
        "scored_cpu",
        "scored_memory",
        "slot",
        "taints",
        "unschedulable",
        "used",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Node | None = None
        self.slot = -1
        self.generation = 0
        self.object_generation = 0
        self.labels: dict[str, str] = {}
        self.taints: tuple[TaintMark, ...] = ()
        self.unschedulable = False
        self.allocatable: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.scored_cpu = 0
        self.scored_memory = 0
        self.pods: dict[str, PodInfo] = {}
        self.ports: dict[HostPort, int] = {}
        self.claims: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"NodeInfo({self.name}, {len(self.pods)} pods, generation {self.generation})"

    @property
    def wishes_away(self) -> bool:
        """True when a taint asks pods to stay away without forbidding them to come."""
        return any(taint.effect == PREFER_NO_SCHEDULE for taint in self.taints)

    def set_node(self, node: Node | None) -> None:
        """Takes over what the object says. ValueError when an amount is none (the API server lets no such node in)."""
        allocatable = node.status.allocatable if node is not None else {}
        self.allocatable = {name: amount(name, quantity) for name, quantity in allocatable.items()}
        self.node = node
        self.labels = dict(node.metadata.labels) if node is not None else {}
        self.taints = marks_of(node.spec.taints) if node is not None else ()
        self.unschedulable = node is not None and node.spec.unschedulable
        images = node.status.images if node is not None else []
        self.images = {name: image.size_bytes for image in images for name in image.names}

    def add(self, pod: PodInfo) -> None:
        """Of a pod that is not there yet."""
        self.pods[pod.uid] = pod
        self._count(pod, +1)

    def remove(self, uid: str) -> PodInfo:
        pod = self.pods.pop(uid)
        self._count(pod, -1)
        return pod

    def conflicts(self, wanted: Iterable[HostPort]) -> bool:
        """Whether a host port is taken: a port of every address and one of the same number exclude each other."""
        for port in wanted:
            for taken in self.ports:
                if (taken.port, taken.protocol) == (port.port, port.protocol) and (
                    taken.ip == port.ip or EVERY_ADDRESS in (taken.ip, port.ip)
                ):
                    return True
        return False

    def _count(self, pod: PodInfo, sign: int) -> None:
        template, used = pod.template, self.used
        for name, number in template.requests.items():
            used[name] = used.get(name, 0) + sign * number
        self.scored_cpu += sign * template.scored_cpu
        self.scored_memory += sign * template.scored_memory
        for port in template.host_ports:
            _change(self.ports, port, sign)
        for claim in template.claims:
            _change(self.claims, f"{pod.namespace}/{claim}", sign)


def _change(counts: dict[K, int], key: K, by: int) -> None:
    left = counts.get(key, 0) + by
    if left:
        counts[key] = left
    else:
        counts.pop(key, None)
