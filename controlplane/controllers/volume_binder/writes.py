"""The writes of binding and letting go. Each names the version that was looked at, and gives back what it became."""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.meta import TopObject
from apiserver.client import Client
from controlplane.runtime.clock import Clock
from controlplane.scheduler.volume_matching import BIND_COMPLETED, BOUND_BY_CONTROLLER, reference_to

from ..volume_protection import CLAIM_FINALIZER, VOLUME_FINALIZER
from ..writes import guarded


class VolumeWrites:
    """Nothing is written that is so already."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        """All four steps, or those that are left. Raises Conflict when somebody was faster, at whatever step."""
        volume = await self.reserve(volume, claim)
        volume = await self.set_volume_phase(volume, "Bound")
        claim = await self._name_volume(claim, volume)
        await self.complete(claim, volume)

    async def reserve(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
        """The volume names the claim, by uid, and is protected from now on. That we chose it is kept, so that it may be
        given to others again."""
        meta, reference = claim.metadata, volume.spec.claim_ref
        if reference is not None and reference.uid == meta.uid:
            return volume
        patch: dict[str, Any] = guarded(volume, spec={"claimRef": reference_to(claim)})
        _protect(volume, patch, VOLUME_FINALIZER)
        if reference is None:
            patch["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: "yes"}
        return await self._client.patch(PersistentVolume, volume.metadata.name, patch)

    async def let_go(self, volume: PersistentVolume) -> PersistentVolume:
        """Free again; one that people keep for a claim by its name stays kept."""
        if BOUND_BY_CONTROLLER in volume.metadata.annotations:
            change = guarded(volume, spec={"claimRef": None})
            change["metadata"]["annotations"] = {BOUND_BY_CONTROLLER: None}
        else:
            change = guarded(volume, spec={"claimRef": {"uid": None, "resourceVersion": None}})
        freed = await self._client.patch(PersistentVolume, volume.metadata.name, change)
        return await self.set_volume_phase(freed, "Available")

    async def set_volume_phase(self, volume: PersistentVolume, phase: str, *, message: str = "") -> PersistentVolume:
        status = volume.status
        if status.phase == phase and status.message == message:
            return volume
        new = {"phase": phase, "message": message or None}
        if status.phase != phase:
            new["lastPhaseTransitionTime"] = self._clock.now_text()
        return await self._client.patch(
            PersistentVolume, volume.metadata.name, guarded(volume, status=new), subresource="status"
        )

    async def _name_volume(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaim:
        meta = claim.metadata
        annotations = {} if BIND_COMPLETED in meta.annotations else {BIND_COMPLETED: "yes"}
        change: dict[str, Any] = guarded(claim)
        if claim.spec.volume_name != volume.metadata.name:
            annotations[BOUND_BY_CONTROLLER] = "yes"
            change["spec"] = {"volumeName": volume.metadata.name}
        if not annotations:
            return claim
        change["metadata"]["annotations"] = annotations
        _protect(claim, change, CLAIM_FINALIZER)
        return await self._client.patch(PersistentVolumeClaim, meta.name, change, namespace=meta.namespace)

    async def complete(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> PersistentVolumeClaim:
        """The claim shows what it has."""
        wanted = {
            "phase": "Bound",
            "accessModes": volume.spec.access_modes,
            "capacity": msgspec.to_builtins(volume.spec.capacity),
        }
        status = claim.status
        have = {"phase": status.phase, "accessModes": status.access_modes, "capacity": status.capacity}
        return claim if have == wanted else await self._set_claim_status(claim, wanted)

    async def set_claim_phase(self, claim: PersistentVolumeClaim, phase: str) -> PersistentVolumeClaim:
        if claim.status.phase == phase:
            return claim
        return await self._set_claim_status(claim, {"phase": phase, "accessModes": None, "capacity": None})

    async def _set_claim_status(self, claim: PersistentVolumeClaim, status: dict[str, Any]) -> PersistentVolumeClaim:
        meta = claim.metadata
        change = guarded(claim, status=status)
        return await self._client.patch(
            PersistentVolumeClaim, meta.name, change, namespace=meta.namespace, subresource="status"
        )


def _protect(obj: TopObject, change: dict[str, Any], finalizer: str) -> None:
    """What is bound is protected, also when nobody has come to protect it yet. What is going takes no finalizer."""
    meta = obj.metadata
    if meta.deletion_timestamp is None and finalizer not in meta.finalizers:
        change["metadata"]["finalizers"] = [*meta.finalizers, finalizer]
