"""Before a pod with claims goes to its node: the volumes it was promised become its own.

A free volume gets the claim's reference, a claim whose volume is to be made gets the node's name (the annotation
`volume.kubernetes.io/selected-node`); the volume controllers do the rest. Both writes name the version they change, so
that nobody else's promise is overwritten. Then the pod waits until every claim is bound: at most `timeout_s`, and not
once a provisioner has given up, which it says by taking the annotation away.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.errors import ApiError, Fenced
from apiserver.client import Change, Client, Informer

from .volume_matching import BOUND_BY_CONTROLLER, SELECTED_NODE, is_bound, kept_for
from .volumes import VolumePlan

TIMEOUT_S = 600.0


class VolumesNotBound(Exception):
    """Why, for people. The pod has to look for a node again."""


class VolumeBinding:
    """`carry_out` may run for many pods at once."""

    def __init__(
        self, client: Client, claims: Informer[PersistentVolumeClaim], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._client = client
        self._claims = claims.cache
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
        meta = claim.metadata
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        metadata = {
            "uid": volume.metadata.uid,
            "resourceVersion": volume.metadata.resource_version,
            **({} if volume.spec.claim_ref else {"annotations": {BOUND_BY_CONTROLLER: "yes"}}),
        }
        patch = {"metadata": metadata, "spec": {"claimRef": reference}}
        await self._client.patch(PersistentVolume, volume.metadata.name, patch)

    async def _select(self, claim: PersistentVolumeClaim, node: str) -> str:
        meta = claim.metadata
        patch = {
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "annotations": {SELECTED_NODE: node},
            }
        }
        written = await self._client.patch(PersistentVolumeClaim, meta.name, patch, namespace=meta.namespace)
        return written.metadata.resource_version

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

    def _changed(self, change: Change[PersistentVolumeClaim]) -> None:
        for event in self._waiting.get(change.object.metadata.uid, ()):
            event.set()


def _reference_uid(volume: PersistentVolume) -> str:
    return volume.spec.claim_ref.uid if volume.spec.claim_ref else ""


def _fail(why: str) -> NoReturn:
    raise VolumesNotBound(why)
