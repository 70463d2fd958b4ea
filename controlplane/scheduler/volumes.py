"""The volumes of a pod that waits for a node: what keeps it out everywhere, where its claims can be met, and with what.

- A claim that is bound: its volume says which nodes reach it.
- A claim of a class that binds at once, and is not bound yet: the pod waits, whatever the node.
- A claim that waits for its first consumer: on each node either a free volume of the class that the node reaches, or a
  provisioner that may make one there. Which node it became is written before the pod is bound (volume_binding.py).

Volumes that were promised to a pod on its way to its node are not promised again until its binding has ended: by then
the caches show what became of it. Messages are Kubernetes' (plugins/volumebinding).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.node_folders import PROVISIONER
from apiserver.api.node_terms import node_term
from apiserver.api.quantity import value
from apiserver.api.storage import StorageClass, TopologySelectorTerm
from apiserver.client import Informer
from controlplane import host_path

from .matching import NodeNeeds
from .pod_info import HOSTNAME
from .volume_matching import (
    BY_CLAIM,
    NO_PROVISIONER,
    SELECTED_NODE,
    STORAGE,
    WAIT_FOR_FIRST_CONSUMER,
    by_claim,
    class_of_claim,
    class_of_volume,
    find_volume,
    is_bound,
    kept_volume,
)

UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) had volume node affinity conflict"
BIND_CONFLICT = "node(s) didn't find available persistent volumes to bind"
VOLUME_MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"

#: Affinities of volumes that are kept as they are matched.
NEEDS_MAX = 10_000


class VolumePlan(msgspec.Struct):
    """What must come true before the pod may go to the node. `static`: claims and the free volumes they get;
    `provisioned`: claims for which a volume is made there."""

    node: str
    static: list[tuple[PersistentVolumeClaim, PersistentVolume]] = []
    provisioned: list[PersistentVolumeClaim] = []

    def __bool__(self) -> bool:
        return bool(self.static or self.provisioned)


class PodVolumes:
    """Of one pod at one moment. `refusal`: what keeps it out of every node; "" when nothing does."""

    def __init__(self, source: Volumes, *, refusal: str = "") -> None:
        self.refusal = refusal
        self.bound: list[PersistentVolume] = []
        self.missing = False  # a claim is bound to a volume that is not there
        self.delayed: list[PersistentVolumeClaim] = []
        self._source = source

    def why_not(self, node: Node) -> str:
        """Why the claims keep the pod away from the node; "" when they do not."""
        if self.missing:
            return VOLUME_MISSING
        if not all(self._source.reaches(volume, node) for volume in self.bound):
            return NODE_CONFLICT
        return "" if self.plan(node) is not None else BIND_CONFLICT

    def plan(self, node: Node) -> VolumePlan | None:
        """None when a claim cannot be met there."""
        plan = VolumePlan(node.metadata.name)
        taken = set(self._source.promised_volumes)
        for claim in self.delayed:
            selected = self._source.selected_node(claim)
            if selected:
                if selected != node.metadata.name:
                    return None
                plan.provisioned.append(claim)
                continue
            kept = self._source.kept_volume(claim)
            if kept is not None and not self._source.reaches(kept, node):
                return None
            volume = kept or self._source.free_volume(claim, node, taken)
            if volume is not None:
                taken.add(volume.metadata.name)
                plan.static.append((claim, volume))
            elif self._source.can_provision(claim, node):
                plan.provisioned.append(claim)
            else:
                return None
        return plan


class Volumes:
    """Looks things up in the shared caches. `promised_volumes`: name of a volume -> uid of the claim it was promised
    to; `promised_nodes`: uid of a claim -> the node where its volume is to be made."""

    def __init__(
        self,
        claims: Informer[PersistentVolumeClaim],
        volumes: Informer[PersistentVolume],
        classes: Informer[StorageClass],
    ) -> None:
        self._claims = claims.cache
        self._volumes = volumes.cache
        self._classes = classes.cache
        volumes.add_index(FREE, _free)
        volumes.add_index(BY_CLAIM, by_claim)
        self._needs: dict[str, tuple[str, NodeNeeds | None]] = {}  # name of a volume -> version, nodes that reach it
        self.promised_volumes: dict[str, str] = {}
        self.promised_nodes: dict[str, str] = {}

    def of(self, pod: Pod) -> PodVolumes | None:
        """None for a pod without claims."""
        names = claim_names(pod)
        if not names:
            return None
        found = PodVolumes(self)
        unbound = False
        for name, ephemeral in names.items():
            claim = self._claims.get(name, namespace=pod.metadata.namespace)
            refusal = _refusal(pod, name, claim, ephemeral=ephemeral)
            if refusal or claim is None:
                return PodVolumes(self, refusal=refusal)
            if is_bound(claim):
                volume = self._volumes.get(claim.spec.volume_name)
                found.missing |= volume is None
                found.bound += [volume] if volume is not None else []
            elif not claim.spec.volume_name and self._waits_for_consumer(claim):
                found.delayed.append(claim)
            else:
                unbound = True
        if unbound:
            return PodVolumes(self, refusal=UNBOUND_IMMEDIATE)
        found.delayed.sort(key=_wanted)  # the smallest first, so that it does not take what a larger one needs
        return found

    def promise(self, plan: VolumePlan) -> None:
        for claim, volume in plan.static:
            self.promised_volumes[volume.metadata.name] = claim.metadata.uid
        for claim in plan.provisioned:
            self.promised_nodes[claim.metadata.uid] = plan.node

    def release(self, plan: VolumePlan) -> None:
        for claim, volume in plan.static:
            if self.promised_volumes.get(volume.metadata.name) == claim.metadata.uid:
                del self.promised_volumes[volume.metadata.name]
        for claim in plan.provisioned:
            self.promised_nodes.pop(claim.metadata.uid, None)

    # --- for a pod's volumes --------------------------------------------------------------------------

    def reaches(self, volume: PersistentVolume, node: Node) -> bool:
        meta, affinity = volume.metadata, volume.spec.node_affinity
        if affinity is None or affinity.required is None:
            return True
        version, needs = self._needs.get(meta.name, ("", None))
        if needs is None or version != meta.resource_version:
            needs = NodeNeeds(terms=tuple(map(node_term, affinity.required.node_selector_terms)))
            if len(self._needs) > NEEDS_MAX:
                self._needs.clear()
            self._needs[meta.name] = (meta.resource_version, needs)
        return needs.matches(node.metadata.name, node.metadata.labels)

    def selected_node(self, claim: PersistentVolumeClaim) -> str:
        """Where the claim's volume is being made, if that was decided before."""
        return self.promised_nodes.get(claim.metadata.uid) or claim.metadata.annotations.get(SELECTED_NODE, "")

    def kept_volume(self, claim: PersistentVolumeClaim) -> PersistentVolume | None:
        meta = claim.metadata
        return kept_volume(self._volumes.by_index(BY_CLAIM, f"{meta.namespace}/{meta.name}"), claim)

    def free_volume(self, claim: PersistentVolumeClaim, node: Node, taken: set[str]) -> PersistentVolume | None:
        name, host = class_of_claim(claim), node.metadata.labels.get(HOSTNAME, "")
        volumes = self._volumes.by_index(FREE, f"{name}/")
        if host:
            volumes += self._volumes.by_index(FREE, f"{name}/{host}")
        return find_volume(claim, volumes, taken=taken, reaches=lambda volume: self.reaches(volume, node))

    def can_provision(self, claim: PersistentVolumeClaim, node: Node) -> bool:
        storage_class = self._classes.get(class_of_claim(claim))
        if storage_class is None or storage_class.provisioner in ("", NO_PROVISIONER):
            return False
        if storage_class.provisioner == PROVISIONER and host_path.why_not(claim, storage_class):
            return False
        terms = storage_class.allowed_topologies
        return not terms or any(_has_topology(node.metadata.labels, term) for term in terms)

    def _waits_for_consumer(self, claim: PersistentVolumeClaim) -> bool:
        storage_class = self._classes.get(class_of_claim(claim))
        return storage_class is not None and storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER


