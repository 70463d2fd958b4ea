"""Makes the claims of pods' ephemeral volumes: named after pod and volume, owned by the pod, gone with it.

What must hold: a claim is made only while its pod is there and stays, and one of that name that is not the pod's own is
left alone: its data is somebody else's. The garbage collector removes the claim when the pod is gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.core.persistent_volumes import PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.core.volumes import Volume
from apiserver.api.errors import AlreadyExists
from apiserver.api.meta import ObjectMeta, OwnerReference
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller

COMPONENT = "ephemeral_volume"


def parts(context: Context) -> list[Part]:
    caches = context.caches
    return [
        controller(
            context,
            "ephemeral-volume",
            EphemeralClaims(context),
            [Source(caches.pods, _pod_that_wants), Source(caches.persistent_volume_claims, _owner_that_lost)],
        )
    ]


class EphemeralClaims:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods = context.caches.pods.cache
        self._claims = context.caches.persistent_volume_claims.cache
        self._recorder = context.recorder

    async def reconcile(self, request: Request) -> Result:
        pod = self._pods.get(request.name, namespace=request.namespace)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return DONE
        for volume in pod.spec.volumes:
            if volume.ephemeral is not None:
                await self._ensure(pod, volume)
        return DONE

    async def _ensure(self, pod: Pod, volume: Volume) -> None:
        wanted = claim_for(pod, volume)
        claim = self._claims.get(wanted.metadata.name, namespace=wanted.metadata.namespace)
        if claim is None:
            try:
                await self._client.create(wanted)
                return
            except AlreadyExists:
                claim = await self._client.get(
                    PersistentVolumeClaim, wanted.metadata.name, namespace=wanted.metadata.namespace
                )
        if not any(each.controller and each.uid == pod.metadata.uid for each in claim.metadata.owner_references):
            why = f"PVC {claim.metadata.namespace}/{claim.metadata.name} was not created for pod (pod is not owner)"
            text = f"ephemeral volume {volume.name}: {why}"
            self._recorder.event(pod, "Warning", "FailedBinding", text, component=COMPONENT)


def claim_for(pod: Pod, volume: Volume) -> PersistentVolumeClaim:
    meta = pod.metadata
    template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
    assert template is not None
    owner = OwnerReference(
        api_version="v1", kind="Pod", name=meta.name, uid=meta.uid, controller=True, block_owner_deletion=True
    )
    return PersistentVolumeClaim(
        metadata=ObjectMeta(
            name=f"{meta.name}-{volume.name}",
            namespace=meta.namespace,
            labels=template.metadata.labels,
            annotations=template.metadata.annotations,
            owner_references=[owner],
        ),
        spec=template.spec,
    )


def _pod_that_wants(change: Change[Pod]) -> Iterable[Request]:
    pod = change.object
    if change.type == "deleted" or not any(each.ephemeral is not None for each in pod.spec.volumes):
        return ()
    return (Request.of(pod),)


def _owner_that_lost(change: Change[PersistentVolumeClaim]) -> Iterable[Request]:
    """A claim that goes makes room for the pod's own, of the same name, or has to be made again."""
    if change.type != "deleted":
        return ()
    meta = change.object.metadata
    return [Request(meta.namespace, each.name) for each in meta.owner_references if each.kind == "Pod"]
