"""Pods that nobody else will take away (Kubernetes' pod garbage collector).

- of a node that is gone: force deleted once the node has been seen to be gone for the quarantine, and was not there
  when it was asked for directly;
- that are being deleted on a node that people declared out of service, and that is not ready;
- that are being deleted and never got a node;
- that have ended, above the threshold: evicted ones first, then the oldest.

Every deletion holds for just the version that was looked at. Who finishes by force says so first: the pod has Failed,
and one whose node is gone has the condition DisruptionTarget.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, Conflict, Fenced, NotFound
from controlplane.runtime import Context, Part
from controlplane.runtime.caches import BY_NODE

from .node_lifecycle.conditions import is_ready
from .node_lifecycle.taints import OUT_OF_SERVICE
from .periodic import Periodic, Refusals
from .status_writes import disrupted, write_pod_status
from .writes import this_version

NAME = "pod-garbage-collector"
CONDITION = ("DeletionByPodGC", "PodGC: node no longer exists")
FINISHED = ("Succeeded", "Failed")
DELETED_MAX = 1_000  # of one sweep; the rest comes with the next ones


def parts(context: Context) -> list[Part]:
    caches = context.caches
    return [Periodic(context, NAME, PodCollector(context), [caches.pods, caches.nodes])]


class PodCollector:
    """A Sweep."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._pace = context.pace
        self._options = context.options
        self._pods = context.caches.pods.cache
        self._nodes = context.caches.nodes.cache
        #: Names of nodes that pods have and that are not there → since when (monotonic seconds).
        self._missing: dict[str, float] = {}
        self._left = 0
        self._refusals = Refusals(NAME)
        self._deleted = context.metrics.counter(
            "pod_gc_collector_force_delete_pods", "Pods deleted by the pod garbage collector", ("reason",)
        )

    async def sweep(self) -> float:
        self._left, self._refusals = DELETED_MAX, Refusals(NAME)
        await self._ended()
        await self._of_missing_nodes()
        await self._out_of_service()
        await self._terminating_without_node()
        return self._options.pod_gc_period_s

    # --- whose node is gone ---------------------------------------------------------------------------

    async def _of_missing_nodes(self) -> None:
        now = self._clock.monotonic()
        missing = {name for name in self._pods.values_of(BY_NODE) if name and self._nodes.get(name) is None}
        self._missing = {name: self._missing.get(name, now) for name in missing}
        for name, since in list(self._missing.items()):
            if now - since >= self._options.pod_gc_quarantine_s and await self._is_gone(name):
                for pod in self._pods.by_index(BY_NODE, name):
                    await self._force(pod, "orphaned", node_is_gone=True)

    async def _is_gone(self, name: str) -> bool:
        """By asking: a cache that is behind must not cost a pod. Raises ApiError: then nobody knows."""
        try:
            await self._client.get(Node, name)
        except NotFound:
            return True
        del self._missing[name]  # the cache will have it; should it go again, it has all its time
        return False

    # --- that wait for somebody who does not come -----------------------------------------------------

    async def _out_of_service(self) -> None:
        for node in self._nodes:
            if is_ready(node) or not any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints):
                continue
            for pod in self._pods.by_index(BY_NODE, node.metadata.name):
                if pod.metadata.deletion_timestamp is not None:
                    await self._force(pod, "out-of-service")

    async def _terminating_without_node(self) -> None:
        for pod in self._pods.by_index(BY_NODE, ""):
            if pod.metadata.deletion_timestamp is not None:
                await self._force(pod, "unscheduled")
            await self._pace.breathe()

    # --- that have ended ------------------------------------------------------------------------------

    async def _ended(self) -> None:
        if len(self._pods) <= self._options.terminated_pods_max:
            return
        found = []
        for pod in self._pods:
            if pod.status.phase in FINISHED and pod.metadata.deletion_timestamp is None:
                found.append(pod)
            await self._pace.breathe()
        for pod in oldest_first(found)[: len(found) - self._options.terminated_pods_max]:
            await self._force(pod, "terminated")

    # --- how ------------------------------------------------------------------------------------------

    async def _force(self, pod: Pod, why: str, *, node_is_gone: bool = False) -> None:
        """Delete this version of the pod at once. One that has changed meanwhile is looked at again."""
        if self._left <= 0:
            return
        if pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds == 0:
            return  # it only waits for its finalizers: there is nothing more to be said
        self._left -= 1
        meta = pod.metadata
        try:
            if why != "terminated":
                pod = await self._say(pod, node_is_gone=node_is_gone)
            options = this_version(pod, grace_s=0)
            await self._client.delete(Pod, meta.name, namespace=meta.namespace, options=options)
        except Fenced:
            raise
        except (Conflict, NotFound):
            return
        except ApiError as error:
            self._refusals.bear(error, f"{meta.namespace}/{meta.name}")
            return
        self._deleted.labels(why).inc()

    async def _say(self, pod: Pod, *, node_is_gone: bool) -> Pod:
        conditions = disrupted(pod, *CONDITION, now=self._clock.now_text()) if node_is_gone else None
        phase = "" if pod.status.phase in FINISHED else "Failed"
        return await write_pod_status(self._client, pod, conditions=conditions, phase=phase)


def oldest_first(pods: Iterable[Pod]) -> list[Pod]:
    """Evicted ones before all others, then by age, then by name."""

    def key(pod: Pod) -> tuple[bool, str, str]:
        return pod.status.reason != "Evicted", pod.metadata.creation_timestamp or "", pod.metadata.name

    return sorted(pods, key=key)
