"""What must hold of every write while schedulers work, and in the end. Worked out from the objects, not from caches."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from fake_api import FakeApi

from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import amount, requests_of
from controlplane.scheduler.explain import Decider
from controlplane.scheduler.pod_info import Templates
from controlplane.scheduler.profile import default_profile
from controlplane.scheduler.snapshot import Snapshot

_FINISHED = ("Succeeded", "Failed")


class SchedulingRules:
    """`written` is a hook for every write."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self._bound: dict[str, str] = {}  # uid -> node

    def written(self, verb: str, old: object, new: object) -> None:
        if not isinstance(new, Pod) or not new.spec.node_name:
            return
        uid, name = new.metadata.uid, new.spec.node_name
        assert self._bound.setdefault(uid, name) == name, f"pod {new.metadata.name} was bound twice"
        if isinstance(old, Pod) and not old.spec.node_name:
            assert not old.spec.scheduling_gates, f"pod {old.metadata.name} has gates"
            assert old.metadata.deletion_timestamp is None, f"pod {old.metadata.name} was ending"
            self._nobody_waits_with_more_right(old)
            self._not_over_committed(name)

    def _not_over_committed(self, name: str) -> None:
        node = self._api.get(Node, name, "")
        assert node is not None, f"a pod was bound to node {name}, which is not there"
        used: dict[str, int] = {}
        for pod in _on(self._api.objects(Pod), name):
            for resource, number in requests_of(pod).items():
                used[resource] = used.get(resource, 0) + number
        has = {resource: amount(resource, quantity) for resource, quantity in node.status.allocatable.items()}
        over = {resource: number for resource, number in used.items() if number > has.get(resource, 0)}
        assert not over, f"node {name} is over-committed: {over} of {has}"

    def _nobody_waits_with_more_right(self, bound: Pod) -> None:
        """For a subclass to check; the order of bindings in flight is not that of decisions."""

    def all_that_fits_is_bound(self, *, scheduler: str = "default-scheduler") -> None:
        """No pod waits that some node would take now."""
        snapshot, templates = Snapshot(), Templates()
        for namespace in self._api.objects(Namespace):
            snapshot.set_namespace(namespace.metadata.name, namespace.metadata.labels)
        for node in self._api.objects(Node):
            snapshot.set_node(node)
        pods = self._api.objects(Pod)
        infos = [templates.pod_info(pod) for pod in pods]
        for info in infos:
            if info.placed:
                snapshot.add_pod(info)
        decider = Decider(snapshot, default_profile(), Random(0))
        for pod, info in zip(pods, infos, strict=True):
            waits = not info.node_name and not info.gates and not info.terminating and not info.finished
            if waits and info.scheduler_name == scheduler and not info.template.claims:
                decision = decider.decide(info)
                assert decision.node is None, f"pod {pod.metadata.name} waits, and {decision.node} would take it"


def _on(pods: Iterable[Pod], node: str) -> list[Pod]:
    return [pod for pod in pods if pod.spec.node_name == node and pod.status.phase not in _FINISHED]
