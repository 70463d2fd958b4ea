"""What the scheduler needs of a pod, worked out once and shared by all pods that are alike.

A `Template` is everything that a decision depends on and that pods of one ReplicaSet have in common; the same object
for all of them, so that whatever was found out for one pod (which nodes fit, who matches whom) holds for the next. A
`PodInfo` is one pod: its identity, where it is, and its template. `Templates` makes them; it keeps a template as long
as somebody holds it, so its size is bounded by the pods there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.scheduling import Affinity, TopologySpreadConstraint
from apiserver.api.meta import ObjectMeta
from apiserver.api.node_terms import NodeTerm, node_term
from apiserver.api.pod_requests import CPU, MEMORY, container_requests_of, requests_of
from apiserver.api.selectors import Labels, Requirement

from .matching import (
    NodeNeeds,
    PodSelector,
    PodTerm,
    Tolerated,
    labels_of,
    node_needs,
    pod_term,
    tolerated,
)

#: What a container that asks for nothing counts as when nodes are scored (not when they are filtered): Kubernetes'.
UNASKED = {CPU: 100, MEMORY: 200 * 1024 * 1024}
HOSTNAME = "kubernetes.io/hostname"
#: A host port without an address is bound on every one.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  # nothing is bound here
ZONE = "topology.kubernetes.io/zone"
_FINISHED = ("Succeeded", "Failed")


class HostPort(msgspec.Struct, frozen=True):
    """A port of the node that a pod wants for itself. `ip` 0.0.0.0 is every address."""

    ip: str
    protocol: str
    port: int


class Spread(msgspec.Struct, frozen=True):
    """A topology spread constraint. `self_counts`: the pod is one of those it counts, in the pod's own namespace.

    `pods` None: the pods of the same controller, which is what Kubernetes spreads when a pod says nothing.
    """

    max_skew: int
    topology_key: str
    pods: PodSelector | None
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False
    self_counts: bool = True


class NodeAsks(msgspec.Struct, frozen=True, cache_hash=True, weakref=True, kw_only=True):
    """What a template asks of a node by itself: all that our own local filters and scores look at. Templates that ask
    for the same share what was found out about nodes, whatever else they differ in. Fields as in `Template`."""

    requests: tuple[tuple[str, int], ...]
    scored_cpu: int
    scored_memory: int
    needs: NodeNeeds
    wanted_nodes: tuple[tuple[int, NodeTerm], ...]
    tolerations: tuple[Tolerated, ...]
    host_ports: tuple[HostPort, ...]


class Template(msgspec.Struct, eq=False, weakref=True, kw_only=True):
    """What pods that are alike ask for. Equal only to itself; never changed.

    number: Unique in this process. asks: The same object for all templates that ask for the same of a node.
    requests: By resource: cpu in thousandths, all else in its own unit; `pods` is 1.
    scored_cpu, scored_memory: The same with something for containers that ask for nothing: what scores count.
    best_effort: No container asks for anything.
    needs: Nodes it may be on by name and labels. wanted_nodes: (weight, nodes it would rather be on).
    images: Images of its containers with their tags, in order, init containers first.
    claims: Names of the PersistentVolumeClaims it uses, in its namespace, sorted.
    near, away: Pods it must be near to or away from. wishes: pods it would rather be near to (or away from).
    spread: What must hold of the spread; spread_wishes: what should; spread_by_default: those are Kubernetes' own.
    owner: uid of its controller, "" for none.
    """

    number: int
    asks: NodeAsks
    namespace: str
    labels: dict[str, str]
    owner: str
    requests: dict[str, int]
    scored_cpu: int
    scored_memory: int
    best_effort: bool
    needs: NodeNeeds
    wanted_nodes: tuple[tuple[int, NodeTerm], ...]
    tolerations: tuple[Tolerated, ...]
    host_ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    claims: tuple[str, ...]
    near: tuple[PodTerm, ...]
    away: tuple[PodTerm, ...]
    wishes: tuple[PodTerm, ...]
    spread: tuple[Spread, ...]
    spread_wishes: tuple[Spread, ...]
    spread_by_default: bool


class PodInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One pod. `node_name` is "" until it has a node; `assumed` says that the node is only our intention so far."""

    namespace: str
    name: str
    uid: str
    template: Template
    resource_version: str = ""
    node_name: str = ""
    nominated: str = ""
    priority: int = 0
    gates: tuple[str, ...] = ()
    scheduler_name: str = ""
    terminating: bool = False
    finished: bool = False
    assumed: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def signature(self) -> int:
        """Equal for pods of one template: what was decided of one holds for the other while nothing changes."""
        return self.template.number

    @property
    def placed(self) -> bool:
        """True when it takes room on a node: from when it has one until it is gone or finished."""
        return bool(self.node_name) and not self.finished

    def on(self, node_name: str, *, assumed: bool = True) -> PodInfo:
        """The same pod, on a node."""
        return msgspec.structs.replace(self, node_name=node_name, assumed=assumed)


