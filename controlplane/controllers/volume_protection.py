"""Keeps what is in use: a claim that a pod uses and a volume that is bound stay, whoever deletes them.

Finalizers do it, as in Kubernetes. They are set here, soon after the object came, and at the latest by the write that
binds it; they are taken away once nothing uses it any more, which for a claim is only believed after the API itself was
asked for pods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller, own_key
from controlplane.scheduler.volumes import claim_names

from .writes import guarded

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
BY_CLAIM = "pods that use a claim"
PODS_AT_ONCE = 100  # of a live list: reading a page holds the loop


def parts(context: Context) -> list[Part]:
    caches = context.caches
    caches.pods.add_index(BY_CLAIM, claims_used)
    return [
        controller(
            context,
            "persistentvolumeclaim-protection",
            ClaimProtection(context),
            [Source(caches.persistent_volume_claims, own_key), Source(caches.pods, _claims_let_go)],
        ),
        controller(
            context,
            "persistentvolume-protection",
            VolumeProtection(context),
            [Source(caches.persistent_volumes, own_key)],
        ),
    ]


class ClaimProtection:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._claims = context.caches.persistent_volume_claims.cache
        self._pods = context.caches.pods.cache
        self._pace = context.pace

    async def reconcile(self, request: Request) -> Result:
        claim = self._claims.get(request.name, namespace=request.namespace)
        if claim is None:
            return DONE
        meta = claim.metadata
        if meta.deletion_timestamp is None:
            if CLAIM_FINALIZER not in meta.finalizers:
                await self._set(claim, [*meta.finalizers, CLAIM_FINALIZER])
        elif CLAIM_FINALIZER in meta.finalizers and not await self._is_used(claim):
            await self._set(claim, [each for each in meta.finalizers if each != CLAIM_FINALIZER])
        return DONE

    async def _is_used(self, claim: PersistentVolumeClaim) -> bool:
        """By a pod that has a node; one that has none is never given one with a claim that is going."""
        meta = claim.metadata
        if any(_runs(pod) for pod in self._pods.by_index(BY_CLAIM, str(Request.of(claim)))):
            return True
        async for pod in self._client.list(Pod, namespace=meta.namespace, limit=PODS_AT_ONCE):
            await self._pace.breathe()
            if _runs(pod) and meta.name in claim_names(pod):
                return True
        return False

    async def _set(self, claim: PersistentVolumeClaim, finalizers: list[str]) -> None:
        meta = claim.metadata
        change = _with_finalizers(claim, finalizers)
        await self._client.patch(PersistentVolumeClaim, meta.name, change, namespace=meta.namespace)


class VolumeProtection:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._volumes = context.caches.persistent_volumes.cache

    async def reconcile(self, request: Request) -> Result:
        volume = self._volumes.get(request.name)
        if volume is None:
            return DONE
        finalizers = volume.metadata.finalizers
        if volume.metadata.deletion_timestamp is None:
            if VOLUME_FINALIZER not in finalizers:
                await self._set(volume, [*finalizers, VOLUME_FINALIZER])
        elif VOLUME_FINALIZER in finalizers and volume.status.phase != "Bound":
            # the patch names the version: one that is bound meanwhile is looked at again
            await self._set(volume, [each for each in finalizers if each != VOLUME_FINALIZER])
        return DONE

    async def _set(self, volume: PersistentVolume, finalizers: list[str]) -> None:
        change = _with_finalizers(volume, finalizers)
        await self._client.patch(PersistentVolume, volume.metadata.name, change)


def _with_finalizers(obj: TopObject, finalizers: list[str]) -> dict[str, Any]:
    change = guarded(obj)
    change["metadata"]["finalizers"] = finalizers
    return change


def _runs(pod: Pod) -> bool:
    return bool(pod.spec.node_name)


def claims_used(pod: Pod) -> Iterable[str]:
    """Found under `namespace/name` of each claim it uses."""
    return (str(Request(pod.metadata.namespace, name)) for name in claim_names(pod))


def _claims_let_go(change: Change[Pod]) -> Iterable[Request]:
    """Only the end of a pod frees its claims."""
    if change.type != "deleted":
        return ()
    return [Request(change.object.metadata.namespace, name) for name in claim_names(change.object)]
