"""A volume's phase, and what becomes of it when its claim is gone: kept for people to look at, or deleted.

That a claim is gone is only believed after the API itself was asked: a volume that is let go by mistake is somebody's
data. Volumes that a provisioner made are deleted by it, once they are Released; how to delete others nobody knows.
"""

from __future__ import annotations

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.errors import NotFound
from apiserver.api.node_folders import PROVISIONED_BY
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.scheduler.volume_matching import BOUND_BY_CONTROLLER

from .claims import COMPONENT
from .writes import VolumeWrites


class VolumeReconciler:
    def __init__(self, context: Context) -> None:
        caches = context.caches
        self._client = context.client
        self._claims = caches.persistent_volume_claims.cache
        self._volumes = caches.persistent_volumes.cache
        self._recorder = context.recorder
        self._writes = VolumeWrites(context.client, context.clock)

    async def reconcile(self, request: Request) -> Result:
        volume = self._volumes.get(request.name)
        if volume is None:
            return DONE
        reference = volume.spec.claim_ref
        if reference is None or not reference.uid:
            await self._writes.set_volume_phase(volume, "Available")
            return DONE
        claim = await self._claim_of(volume)
        if claim is None and _was_only_chosen(volume):
            await self._writes.let_go(volume)
        elif claim is None:
            await self._release(volume)
        elif claim.spec.volume_name == volume.metadata.name:
            await self._writes.set_volume_phase(volume, "Bound")
        elif claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
            await self._not_taken(volume)
        return DONE  # else it is being bound: the claim's own reconciliation goes on

    async def _claim_of(self, volume: PersistentVolume) -> PersistentVolumeClaim | None:
        """The claim that the volume names, by uid."""
        reference = volume.spec.claim_ref
        assert reference is not None
        claim = self._claims.get(reference.name, namespace=reference.namespace)
        if claim is None or claim.metadata.uid != reference.uid:
            try:
                claim = await self._client.get(PersistentVolumeClaim, reference.name, namespace=reference.namespace)
            except NotFound:
                return None
        return claim if claim.metadata.uid == reference.uid else None

    async def _not_taken(self, volume: PersistentVolume) -> None:
        """The claim took another one, or goes before it took any: nobody ever used it. One that was made for the claim
        alone goes; any other is free again."""
        if PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistent_volume_reclaim_policy == "Delete":
            await self._release(volume)
        else:
            await self._writes.let_go(volume)

    async def _release(self, volume: PersistentVolume) -> None:
        if volume.status.phase not in ("Released", "Failed"):
            volume = await self._writes.set_volume_phase(volume, "Released")
        policy, made = volume.spec.persistent_volume_reclaim_policy, PROVISIONED_BY in volume.metadata.annotations
        if policy == "Delete" and not made:
            why = "error getting deleter volume plugin for volume: it was made by no provisioner"
            await self._fail(volume, "VolumeFailedDelete", why)
        elif policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "no volume plugin matched: volumes are not recycled")

    async def _fail(self, volume: PersistentVolume, reason: str, why: str) -> None:
        if volume.status.phase != "Failed":
            self._recorder.event(volume, "Warning", reason, why, component=COMPONENT)
        await self._writes.set_volume_phase(volume, "Failed", message=why)


def _was_only_chosen(volume: PersistentVolume) -> bool:
    """For a claim that went before the volume was Bound: claims only get what is, so that no data is on it."""
    return volume.status.phase == "Available" and BOUND_BY_CONTROLLER in volume.metadata.annotations
