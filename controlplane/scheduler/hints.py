"""What happened in the cluster, and which waiting pods it may help.

A pod that no node would take waits with the reasons it was given. Each reason names its remedies; an event that is none
of them leaves the pod alone. Of those that are, some can be weighed cheaply against the present state: a change of one
node helps a pod that only nodes by themselves keep out (room, taints, labels, ports) just when that node would take it
now; another pod's coming or going helps when one of the two speaks of the other. What cannot be weighed counts as help:
a pod is rather tried once too often.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from functools import lru_cache

import msgspec

from .filters.reason import Reason, Remedy, Verdict
from .matching import Namespaces
from .node_info import NodeInfo
from .pod_info import PodInfo, Template

_OF_PODS = frozenset(("InterPodAffinity", "PodTopologySpread"))
_OF_NODES = frozenset((Remedy.NODE_ADD, Remedy.NODE_ALLOCATABLE, Remedy.NODE_LABEL, Remedy.NODE_TAINT))


LocalCheck = Callable[[Template, NodeInfo], Verdict]


class Hints(msgspec.Struct, frozen=True, cache_hash=True):
    """Why a pod waits, as far as events are weighed: each remedy with the filter that would be content with it."""

    remedies: frozenset[tuple[Remedy, str]] = frozenset()
    kinds: frozenset[Remedy] = frozenset()

    def filters(self, kind: Remedy) -> set[str]:
        return {name for remedy, name in self.remedies if remedy is kind}


NO_HINTS = Hints()
#: Of a pod that found no nodes at all.
ANY_NODE = Hints(frozenset(((Remedy.NODE_ADD, ""),)), frozenset((Remedy.NODE_ADD,)))


def hints_of(reasons: Iterable[Reason]) -> Hints:
    return _hints_of(frozenset(reasons))


@lru_cache(maxsize=1024)
def _hints_of(reasons: frozenset[Reason]) -> Hints:
    found = frozenset((remedy, reason.filter) for reason in reasons for remedy in reason.remedies)
    return Hints(found, frozenset(remedy for remedy, _ in found))


class ClusterEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`node`: the one that changed, or that the pod was or is on, as it is now. `pod`: the other pod. `claim`:
    namespace/name of the claim."""

    kind: Remedy
    node: NodeInfo | None = None
    pod: PodInfo | None = None
    claim: str = ""


class Weighing:
    """`checks`: the filters that judge a node by itself. `wide`: names of those that look at more."""

    def __init__(self, checks: Sequence[LocalCheck], wide: Container[str], namespaces: Namespaces) -> None:
        self._checks = checks
        self._wide = wide
        self._namespaces = namespaces

    def helps(self, info: PodInfo, hints: Hints, event: ClusterEvent) -> bool:
        """Whether the event may have made the pod schedulable. Never False when it has."""
        filters = hints.filters(event.kind)
        if not filters:
            return False
        if event.claim:
            namespace, _, name = event.claim.partition("/")
            return namespace == info.namespace and name in info.template.claims
        if event.pod is not None and self._of_each_other(info.template, event.pod.template):
            return True
        wide = any(name in self._wide for name in filters)
        if wide and (event.kind in _OF_NODES or not filters <= _OF_PODS | self._local(filters)):
            return True
        if event.node is None:
            return event.pod is None
        return bool(self._local(filters)) and self._takes(info.template, event.node)

    def _local(self, filters: set[str]) -> set[str]:
        return {name for name in filters if name not in self._wide}

    def _takes(self, template: Template, node: NodeInfo) -> bool:
        """Whether the node by itself would take such a pod now."""
        return node.node is not None and not any(check(template, node) for check in self._checks)

    def _of_each_other(self, one: Template, other: Template) -> bool:
        """Whether what one of them demands of pods speaks of the other."""
        return any(self._speaks_of(one, other) for one, other in ((one, other), (other, one)))

    def _speaks_of(self, one: Template, other: Template) -> bool:
        selectors = [term.selector for term in (*one.near, *one.away)]
        selectors += [spread.pods for spread in one.spread if spread.pods is not None]
        return any(each.matches(other.namespace, other.labels, self._namespaces) for each in selectors)
