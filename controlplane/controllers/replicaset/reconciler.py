"""ReplicaSet: as many pods of one template as it asks for.

What must hold: pods are created and deleted only from a view in which every earlier write of this ReplicaSet can be
seen (expectations.py), so that a cache that is behind, a repeated event or a lost answer never makes one pod too many
or ends one too many. The Deployment reckons with what the status says, so that is never too good: `replicas` counts
every pod that may be there, also those the cache does not show yet; `readyReplicas` and `availableReplicas` count none
whose end was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.api.selectors import Labels, from_label_selector
from controlplane.controllers.claims import ORPHANS, Claims, Found, controller_of, orphans
from controlplane.controllers.writes import difference, namespace_is_ending, seen
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.runtime.caches import BY_CONTROLLER

from .expectations import Books, Expectations
from .order import pods_to_delete
from .pod_state import is_active
from .pods import PodWriter
from .status import Failure, Tally, status_of, tally

log = logging.getLogger("controlplane.replicaset")

#: Pods created or deleted in one reconciliation, as in Kubernetes.
BURST_MAX = 500


class ReplicaSetReconciler:
    """One for a term of leadership."""

    def __init__(self, context: Context, books: Books) -> None:
        self._context = context
        self._books = books
        self._pods = context.caches.pods.cache
        self._replica_sets = context.caches.replica_sets.cache
        context.caches.pods.add_index(ORPHANS, orphans)
        self._writer = PodWriter(context)

    async def reconcile(self, request: Request) -> Result:
        """Raises ApiError."""
        owner = self._replica_sets.get(request.name, namespace=request.namespace)
        if owner is None:
            self._books.close(request)
            return DONE
        try:
            selector = from_label_selector(owner.spec.selector)
        except ValueError as error:
            log.warning("a selector cannot be read", extra={"about": str(request), "error": str(error)})
            return DONE
        expectations = self._books.of(request, owner.metadata.uid)
        wait_s = expectations.rests_for_s(owner)
        return Result(requeue_after_s=wait_s) if wait_s > 0 else await self._look(owner, selector, expectations)

    async def _look(self, owner: ReplicaSet, selector: Labels, expectations: Expectations) -> Result:
        # first whether everything awaited can be seen, then the pods: the other way round one that comes in between
        # would count as seen without being among them
        expectations.look(lambda name: self._pods.get(name, namespace=owner.metadata.namespace))
        fulfilled, uncounted = expectations.fulfilled, expectations.uncounted
        pods = await self._claim(owner, selector, expectations)
        ending = owner.metadata.deletion_timestamp is not None
        too_many = len(pods) - (owner.spec.replicas or 0)
        failure: ApiError | None = None
        if too_many and fulfilled and not ending:
            failure = await self._manage(owner, pods, expectations)
            pods, uncounted = self._counted(owner, selector, pods, expectations), expectations.uncounted
        counts = await tally(owner, pods, clock=self._context.clock, pace=self._context.pace)
        counts.replicas += uncounted
        said = None if failure is None else Failure("FailedDelete" if too_many > 0 else "FailedCreate", failure.message)
        await self._write_status(owner, counts, said, expectations, managed=fulfilled)
        if failure is not None:
            raise failure
        if not fulfilled and not ending:
            await self._writer.settle(owner, expectations, seen=len(self._owned(owner, expectations)))
            if expectations.fulfilled:
                return Result(requeue_after_s=0)  # nothing else may ever come to wake us up
        expectations.looked(owner)
        return _again(counts, expectations)

    async def _claim(self, owner: ReplicaSet, selector: Labels, expectations: Expectations) -> list[Pod]:
        """The pods that count. Raises ApiError."""
        owned = self._owned(owner, expectations)
        free = [pod for pod in self._pods.by_index(ORPHANS, owner.metadata.namespace) if is_active(pod)]
        claims = Claims(self._context.client, self._context.pace, owner, selector, Pod)
        return await claims.settle(Found(owned, free))

    def _counted(
        self, owner: ReplicaSet, selector: Labels, claimed: list[Pod], expectations: Expectations
    ) -> list[Pod]:
        """The pods for the status, as the cache shows them by now: what was written here may be in it already."""
        owned = self._owned(owner, expectations)
        found = {pod.metadata.uid: pod for pod in owned if selector.matches(pod.metadata.labels)}
        for pod in claimed:
            meta = pod.metadata
            if meta.uid in found or expectations.is_going(pod):
                continue
            cached = self._pods.get(meta.name, namespace=meta.namespace)
            if cached is not None and cached.metadata.uid == meta.uid and controller_of(cached) is None:
                found[meta.uid] = pod  # taken over a moment ago
        return list(found.values())

    def _owned(self, owner: ReplicaSet, expectations: Expectations) -> list[Pod]:
        owned = self._pods.by_index(BY_CONTROLLER, owner.metadata.uid)
        return [pod for pod in owned if is_active(pod) and not expectations.is_going(pod)]

    async def _manage(self, owner: ReplicaSet, pods: list[Pod], expectations: Expectations) -> ApiError | None:
        """Create what is missing, or delete what is too much. The first failure, if there was one."""
        wanted = owner.spec.replicas or 0
        if len(pods) < wanted:
            failure = await self._writer.create(owner, min(wanted - len(pods), BURST_MAX), expectations)
            return None if failure is not None and namespace_is_ending(failure) else failure
        if len(pods) > wanted:
            count = min(len(pods) - wanted, BURST_MAX)
            context = self._context
            chosen = await pods_to_delete(pods, self._related(owner), count, clock=context.clock, pace=context.pace)
            return await self._writer.delete(owner, chosen, expectations)
        return None

    def _related(self, owner: ReplicaSet) -> Iterator[Pod]:
        """The pods of all ReplicaSets with the same owner, this one's among them."""
        controller = controller_of(owner)
        family = [owner] if controller is None else self._replica_sets.by_index(BY_CONTROLLER, controller.uid)
        for each in family:
            yield from self._pods.by_index(BY_CONTROLLER, each.metadata.uid)

    async def _write_status(
        self,
        owner: ReplicaSet,
        counts: Tally,
        failure: Failure | None,
        expectations: Expectations,
        *,
        managed: bool,
    ) -> None:
        """Only when something changed. Raises Conflict when the ReplicaSet is not what was looked at any more."""
        status = status_of(owner, counts, failure, managed=managed, clock=self._context.clock)
        expectations.written = status
        patch = difference(owner.status, status)
        if patch:
            body = {"metadata": seen(owner), "status": patch}
            meta = owner.metadata
            client = self._context.client
            await client.patch(ReplicaSet, meta.name, body, namespace=meta.namespace, subresource="status")


def _again(counts: Tally, expectations: Expectations) -> Result:
    """Look again when a pod becomes available by the clock alone, or when something awaited has not come."""
    moments = [] if counts.next_available_s is None else [counts.next_available_s]
    if not expectations.fulfilled:
        moments.append(expectations.due_in_s())
    return Result(requeue_after_s=min(moments)) if moments else DONE