class Templates:
    """Makes pod infos; pods that are alike get one template."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[bytes, Template] = WeakValueDictionary()
        self._asks: WeakValueDictionary[NodeAsks, NodeAsks] = WeakValueDictionary()
        self._made = 0

    def __len__(self) -> int:
        return len(self._known)

    def pod_info(self, pod: Pod) -> PodInfo:
        """ValueError when an amount of the pod is none (the API server lets no such pod in)."""
        key = _signature(pod)
        template = self._known.get(key)
        if template is None:
            self._made += 1
            template = _template(pod, self._made)
            template.asks = self._asks.setdefault(template.asks, template.asks)
            self._known[key] = template
        metadata, spec = pod.metadata, pod.spec
        return PodInfo(
            namespace=metadata.namespace,
            name=metadata.name,
            uid=metadata.uid,
            template=template,
            resource_version=metadata.resource_version,
            node_name=spec.node_name,
            nominated=pod.status.nominated_node_name,
            priority=spec.priority or 0,
            gates=tuple(gate.name for gate in spec.scheduling_gates),
            scheduler_name=spec.scheduler_name,
            terminating=metadata.deletion_timestamp is not None,
            finished=pod.status.phase in _FINISHED,
        )


def _signature(pod: Pod) -> bytes:
    """Everything `_template` reads, as bytes. What is read there and missing here would be shared wrongly."""
    spec = pod.spec
    return msgspec.msgpack.encode(
        (
            pod.metadata.namespace,
            pod.metadata.labels,
            _owner(pod.metadata),
            [_container_signature(each) for each in spec.init_containers],
            [_container_signature(each) for each in spec.containers],
            spec.overhead,
            spec.node_selector,
            spec.affinity,
            spec.tolerations,
            spec.topology_spread_constraints,
            list(_claims(pod)),
        ),
        order="sorted",
    )


def _container_signature(container: Container) -> tuple[Any, ...]:
    ports = [(each.host_port, each.host_ip, each.protocol) for each in container.ports if each.host_port]
    return container.image, container.resources.requests, container.restart_policy, ports


def _template(pod: Pod, number: int) -> Template:
    spec, namespace, labels = pod.spec, pod.metadata.namespace, dict(pod.metadata.labels)
    scored = container_requests_of(pod, least=UNASKED)
    requests = requests_of(pod)
    owner = _owner(pod.metadata)
    near, away, wishes = _pod_terms(spec.affinity, namespace)
    soft = _spread(spec.topology_spread_constraints, "ScheduleAnyway", namespace, labels)
    by_default = not spec.topology_spread_constraints and bool(owner)
    asks = NodeAsks(
        requests=tuple(sorted(requests.items())),
        scored_cpu=scored.get(CPU, 0),
        scored_memory=scored.get(MEMORY, 0),
        needs=node_needs(spec.node_selector, spec.affinity),
        wanted_nodes=_wanted_nodes(spec.affinity),
        tolerations=tolerated(spec.tolerations),
        host_ports=tuple(_host_ports(spec)),
    )
    return Template(
        number=number,
        asks=asks,
        namespace=namespace,
        labels=labels,
        owner=owner,
        requests=requests,
        scored_cpu=asks.scored_cpu,
        scored_memory=asks.scored_memory,
        best_effort=not requests.get(CPU) and not requests.get(MEMORY),
        needs=asks.needs,
        wanted_nodes=asks.wanted_nodes,
        tolerations=asks.tolerations,
        host_ports=asks.host_ports,
        images=tuple(_tagged(each.image) for each in (*spec.init_containers, *spec.containers)),
        claims=tuple(sorted(set(_claims(pod)))),
        near=near,
        away=away,
        wishes=wishes,
        spread=_spread(spec.topology_spread_constraints, "DoNotSchedule", namespace, labels),
        spread_wishes=_DEFAULT_SPREAD if by_default else soft,
        spread_by_default=by_default,
    )


#: Kubernetes' own wishes for pods that say nothing: pkg/scheduler, plug-in PodTopologySpread, system defaults.
_DEFAULT_SPREAD = (
    Spread(max_skew=3, topology_key=HOSTNAME, pods=None),
    Spread(max_skew=5, topology_key=ZONE, pods=None),
)


def _owner(metadata: ObjectMeta) -> str:
    return next((each.uid for each in metadata.owner_references if each.controller), "")


def _wanted_nodes(affinity: Affinity | None) -> tuple[tuple[int, NodeTerm], ...]:
    if affinity is None or affinity.node_affinity is None:
        return ()
    wanted = affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
    return tuple((each.weight, node_term(each.preference)) for each in wanted if each.weight)


def _pod_terms(
    affinity: Affinity | None, namespace: str
) -> tuple[tuple[PodTerm, ...], tuple[PodTerm, ...], tuple[PodTerm, ...]]:
    """What must be near, what must be away, and the wishes."""
    groups: list[tuple[PodTerm, ...]] = []
    wishes: list[PodTerm] = []
    for group, sign in ((affinity and affinity.pod_affinity, 1), (affinity and affinity.pod_anti_affinity, -1)):
        required = group.required_during_scheduling_ignored_during_execution if group else []
        wanted = group.preferred_during_scheduling_ignored_during_execution if group else []
        groups.append(tuple(pod_term(each, namespace=namespace) for each in required))
        wishes += [
            pod_term(each.pod_affinity_term, namespace=namespace, weight=sign * each.weight)
            for each in wanted
            if each.weight
        ]
    return groups[0], groups[1], tuple(wishes)


def _spread(
    constraints: list[TopologySpreadConstraint], when: str, namespace: str, labels: dict[str, str]
) -> tuple[Spread, ...]:
    return tuple(
        _one_spread(each, namespace, labels)
        for each in constraints
        if (each.when_unsatisfiable or "DoNotSchedule") == when
    )


def _one_spread(constraint: TopologySpreadConstraint, namespace: str, labels: dict[str, str]) -> Spread:
    selector = labels_of(constraint.label_selector)
    same = [Requirement(key, "in", (labels[key],)) for key in constraint.match_label_keys if key in labels]
    if same and not selector.nothing:
        selector = Labels((*selector.requirements, *same))
    return Spread(
        max_skew=constraint.max_skew,
        topology_key=constraint.topology_key,
        pods=PodSelector(labels=selector, namespaces=frozenset((namespace,))),
        min_domains=constraint.min_domains or 1,
        honor_affinity=constraint.node_affinity_policy != "Ignore",
        honor_taints=constraint.node_taints_policy == "Honor",
        self_counts=selector.matches(labels),
    )


def _host_ports(spec: PodSpec) -> Iterator[HostPort]:
    """Of containers and sidecars: those that run as long as the pod does."""
    sidecars = (each for each in spec.init_containers if each.restart_policy == "Always")
    for container in (*sidecars, *spec.containers):
        for port in container.ports:
            if port.host_port:
                yield HostPort(port.host_ip or EVERY_ADDRESS, port.protocol or "TCP", port.host_port)


def _claims(pod: Pod) -> Iterator[str]:
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield volume.persistent_volume_claim.claim_name
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.name}-{volume.name}"


def _tagged(image: str) -> str:
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
