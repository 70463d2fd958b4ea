"""Before a pod with claims goes to its node: the volumes it was promised become its own.

A free volume gets the claim's reference, a claim whose volume is to be made gets the node's name (the annotation
`volume.kubernetes.io/selected-node`); the volume controllers do the rest. Both writes name the version they change, so
that nobody else's promise is overwritten; what changed otherwise is looked at and tried again. Then the pod waits until
every claim is bound: at most `timeout_s`, and not once a provisioner has given up, which it says by taking the
annotation away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.errors import ApiError, Conflict, Fenced
from apiserver.client import Change, Client, Informer

from .volume_matching import BOUND_BY_CONTROLLER, SELECTED_NODE, is_bound, kept_for, reference_to
from .volumes import VolumePlan

TIMEOUT_S = 600.0
#: So often a claim or volume may change under a write: finalizers and phases come soon after it was made.
CONFLICTS_MAX = 5


class VolumesNotBound(Exception):
    """Why, for people. The pod has to look for a node again."""


class VolumeBinding:
    """`carry_out` may run for many pods at once."""

    def __init__(
        self,
        client: Client,
        claims: Informer[PersistentVolumeClaim],
        *,
        reaches: Callable[[PersistentVolume, str], bool],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`reaches`: whether a volume can be used on the node of that name."""
        self._client = client
        self._claims = claims.cache
        self._reaches = reaches
        self._timeout_s = timeout_s
        self._waiting: dict[str, set[asyncio.Event]] = {}  # by uid of the claim
        claims.add_handler(self._changed)

    async def carry_out(self, plan: VolumePlan) -> None:
        """Returns once all are bound. Raises VolumesNotBound, and Fenced."""
        changed = asyncio.Event()
        claims = [*(claim for claim, _ in plan.static), *plan.provisioned]
        for claim in claims:
            self._waiting.setdefault(claim.metadata.uid, set()).add(changed)
        try:
            versions = await self._write(plan)
            async with asyncio.timeout(self._timeout_s):
                while not all(self._has_volume(claim, plan.node, versions) for claim in claims):
                    changed.clear()
                    await changed.wait()
            await self._check_places(plan)
        except TimeoutError:
            raise VolumesNotBound("binding volumes: timed out waiting for the condition") from None
        finally:
            for claim in claims:
                waiting = self._waiting[claim.metadata.uid]
                waiting.discard(changed)
                if not waiting:
                    del self._waiting[claim.metadata.uid]

    async def _write(self, plan: VolumePlan) -> dict[str, int]:
        """Uid of each claim that now names the node -> its version since then."""
        versions = {}
        try:
            for claim, volume in plan.static:
                if not kept_for(volume, claim) or not _reference_uid(volume):
                    await self._promise(claim, volume)
            for claim in plan.provisioned:
                if claim.metadata.annotations.get(SELECTED_NODE) != plan.node:
                    versions[claim.metadata.uid] = int(await self._select(claim, plan.node))
        except Fenced:
            raise
        except ApiError as error:
            raise VolumesNotBound(f"binding volumes: {error.message}") from error
        return versions

    async def _promise(self, claim: PersistentVolumeClaim, volume: PersistentVolume) -> None:
        """Raises Conflict when somebody else took the volume; other changes of it do not matter."""
        name = volume.metadata.name
        for _ in range(CONFLICTS_MAX):
            try:
                await self._client.patch(PersistentVolume, name, _promised(claim, volume))
                return
            except Conflict as error:
                if type(error) is not Conflict:
                    raise
                found = await self._client.get(PersistentVolume, name)
                if not _may_be_promised(found, claim, volume):
                    raise
                volume = found
        raise VolumesNotBound(f'binding volumes: persistentvolume "{name}" changes all the time')

    async def _select(self, claim: PersistentVolumeClaim, node: str) -> str:
        """The claim's version that names the node. Raises Conflict when it names another by now, or needs none."""
        meta = claim.metadata
        for _ in range(CONFLICTS_MAX):
            guard = {"uid": meta.uid, "resourceVersion": meta.resource_version}
            patch = {"metadata": {**guard, "annotations": {SELECTED_NODE: node}}}
            try:
                written = await self._client.patch(PersistentVolumeClaim, meta.name, patch, namespace=meta.namespace)
                return written.metadata.resource_version
            except Conflict as error:
                if type(error) is not Conflict:
                    raise
                found = await self._client.get(PersistentVolumeClaim, meta.name, namespace=meta.namespace)
                if not _may_be_selected(found, claim, node):
                    raise
                meta = found.metadata
                if meta.annotations.get(SELECTED_NODE) == node:
                    return meta.resource_version
        raise VolumesNotBound(f'binding volumes: persistentvolumeclaim "{meta.name}" changes all the time')

    def _has_volume(self, claim: PersistentVolumeClaim, node: str, versions: dict[str, int]) -> bool:
        """Raises VolumesNotBound when it never will."""
        meta = claim.metadata
        found = self._claims.get(meta.name, namespace=meta.namespace)
        if found is None or found.metadata.uid != meta.uid:
            _fail(f'persistentvolumeclaim "{meta.name}" not found')
        if is_bound(found):
            return True
        written = versions.get(meta.uid)
        if written is None or int(found.metadata.resource_version) < written:
            return False  # nothing was to be selected, or the cache has not seen it yet
        selected = found.metadata.annotations.get(SELECTED_NODE, "")
        if not selected:
            _fail(f'binding volumes: provisioning failed for PVC "{meta.name}"')
        if selected != node:
            _fail(
                f'binding volumes: pvc "{meta.name}" was selected for node "{selected}", the pod is to go to "{node}"'
            )
        return False

    async def _check_places(self, plan: VolumePlan) -> None:
        """Somebody else may have given a claim another volume than was planned. Raises VolumesNotBound when the node
        does not reach it."""
        planned = {claim.metadata.uid: volume.metadata.name for claim, volume in plan.static}
        for claim in (*(claim for claim, _ in plan.static), *plan.provisioned):
            meta = claim.metadata
            found = self._claims.get(meta.name, namespace=meta.namespace)
            name = found.spec.volume_name if found is not None else ""
            if name == planned.get(meta.uid):
                continue
            try:
                volume = await self._client.get(PersistentVolume, name)
            except Fenced:
                raise
            except ApiError as error:
                raise VolumesNotBound(f"binding volumes: {error.message}") from error
            if not self._reaches(volume, plan.node):
                _fail(
                    f'binding volumes: pv "{name}" node affinity doesn\'t match node "{plan.node}": '
                    "no matching NodeSelectorTerms"
                )

    def _changed(self, change: Change[PersistentVolumeClaim]) -> None:
        for event in self._waiting.get(change.object.metadata.uid, ()):
            event.set()