#: Index of free volumes by class and by the nodes that reach them, `class/hostname`, or `class/` for those that are of
#: no nodes in particular: of thousands of local volumes only those of a node are looked at for it.
FREE = "free volumes"


def _free(volume: PersistentVolume) -> Iterable[str]:
    if volume.spec.claim_ref is not None or volume.status.phase != "Available":
        return ()
    return (f"{class_of_volume(volume)}/{host}" for host in _hosts(volume))


def _hosts(volume: PersistentVolume) -> list[str]:
    affinity = volume.spec.node_affinity
    terms = affinity.required.node_selector_terms if affinity is not None and affinity.required is not None else []
    found: list[str] = []
    for term in terms:
        named = [each.values for each in term.match_expressions if each.key == HOSTNAME and each.operator == "In"]
        if not named:
            return [""]
        found += named[0]
    return found or [""]


def claim_names(pod: Pod) -> dict[str, bool]:
    """Names of the claims a pod uses, each with whether it is made for this very pod."""
    found: dict[str, bool] = {}
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found[volume.persistent_volume_claim.claim_name] = False
        elif volume.ephemeral is not None:
            found[f"{pod.metadata.name}-{volume.name}"] = True
    return found


def _refusal(pod: Pod, name: str, claim: PersistentVolumeClaim | None, *, ephemeral: bool) -> str:
    """What is wrong with a claim, whatever its class."""
    if claim is None:
        if ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    meta = pod.metadata
    if ephemeral and not any(owner.controller and owner.uid == meta.uid for owner in claim.metadata.owner_references):
        return f"PVC {meta.namespace}/{name} was not created for pod {meta.namespace}/{meta.name} (pod is not owner)"
    return ""


def _wanted(claim: PersistentVolumeClaim) -> int:
    return value(claim.spec.resources.requests.get(STORAGE, 0))


def _has_topology(labels: Mapping[str, str], term: TopologySelectorTerm) -> bool:
    return all(labels.get(each.key) in each.values for each in term.match_label_expressions)
