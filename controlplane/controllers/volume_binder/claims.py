"""A claim gets a volume: the one it names, one that is kept for it, or the smallest of its class that will do.

A claim of a class that waits for its first consumer gets none from here before the scheduler has chosen one, or a node
where one is to be made. A claim that was bound and whose volume is gone is Lost; that is only said after the API itself
was asked, since a cache may not know a new volume yet.
"""

from __future__ import annotations

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.errors import NotFound
from apiserver.api.storage import StorageClass
from controlplane.runtime import DONE, Context, Request, Result
from controlplane.scheduler.volume_matching import (
    BIND_COMPLETED,
    BY_CLAIM,
    NO_PROVISIONER,
    SELECTED_NODE,
    WAIT_FOR_FIRST_CONSUMER,
    class_of_claim,
    kept_for,
    kept_volume,
)

from ..storage_classes import default_class, names_no_class
from ..volume_protection import BY_CLAIM as PODS_BY_CLAIM
from ..writes import guarded
from .free_volumes import FreeVolumes
from .mismatch import mismatch_of_named
from .writes import VolumeWrites

COMPONENT = "persistentvolume-controller"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
OLDER_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
GIVING_S = 1.0  # until it is known whether another claim got the volume


class ClaimReconciler:
    def __init__(self, context: Context) -> None:
        caches = context.caches
        self._client = context.client
        self._claims = caches.persistent_volume_claims.cache
        self._volumes = caches.persistent_volumes.cache
        self._classes = caches.storage_classes.cache
        self._pods = caches.pods.cache
        self._recorder = context.recorder
        self._writes = VolumeWrites(context.client, context.clock)
        self._free = FreeVolumes(caches.persistent_volumes, context.pace)
        self._giving: set[str] = set()  # volumes that other workers are about to give to claims

    async def reconcile(self, request: Request) -> Result:
        claim = self._claims.get(request.name, namespace=request.namespace)
        if claim is None:
            return DONE
        if BIND_COMPLETED in claim.metadata.annotations:
            await self._check(claim)
        elif claim.metadata.deletion_timestamp is not None:
            return DONE  # it is never bound to anything any more
        elif claim.spec.volume_name:
            await self._bind_named(claim)
        else:
            return await self._find(claim)
        return DONE

    # --- a claim that has none yet --------------------------------------------------------------------

    async def _find(self, claim: PersistentVolumeClaim) -> Result:
        storage_class = self._classes.get(class_of_claim(claim))
        delayed = storage_class is not None and storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER
        volume = kept_volume(self._volumes.by_index(BY_CLAIM, str(Request.of(claim))), claim)
        if volume is None and not delayed:
            volume = await self._free.find(claim, taken=self._giving)
            if volume is None and self._giving and await self._free.find(claim, taken=()) is not None:
                return Result(requeue_after_s=GIVING_S)  # another claim is about to have it, or is not
        if volume is not None:
            await self._give(volume, claim)
        elif not await self._set_default_class(claim):
            claim = await self._writes.set_claim_phase(claim, "Pending")
            if delayed and SELECTED_NODE not in claim.metadata.annotations:
                self._say_that_it_waits(claim)
            else:
                await self._await_provisioner(claim, storage_class)
        return DONE

    async def _give(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> None:
        name = volume.metadata.name
        self._giving.add(name)
        try:
            await self._writes.bind(volume, claim)
        finally:
            self._giving.discard(name)

    async def _set_default_class(self, claim: PersistentVolumeClaim) -> bool:
        """A claim that came before there was a default class. It is looked at again when it has it."""
        found = default_class(self._classes) if names_no_class(claim) else None
        if found is None:
            return False
        meta = claim.metadata
        change = guarded(claim, spec={"storageClassName": found.metadata.name})
        await self._client.patch(PersistentVolumeClaim, meta.name, change, namespace=meta.namespace)
        return True

    def _say_that_it_waits(self, claim: PersistentVolumeClaim) -> None:
        using = self._pods.by_index(PODS_BY_CLAIM, str(Request.of(claim)))
        ended = ("Succeeded", "Failed")
        names = sorted(
            each.metadata.name for each in using if not each.spec.node_name and each.status.phase not in ended
        )
        if not names:
            reason, why = "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
        else:
            pods = f"pod {names[0]}" if len(names) == 1 else f"pods {','.join(names)}"
            reason, why = "WaitForPodScheduled", f"waiting for {pods} to be scheduled"
        self._recorder.event(claim, "Normal", reason, why, component=COMPONENT)

    async def _await_provisioner(self, claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> None:
        name = class_of_claim(claim)
        if storage_class is None and not name:
            why = "no persistent volumes available for this claim and no storage class is set"
            self._recorder.event(claim, "Normal", "FailedBinding", why, component=COMPONENT)
            return
        provisioner = storage_class.provisioner if storage_class is not None else ""
        if storage_class is None or provisioner in ("", NO_PROVISIONER):
            why = f"no volume plugin matched name: {provisioner}"
            if storage_class is None:
                why = f'storageclass.storage.k8s.io "{name}" not found'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", why, component=COMPONENT)
            return
        await self._name_provisioner(claim, provisioner)
        why = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by "
            "the system administrator. If volume creation is delayed, please verify that the provisioner is running "
            "and correctly registered."
        )
        self._recorder.event(claim, "Normal", "ExternalProvisioning", why, component=COMPONENT)

    async def _name_provisioner(self, claim: PersistentVolumeClaim, provisioner: str) -> None:
        """Provisioners look for claims with their name on it."""
        meta = claim.metadata
        wanted = {PROVISIONER: provisioner, OLDER_PROVISIONER: provisioner}
        if wanted.items() <= meta.annotations.items():
            return
        change = guarded(claim)
        change["metadata"]["annotations"] = wanted
        await self._client.patch(PersistentVolumeClaim, meta.name, change, namespace=meta.namespace)

    async def _bind_named(self, claim: PersistentVolumeClaim) -> None:
        """The claim says itself which volume it wants."""
        volume = self._volumes.get(claim.spec.volume_name)
        if volume is None:
            await self._writes.set_claim_phase(claim, "Pending")
        elif volume.spec.claim_ref is None or kept_for(volume, claim):
            problem = "" if volume.spec.claim_ref else mismatch_of_named(volume, claim)
            if problem:
                why = f'Cannot bind to requested volume "{volume.metadata.name}": {problem}'
                self._recorder.event(claim, "Warning", "VolumeMismatch", why, component=COMPONENT)
                await self._writes.set_claim_phase(claim, "Pending")
            else:
                await self._writes.bind(volume, claim)
        else:
            why = f'volume "{volume.metadata.name}" already bound to a different claim.'
            self._recorder.event(claim, "Warning", "FailedBinding", why, component=COMPONENT)
            await self._writes.set_claim_phase(claim, "Pending")

    # --- a claim that was bound -----------------------------------------------------------------------

    async def _check(self, claim: PersistentVolumeClaim) -> None:
        """Whether its volume is there and is its own."""
        name = claim.spec.volume_name
        if not name:
            why = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", why)
            return
        volume = self._volumes.get(name)
        if volume is None or not _is_of(volume, claim):
            volume = await self._live(name)
        if volume is None:
            why = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", why)
        elif volume.spec.claim_ref is None and claim.status.phase not in ("Bound", "Lost"):
            await self._bind_named(claim)  # who makes a claim may write the annotation on it: it proves nothing
        elif volume.spec.claim_ref is None or kept_for(volume, claim):
            await self._writes.bind(volume, claim)
        else:
            why = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", why)

    async def _live(self, name: str) -> PersistentVolume | None:
        try:
            return await self._client.get(PersistentVolume, name)
        except NotFound:
            return None

    async def _lose(self, claim: PersistentVolumeClaim, reason: str, why: str) -> None:
        if claim.status.phase != "Lost":
            self._recorder.event(claim, "Warning", reason, why, component=COMPONENT)
        await self._writes.set_claim_phase(claim, "Lost")


def _is_of(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    reference = volume.spec.claim_ref
    return reference is not None and reference.uid == claim.metadata.uid
