"""Makes volumes on demand: a folder of the node where the claim's first pod goes. And the default class for it.

The class waits for its first consumer: the scheduler says which node by an annotation on the claim, and what is made
here is an object alone; the node's agent makes the folder when it mounts it. From then on the volume has the node's
finalizer: who deletes it waits for the node to remove the folder, unless the node is gone for good. The name of a
volume follows from the claim's uid, so that a claim gets one however often it is tried. Without a node to make it on,
or with a wish that a folder cannot meet, the annotation is taken away, which sends the pod back to the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable

from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import (
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from apiserver.api.core.scheduling import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from apiserver.api.core.volume_sources import HostPathVolumeSource
from apiserver.api.errors import AlreadyExists, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.api.node_folders import (
    FINALIZER,
    NODE_LABEL,
    PROVISIONED_BY,
    PROVISIONER,
    VOLUMES_ANNOTATION,
    folder_name,
    label_of,
    volume_name,
)
from apiserver.api.node_terms import NAME_FIELD
from apiserver.api.storage import StorageClass
from apiserver.client import Change
from controlplane.host_path import FOLDER, PATH, why_not
from controlplane.runtime import DONE, Context, Part, Request, Result, Source, controller, own_key
from controlplane.scheduler.volume_matching import SELECTED_NODE, WAIT_FOR_FIRST_CONSUMER, class_of_claim, reference_to

from .periodic import Periodic
from .storage_classes import DEFAULT_ANNOTATION, is_default
from .volume_binder import PENDING_BY_CLASS, pending_of_class
from .volume_protection import VOLUME_FINALIZER
from .writes import guarded, this_version

CLASS = "host-path"
HOSTNAME = "kubernetes.io/hostname"
COMPONENT = f"{PROVISIONER}_provisioner"
WORKERS = 4
CLASS_PERIOD_S = 3600.0
GOING_BY_NODE = "volumes that are deleted, by the label of the node whose folders they are"
NODES_BY_LABEL = "nodes, by the label that volumes have which are their folders"


def parts(context: Context) -> list[Part]:
    caches = context.caches
    claims, classes, volumes = caches.persistent_volume_claims, caches.storage_classes, caches.persistent_volumes
    claims.add_index(PENDING_BY_CLASS, pending_of_class)
    volumes.add_index(GOING_BY_NODE, lambda each: (each.metadata.labels[NODE_LABEL],) if _waits_for_node(each) else ())
    caches.nodes.add_index(NODES_BY_LABEL, lambda each: (label_of(each.metadata.name),))

    def claims_of_class(change: Change[StorageClass]) -> Iterable[Request]:
        return map(Request.of, claims.cache.by_index(PENDING_BY_CLASS, change.object.metadata.name))

    def folders_of_lost_node(change: Change[Node]) -> Iterable[Request]:
        if change.type != "deleted":
            return ()
        return map(Request.of, volumes.cache.by_index(GOING_BY_NODE, label_of(change.object.metadata.name)))

    return [
        controller(
            context,
            "persistentvolume-provisioner",
            Provisioner(context),
            [
                Source(claims, own_key),
                Source(classes, claims_of_class),
                Source(volumes, _claim_that_lost),
                Source(caches.nodes, lambda _: ()),
            ],
            workers=WORKERS,
        ),
        controller(
            context,
            "persistentvolume-deleter",
            Deleter(context),
            [Source(volumes, own_key), Source(caches.nodes, folders_of_lost_node)],
            workers=WORKERS,
        ),
        Periodic(context, "default-storage-class", DefaultClass(context), [classes]),
    ]


class DefaultClass:
    """A Sweep: there is a class for claims that name none, unless there is another default, or ours was changed."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._classes = context.caches.storage_classes.cache

    async def sweep(self) -> float:
        if not any(map(is_default, self._classes)) and self._classes.get(CLASS) is None:
            made = StorageClass(
                metadata=ObjectMeta(name=CLASS, annotations={DEFAULT_ANNOTATION: "true"}),
                provisioner=PROVISIONER,
                reclaim_policy="Delete",
                volume_binding_mode=WAIT_FOR_FIRST_CONSUMER,
            )
            try:
                await self._client.create(made)
            except AlreadyExists:
                return CLASS_PERIOD_S  # the cache was behind
        return CLASS_PERIOD_S