def _promised(claim: PersistentVolumeClaim, volume: PersistentVolume) -> dict[str, Any]:
    """The patch that keeps the volume, as it is, for the claim."""
    metadata = {
        "uid": volume.metadata.uid,
        "resourceVersion": volume.metadata.resource_version,
        **({} if volume.spec.claim_ref else {"annotations": {BOUND_BY_CONTROLLER: "yes"}}),
    }
    return {"metadata": metadata, "spec": {"claimRef": reference_to(claim)}}


def _may_be_promised(found: PersistentVolume, claim: PersistentVolumeClaim, chosen: PersistentVolume) -> bool:
    """What became of the volume that was chosen: it fits as it did, since what is matched of it hardly ever changes."""
    nobodys = found.spec.claim_ref is None and found.status.phase == "Available"
    return (
        found.metadata.uid == chosen.metadata.uid
        and found.metadata.deletion_timestamp is None
        and (nobodys or kept_for(found, claim))
        and found.metadata.labels == chosen.metadata.labels
        and found.spec.capacity == chosen.spec.capacity
    )


def _may_be_selected(found: PersistentVolumeClaim, claim: PersistentVolumeClaim, node: str) -> bool:
    return (
        found.metadata.uid == claim.metadata.uid
        and found.metadata.deletion_timestamp is None
        and not found.spec.volume_name
        and found.metadata.annotations.get(SELECTED_NODE) in (None, node)
    )


def _reference_uid(volume: PersistentVolume) -> str:
    return volume.spec.claim_ref.uid if volume.spec.claim_ref else ""


def _fail(why: str) -> NoReturn:
    raise VolumesNotBound(why)
