"""Binds claims to volumes, and lets go of volumes whose claims are gone (Kubernetes' PersistentVolume controller).

Binding takes four writes, each of which the other side can be told from: the volume names the claim, the volume is
Bound, the claim names the volume, the claim is Bound. A crash between any two is gone on from; a volume that named a
claim which then took another one is let go. `claims` looks at it from the claim's side, `volumes` from the volume's,
`writes` has the writes.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.storage import StorageClass
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller, own_key
from controlplane.runtime.queue import WorkQueue
from controlplane.scheduler.volume_matching import BY_CLAIM, by_claim, class_of_claim, class_of_volume
from controlplane.scheduler.volumes import claim_names

from ..storage_classes import is_default
from ..volume_protection import BY_CLAIM as PODS_BY_CLAIM
from ..volume_protection import claims_used
from .claims import ClaimReconciler
from .free_volumes import is_free
from .volumes import VolumeReconciler

PENDING_BY_CLASS = "pending of class"
BY_VOLUME = "claims that name a volume"
WORKERS = 4


def parts(context: Context) -> list[Part]:
    caches = context.caches
    volumes, claims, classes = caches.persistent_volumes, caches.persistent_volume_claims, caches.storage_classes
    volumes.add_index(BY_CLAIM, by_claim)
    claims.add_index(PENDING_BY_CLASS, pending_of_class)
    claims.add_index(BY_VOLUME, _volume_named_by)
    caches.pods.add_index(PODS_BY_CLAIM, claims_used)

    def claims_of_volume(change: Change[PersistentVolume]) -> Iterable[Request]:
        """The claim it is kept for, or was; and whoever names it."""
        kept = (request for obj in (change.object, change.old) if obj for request in _claim_of(obj))
        naming = claims.cache.by_index(BY_VOLUME, change.object.metadata.name)
        return {**dict.fromkeys(kept), **dict.fromkeys(map(Request.of, naming))}

    def volumes_of_claim(change: Change[PersistentVolumeClaim]) -> Iterable[Request]:
        meta = change.object.metadata
        named = [Request.of(each) for each in volumes.cache.by_index(BY_CLAIM, f"{meta.namespace}/{meta.name}")]
        had = [obj.spec.volume_name for obj in (change.object, change.old) if obj is not None]
        return [*named, *(Request("", name) for name in had if name)]

    binder = controller(
        context,
        "persistentvolume-binder",
        ClaimReconciler(context),
        [Source(claims, own_key), Source(volumes, claims_of_volume), Source(caches.pods, _claims_of_new_pod)],
        workers=WORKERS,
    )
    return [
        binder,
        controller(
            context,
            "persistentvolume-waiting",
            WaitingClaims(context, binder.queue),
            [Source(volumes, _class_of_free), Source(classes, _class_itself), Source(claims, lambda _: ())],
        ),
        controller(
            context,
            "persistentvolume",
            VolumeReconciler(context),
            [Source(volumes, own_key), Source(claims, volumes_of_claim)],
            workers=WORKERS,
        ),
    ]


class WaitingClaims:
    """A request is a class ("" for none): the claims of it that wait are looked at again. However many volumes become
    free at once, that is once."""

    def __init__(self, context: Context, queue: WorkQueue) -> None:
        self._claims = context.caches.persistent_volume_claims.cache
        self._pace = context.pace
        self._queue = queue

    async def reconcile(self, request: Request) -> Result:
        for claim in self._claims.by_index(PENDING_BY_CLASS, request.name):
            self._queue.add(Request.of(claim))
            await self._pace.breathe()
        return DONE


def pending_of_class(claim: PersistentVolumeClaim) -> Iterable[str]:
    return () if claim.spec.volume_name else (class_of_claim(claim),)


def _class_of_free(change: Change[PersistentVolume]) -> Iterable[Request]:
    volume = change.object
    return (Request("", class_of_volume(volume)),) if change.type != "deleted" and is_free(volume) else ()


def _class_itself(change: Change[StorageClass]) -> Iterable[Request]:
    """A new default is for claims that name no class, too."""
    own = Request("", change.object.metadata.name)
    return (own, Request("", "")) if is_default(change.object) else (own,)


def _claims_of_new_pod(change: Change[Pod]) -> Iterable[Request]:
    """What a claim waits for may be told better."""
    pod = change.object
    if change.type != "added" or pod.spec.node_name:
        return ()
    return [Request(pod.metadata.namespace, name) for name in claim_names(pod)]


def _claim_of(volume: PersistentVolume) -> Iterable[Request]:
    reference = volume.spec.claim_ref
    return () if reference is None else (Request(reference.namespace, reference.name),)


def _volume_named_by(claim: PersistentVolumeClaim) -> Iterable[str]:
    return (claim.spec.volume_name,) if claim.spec.volume_name else ()
