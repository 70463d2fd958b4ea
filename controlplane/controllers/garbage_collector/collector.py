"""Deletes what belongs to nobody any more, and finishes deletions that wait for dependents.

The rules are Kubernetes' (Concepts: "Garbage Collection"):
- An object all of whose owners are gone is deleted. Gone is an owner only when the API, asked now, has no object of its
  kind, name and place, or has another UID there. A kind that is not served is never gone: nobody can say.
- An object with an owner that stays keeps living; references to owners that are gone, or wait for it
  to go, are removed.
- An owner deleted in the foreground (finalizer `foregroundDeletion`) goes after the dependents that block it.
- An owner deleted with `orphan` goes after its dependents have forgotten it.

Every deletion and every patch names the UID and the resourceVersion that it was decided on: whoever was faster wins,
and the object is looked at again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from enum import Enum, auto

from apiserver.api.errors import Conflict, NotFound
from apiserver.api.kinds import Kind, kind_named
from apiserver.api.meta import DeleteOptions, ObjectMeta, OwnerReference, Preconditions, TopObject
from apiserver.client import metadata
from apiserver.client.metadata import Metadata
from controlplane.controllers.replicaset.batches import at_once
from controlplane.runtime import DONE, Context, Request, Result

from .graph import FOREGROUND, ORPHAN, Graph, Node, Owner, owners_of
from .sweep import Found, dependents

log = logging.getLogger("controlplane.garbage_collector")

COMPONENT = "garbage-collector-controller"
ABSENT_MAX = 1024
#: Until the graph shows what the API was seen to have.
RECHECK_S = 30.0
BEHIND_S = 0.2
PATCH_TRIES = 4


class Fate(Enum):
    SOLID = auto()
    UNSEEN = auto()  # there, but not in the graph yet
    WAITING = auto()  # it is being deleted, and waits for its dependents
    GONE = auto()


class Collector:
    """A Reconciler; the name of a request is the UID of an object."""

    def __init__(self, context: Context, graph: Graph) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._pace = context.pace
        self._graph = graph
        self._absent: OrderedDict[tuple[str, Owner], None] = OrderedDict()
        self._deleted = context.metrics.counter(
            "kmini_garbage_collector_deleted_total", "Objects deleted because their owners are gone", ("kind",)
        )

    async def reconcile(self, request: Request) -> Result:
        """What the graph says makes it worth a look; what is done goes by the object as it is."""
        await self._graph.spread(request.name, self._pace)
        node = self._graph.get(request.name)
        if node is None or not self._graph.calls_for_work(node):
            return DONE
        try:
            found = await metadata.get(self._client, node.kind, node.name, namespace=node.namespace)
        except NotFound:
            return DONE  # the watch will say so
        if found.uid != node.uid:
            return DONE
        if found.deletion_timestamp is None:
            return await self._judge(node, found)
        if ORPHAN in found.finalizers:
            await self._let_dependents_go(node, found)
            return DONE
        if FOREGROUND in found.finalizers:
            return await self._delete_dependents_first(node, found)
        return DONE

    # --- an object and its owners -----------------------------------------------------------------------

    async def _judge(self, node: Node, found: Metadata) -> Result:
        owners = owners_of(found.owner_references)
        fates = [(owner, await self._fate(node, owner)) for owner in owners]
        solid = [owner for owner, fate in fates if fate in (Fate.SOLID, Fate.UNSEEN)]
        waiting = [owner for owner, fate in fates if fate is Fate.WAITING]
        if not owners:
            return DONE
        if solid:
            if len(solid) < len(owners):
                await self._keep_owners(node, found, solid)
            unseen = any(fate is Fate.UNSEEN for _, fate in fates)
            return Result(requeue_after_s=RECHECK_S) if unseen else DONE
        if waiting and self._graph.has_dependents(node.uid):
            if any(each.foreground for each in self._graph.dependents(node.uid)):
                found = await self._unblock(node, found)  # a circle: somebody must begin
            await self._delete(node, found, "Foreground")
        else:
            await self._delete(node, found, _policy(found))
        return DONE

    async def _fate(self, node: Node, owner: Owner) -> Fate:
        if (node.namespace, owner) in self._absent:
            return Fate.GONE
        kind = kind_named(owner.api_version, owner.kind)
        if self._leads_elsewhere(node, owner, kind):
            self._say_so(node, owner)
        if self._graph.is_solid(node, owner):
            return Fate.SOLID
        if kind is None or (kind.namespaced and not node.kind.namespaced):
            return Fate.SOLID  # not to be found, for good: it is left alone
        try:
            found = await metadata.get(self._client, kind, owner.name, namespace=node.namespace)
        except (NotFound, ValueError):  # ValueError: a name that no object can have
            return self._gone(node, owner)
        if found.uid != owner.uid:
            return self._gone(node, owner)
        if found.deletion_timestamp is not None and FOREGROUND in found.finalizers:
            return Fate.WAITING
        return Fate.UNSEEN

    def _gone(self, node: Node, owner: Owner) -> Fate:
        """For good: a UID never comes back."""
        self._absent[node.namespace, owner] = None
        while len(self._absent) > ABSENT_MAX:
            self._absent.popitem(last=False)
        return Fate.GONE

    def _leads_elsewhere(self, node: Node, owner: Owner, kind: Kind | None) -> bool:
        """Whether the owner is where no reference of the object can lead: in another namespace."""
        if kind is not None and kind.namespaced and not node.kind.namespaced:
            return True
        known = self._graph.get(owner.uid)
        return known is not None and known.kind.namespaced and known.namespace != node.namespace

    def _say_so(self, node: Node, owner: Owner) -> None:
        named = f"{owner.api_version}/{owner.kind}, namespace: {node.namespace}, name: {owner.name}, uid: {owner.uid}"
        self._recorder.event(
            _about(node),
            "Warning",
            "OwnerRefInvalidNamespace",
            f'ownerRef [{named}] does not exist in namespace "{node.namespace}"',
            component=COMPONENT,
        )

    async def _delete(self, node: Node, found: Metadata, policy: str) -> None:
        options = DeleteOptions(
            preconditions=Preconditions(uid=node.uid, resource_version=found.resource_version),
            propagation_policy=policy,
        )
        try:
            await metadata.delete(self._client, node.kind, node.name, namespace=node.namespace, options=options)
        except NotFound:
            return
        self._deleted.labels(node.kind.kind).inc()
        log.info(
            "an object whose owners are gone is deleted",
            extra={"kind": node.kind.kind, "namespace": node.namespace, "object": node.name, "policy": policy},
        )

    async def _keep_owners(self, node: Node, found: Metadata, owners: list[Owner]) -> None:
        kept = [each for each in found.owner_references if owners_of([each])[0] in owners]
        await self._patch(node.kind, found, owner_references=kept)

    async def _unblock(self, node: Node, found: Metadata) -> Metadata:
        for each in found.owner_references:
            each.block_owner_deletion = False
        return await self._patch(node.kind, found, owner_references=found.owner_references)

    # --- an object and its dependents -------------------------------------------------------------------

    async def _delete_dependents_first(self, node: Node, found: Metadata) -> Result:
        blocking = self._graph.blocking(node)
        if not blocking:
            if await self._has_unseen_blocking(node):
                return Result(requeue_after_s=BEHIND_S)
            await self._drop_finalizer(node, found, FOREGROUND)
            return DONE
        for each in blocking:
            if not each.deleting:
                self._graph.wake(each.uid)
            await self._pace.breathe()
        return DONE

    async def _has_unseen_blocking(self, node: Node) -> bool:
        async for each in dependents(self._client, node, self._pace):
            if any(owner.uid == node.uid and owner.blocks for owner in owners_of(each.metadata.owner_references)):
                return True
        return False

    async def _let_dependents_go(self, node: Node, found: Metadata) -> None:
        """Those that the API has and those that only the graph knows, whose labels may be others by now."""
        left = {each.metadata.uid: each async for each in dependents(self._client, node, self._pace)}
        for known in self._graph.dependents(node.uid):
            if known.uid not in left:
                now = await self._present(known.kind, known.name, known.namespace)
                if now is not None:
                    left[known.uid] = Found(known.kind, now)
        failure = await at_once(left.values(), lambda each: self._forget_owner(each.kind, each.metadata, node.uid))
        if failure is not None:
            raise failure
        await self._drop_finalizer(node, found, ORPHAN)

    async def _forget_owner(self, kind: Kind, found: Metadata, uid: str) -> None:
        """Other writers, of its status above all, may come in between a few times."""
        for attempt in range(PATCH_TRIES):
            kept = [each for each in found.owner_references if each.uid != uid]
            if len(kept) == len(found.owner_references):
                return
            try:
                await self._patch(kind, found, owner_references=kept)
            except NotFound:
                return
            except Conflict as error:
                if attempt == PATCH_TRIES - 1 or type(error) is not Conflict:
                    raise
                now = await self._present(kind, found.name, found.namespace)
                if now is None:
                    return
                found = now
            else:
                return

    async def _present(self, kind: Kind, name: str, namespace: str) -> Metadata | None:
        try:
            return await metadata.get(self._client, kind, name, namespace=namespace)
        except NotFound:
            return None

    async def _drop_finalizer(self, node: Node, found: Metadata, finalizer: str) -> None:
        try:
            await self._patch(node.kind, found, finalizers=[each for each in found.finalizers if each != finalizer])
        except NotFound:
            return

    async def _patch(
        self,
        kind: Kind,
        found: Metadata,
        *,
        owner_references: list[OwnerReference] | None = None,
        finalizers: list[str] | None = None,
    ) -> Metadata:
        change: dict[str, object] = {"uid": found.uid, "resourceVersion": found.resource_version}
        if owner_references is not None:
            change["ownerReferences"] = owner_references
        if finalizers is not None:
            change["finalizers"] = finalizers
        return await metadata.patch(self._client, kind, found.name, change, namespace=found.namespace)


def _policy(found: Metadata) -> str:
    """Who asked for one before has asked for it still."""
    if ORPHAN in found.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in found.finalizers else "Background"


def _about(node: Node) -> TopObject:
    meta = ObjectMeta(name=node.name, namespace=node.namespace, uid=node.uid)
    return TopObject(api_version=node.kind.api_version, kind=node.kind.kind, metadata=meta)
