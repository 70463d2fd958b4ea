"""Pods that do not tolerate the NoExecute taints of their node are deleted: at once, or after the seconds they have.

The seconds are counted by our monotonic clock from when we saw the pod together with such a taint; a new leader counts
anew. Right before a pod is deleted its node is read directly, and the deletion holds for just the version of the pod
that was looked at. Where the taint is about the state of the node, `Health.may_drive_away` has the last word; taints
that people set need no other reason.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from apiserver.api.core.node import Node, Taint
from apiserver.api.core.pod import Pod
from apiserver.api.errors import NotFound
from apiserver.api.tolerations import tolerated_s
from apiserver.client import Change
from controlplane.controllers.status_writes import disrupted, write_pod_status
from controlplane.controllers.writes import this_version
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.runtime.caches import BY_NODE

from .health import Health
from .taints import is_lifecycle, no_execute_taints

COMPONENT = "taint-eviction-controller"
REASON = "TaintManagerEviction"
CONDITION = ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")


class _Wait(msgspec.Struct, frozen=True):
    """Since when a pod has been where it is only tolerated for a while. Monotonic seconds."""

    uid: str
    since: float


class Evictions:
    """A Reconciler of pods."""

    def __init__(self, context: Context, health: Health) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._pods = context.caches.pods.cache
        self._nodes = context.caches.nodes.cache
        self._health = health
        self._waits: dict[Request, _Wait] = {}
        self._deleted = context.metrics.counter(
            "taint_eviction_controller_pod_deletions", "Pods deleted because of NoExecute taints"
        )

    # --- what wakes it up -----------------------------------------------------------------------------

    def of_node(self, change: Change[Node]) -> Iterable[Request]:
        """All pods of a node whose NoExecute taints changed."""
        if change.type != "deleted":
            old = no_execute_taints(change.old)
            if old == no_execute_taints(change.object):
                return ()
        return [Request.of(pod) for pod in self._pods.by_index(BY_NODE, change.object.metadata.name)]

    def of_pod(self, change: Change[Pod]) -> Iterable[Request]:
        """One that waits, or is on a node with such taints."""
        request = Request.of(change.object)
        if request in self._waits or no_execute_taints(self._nodes.get(change.object.spec.node_name)):
            return (request,)
        return ()

    # --- what it does ---------------------------------------------------------------------------------

    async def reconcile(self, request: Request) -> Result:
        pod = self._pods.get(request.name, namespace=request.namespace)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            self._waits.pop(request, None)
            return DONE
        allowed_s = tolerated_s(pod.spec.tolerations, no_execute_taints(self._nodes.get(pod.spec.node_name)))
        if allowed_s is None:
            self._cancel(request, pod)
            return DONE
        left_s = self._left_s(request, pod, allowed_s)
        if left_s > 0:
            return Result(requeue_after_s=left_s)
        return await self._evict(request, pod)

    def _left_s(self, request: Request, pod: Pod, allowed_s: float) -> float:
        now, uid = self._clock.monotonic(), pod.metadata.uid
        wait = self._waits.get(request)
        if wait is None or wait.uid != uid:
            wait = self._waits[request] = _Wait(uid, now)
        return wait.since + allowed_s - now

    def _cancel(self, request: Request, pod: Pod) -> None:
        wait = self._waits.pop(request, None)
        if wait is not None and wait.uid == pod.metadata.uid:
            self._event(pod, f"Cancelling deletion of Pod {request}")

    async def _evict(self, request: Request, pod: Pod) -> Result:
        """Delete the pod, if its node says now what we saw. The pod need not be read: only this version is deleted."""
        try:
            node = await self._client.get(Node, pod.spec.node_name)
        except NotFound:
            return DONE  # then it is an orphan, and others look after those
        allowed_s = tolerated_s(pod.spec.tolerations, await self._valid_taints(node))
        if allowed_s is None or self._left_s(request, pod, allowed_s) > 0:
            return Result(requeue_after_s=self._health.period_s)
        await self._delete(request, pod)
        return DONE

    async def _valid_taints(self, node: Node) -> list[Taint]:
        """Those that are reason enough to delete a pod now. Raises ApiError when nobody knows."""
        taints = no_execute_taints(node)
        if any(is_lifecycle(taint) for taint in taints) and not await self._health.may_drive_away(node):
            return [taint for taint in taints if not is_lifecycle(taint)]
        return taints

    async def _delete(self, request: Request, pod: Pod) -> None:
        conditions = disrupted(pod, *CONDITION, now=self._clock.now_text())
        pod = await write_pod_status(self._client, pod, conditions=conditions)
        self._event(pod, f"Marking for deletion Pod {request}")
        await self._client.delete(Pod, request.name, namespace=request.namespace, options=this_version(pod))
        self._waits.pop(request, None)
        self._deleted.inc()

    def _event(self, pod: Pod, message: str) -> None:
        self._recorder.event(pod, "Normal", REASON, message, component=COMPONENT)
