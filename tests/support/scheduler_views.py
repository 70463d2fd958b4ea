"""The scheduler's view of a small cluster, as short as a test wants to say it, and what is decided on it."""

from __future__ import annotations

from random import Random
from typing import Any

from controllers_world_objects import Json, pod
from scheduler_objects import Infos

from apiserver.api.core.node import Node
from controlplane.scheduler.explain import Decider, Decision
from controlplane.scheduler.filters.filter import PodVolumes
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.profile import Profile
from controlplane.scheduler.snapshot import Snapshot

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"


class View:
    """Every decision is made by a decider that remembers nothing, but for those of `decider`."""

    def __init__(self, *nodes: Node, profile: Profile | None = None) -> None:
        self.snapshot = Snapshot()
        self.infos = Infos()
        self.profile = profile or Profile()
        self.snapshot.set_namespace("default", {})
        for node in nodes:
            self.snapshot.set_node(node)
        self.decider = Decider(self.snapshot, self.profile, Random(0))

    def pod(self, name: str = "new", *, namespace: str = "default", labels: Json | None = None, **of: Any) -> PodInfo:
        return self.infos.of(pod(name, namespace=namespace, labels=labels, **of))

    def place(self, name: str, on: str, **of: Any) -> PodInfo:
        """A pod that is on a node."""
        info = self.pod(name, node_name=on, **of)
        self.snapshot.add_pod(info)
        return info

    def decide(self, info: PodInfo, *, volumes: PodVolumes | None = None, explain: bool = False) -> Decision:
        return Decider(self.snapshot, self.profile, Random(0)).decide(info, volumes=volumes, explain=explain)

    def why(self, info: PodInfo, *, volumes: PodVolumes | None = None) -> dict[str, list[str]]:
        """Every reason of every node that will not do."""
        decision = self.decide(info, volumes=volumes, explain=True)
        return {name: [reason.message for reason in verdict] for name, verdict in decision.reasons.items()}

    def fits(self, info: PodInfo) -> set[str]:
        """Names of the nodes that will do."""
        return {node.name for node in self.snapshot.nodes} - set(self.why(info))


def selector(**labels: str) -> dict[str, Any]:
    return {"matchLabels": labels}


def pod_affinity(*terms: Json, anti: bool = False) -> dict[str, Any]:
    """What must hold."""
    kind = "podAntiAffinity" if anti else "podAffinity"
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def pod_wishes(*terms: tuple[int, Json], anti: bool = False) -> dict[str, Any]:
    kind = "podAntiAffinity" if anti else "podAffinity"
    wanted = [{"weight": weight, "podAffinityTerm": term} for weight, term in terms]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": wanted}}


def term(key: str, labels: Json | None, **more: Any) -> dict[str, Any]:
    return {"topologyKey": key, **({"labelSelector": labels} if labels is not None else {}), **more}


def node_affinity(*terms: Json) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expressions(*requirements: tuple[str, str, list[str]], fields: bool = False) -> dict[str, Any]:
    """A term of a node selector: (key, operator, values)."""
    wanted = [{"key": key, "operator": operator, "values": values} for key, operator, values in requirements]
    return {"matchFields" if fields else "matchExpressions": wanted}


def spread(key: str, labels: Json | None, *, skew: int = 1, hard: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        **({"labelSelector": labels} if labels is not None else {}),
        **more,
    }