class Provisioner:
    def __init__(self, context: Context) -> None:
        caches = context.caches
        self._client = context.client
        self._claims = caches.persistent_volume_claims.cache
        self._classes = caches.storage_classes.cache
        self._volumes = caches.persistent_volumes.cache
        self._nodes = caches.nodes.cache
        self._recorder = context.recorder

    async def reconcile(self, request: Request) -> Result:
        claim = self._claims.get(request.name, namespace=request.namespace)
        if claim is None or not _waits(claim):
            return DONE
        storage_class = self._classes.get(class_of_claim(claim))
        if storage_class is None or storage_class.provisioner != PROVISIONER or self._volumes.get(volume_name(claim)):
            return DONE
        problem = why_not(claim, storage_class)
        if problem:
            await self._give_up(claim, problem)
            return DONE
        chosen = claim.metadata.annotations.get(SELECTED_NODE, "")
        if not chosen:
            return DONE  # its first consumer is still to come
        node = self._nodes.get(chosen) or await self._live(chosen)
        if node is None:
            await self._give_up(claim, f'node "{chosen}" not found')
            return DONE
        await self._make(claim, storage_class, node)
        return DONE

    async def _live(self, name: str) -> Node | None:
        try:
            return await self._client.get(Node, name)
        except NotFound:
            return None

    async def _give_up(self, claim: PersistentVolumeClaim, why: str) -> None:
        text = f'failed to provision volume with StorageClass "{class_of_claim(claim)}": {why}'
        self._recorder.event(claim, "Warning", "ProvisioningFailed", text, component=COMPONENT)
        meta = claim.metadata
        if SELECTED_NODE not in meta.annotations:
            return
        change = guarded(claim)
        change["metadata"]["annotations"] = {SELECTED_NODE: None}
        await self._client.patch(PersistentVolumeClaim, meta.name, change, namespace=meta.namespace)

    async def _make(self, claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node) -> None:
        volume = volume_for(claim, storage_class, node)
        try:
            await self._client.create(volume)
        except AlreadyExists:
            return  # an answer was lost, or the cache is behind
        why = f"Successfully provisioned volume {volume.metadata.name}"
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", why, component=COMPONENT)


class Deleter:
    """What was made here and has been Released goes, if its reclaim policy says so. What waits for a node that is not
    there any more goes as well: nobody is left to remove the folder."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._volumes = context.caches.persistent_volumes.cache
        self._nodes = context.caches.nodes.cache

    async def reconcile(self, request: Request) -> Result:
        volume = self._volumes.get(request.name)
        if volume is not None and _waits_for_node(volume):
            if not self._nodes.by_index(NODES_BY_LABEL, volume.metadata.labels[NODE_LABEL]):
                await self._let_go(volume)
        elif volume is not None and _is_to_go(volume):
            # this very version: one that is anything but Released by now stays
            await self._client.delete(PersistentVolume, volume.metadata.name, options=this_version(volume))
        return DONE

    async def _let_go(self, volume: PersistentVolume) -> None:
        change = guarded(volume)
        change["metadata"]["finalizers"] = [each for each in volume.metadata.finalizers if each != FINALIZER]
        await self._client.patch(PersistentVolume, volume.metadata.name, change)


def _waits_for_node(volume: PersistentVolume) -> bool:
    """Deleted, bound to nothing, and its folder may still be there."""
    meta = volume.metadata
    waits = meta.deletion_timestamp is not None and FINALIZER in meta.finalizers and NODE_LABEL in meta.labels
    return waits and volume.status.phase != "Bound"


def _is_to_go(volume: PersistentVolume) -> bool:
    meta, spec = volume.metadata, volume.spec
    return (
        meta.annotations.get(PROVISIONED_BY) == PROVISIONER
        and spec.persistent_volume_reclaim_policy == "Delete"
        and spec.claim_ref is not None
        and volume.status.phase == "Released"
        and meta.deletion_timestamp is None
    )


def volume_for(claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node) -> PersistentVolume:
    """Kept for the claim from the beginning: nobody else can take it."""
    meta, name = claim.metadata, volume_name(claim)
    folder = (storage_class.parameters.get(PATH) or _folder_of(node)).rstrip("/")
    hostname = node.metadata.labels.get(HOSTNAME, node.metadata.name)
    only_there = NodeSelectorTerm(  # by name too: hosts that are parts of one machine may have its hostname
        match_expressions=[NodeSelectorRequirement(key=HOSTNAME, operator="In", values=[hostname])],
        match_fields=[NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=[node.metadata.name])],
    )
    return PersistentVolume(
        metadata=ObjectMeta(
            name=name,
            labels={NODE_LABEL: label_of(node.metadata.name)},
            annotations={PROVISIONED_BY: PROVISIONER},
            finalizers=[VOLUME_FINALIZER],
        ),
        spec=PersistentVolumeSpec(
            capacity=claim.spec.resources.requests,
            access_modes=claim.spec.access_modes,
            claim_ref=reference_to(claim),
            persistent_volume_reclaim_policy=storage_class.reclaim_policy or "Delete",
            storage_class_name=storage_class.metadata.name,
            mount_options=storage_class.mount_options,
            volume_mode="Filesystem",
            host_path=HostPathVolumeSource(
                path=f"{folder}/{folder_name(name, meta.namespace, meta.name)}", type="DirectoryOrCreate"
            ),
            node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=[only_there])),
        ),
    )


def _folder_of(node: Node) -> str:
    """Where the node says that it likes to have them."""
    said = node.metadata.annotations.get(VOLUMES_ANNOTATION, "")
    return said if said.startswith("/") and not {".", ".."} & set(said.split("/")) else FOLDER


def _waits(claim: PersistentVolumeClaim) -> bool:
    return not claim.spec.volume_name and claim.metadata.deletion_timestamp is None


def _claim_that_lost(change: Change[PersistentVolume]) -> Iterable[Request]:
    """A volume that was taken away before its claim was bound to it has to be made again."""
    reference = change.object.spec.claim_ref
    if change.type != "deleted" or reference is None:
        return ()
    return (Request(reference.namespace, reference.name),)
