"""What must hold of volumes, claims and the pods that use them: at each write, and when nothing happens any more."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fake_api import FakeApi

from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.quantity import value

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def uid_of_claim(volume: PersistentVolume | None) -> str:
    return volume.spec.claim_ref.uid if volume is not None and volume.spec.claim_ref is not None else ""


def claims_of_pod(pod: Pod) -> set[str]:
    used = (each.persistent_volume_claim for each in pod.spec.volumes)
    return {each.claim_name for each in used if each is not None}


def only_on(node: str) -> dict[str, Any]:
    """A volume's node affinity."""
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def nodes_of(volume: PersistentVolume) -> list[str] | None:
    """Names of the nodes that reach it; None for all. Affinities here are of one term about hostnames."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return None
    return affinity.required.node_selector_terms[0].match_expressions[0].values


class VolumeRules:
    """A hook for World.check.

    given: uid of a volume -> uids of all claims that were bound to it since an administrator gave it free (`wiped`).
    """

    def __init__(self, api: FakeApi, *, scheduled: bool = False, alone: bool = True) -> None:
        """`scheduled`: by something that knows of volumes. `alone`: there is one binder; two of them, each behind what
        the other does, may both keep a volume for a claim, until it takes one of the two."""
        self._api = api
        self._scheduled = scheduled
        self._alone = alone
        self.given: dict[str, set[str]] = defaultdict(set)
        self._uses: dict[str, set[str]] = {}  # uid of a pod on a node -> uids of the claims it was put there with
        self.bindings = 0

    def wiped(self, volume: PersistentVolume) -> None:
        """An administrator says that there is nobody's data on it."""
        self.given.pop(volume.metadata.uid, None)

    def __call__(self, verb: str, old: Any, new: Any) -> None:
        if isinstance(old or new, PersistentVolume):
            self._volume_changed(old, new)
        elif isinstance(old or new, PersistentVolumeClaim):
            self._claim_changed(old, new)
        elif isinstance(old or new, Pod):
            self._pod_changed(old, new)

    def _volume_changed(self, old: PersistentVolume | None, new: PersistentVolume | None) -> None:
        before, after = uid_of_claim(old), uid_of_claim(new)
        name = (old or new).metadata.name  # type: ignore[union-attr]
        if before and after:
            assert before == after, f"volume {name} went straight from one claim to another"
        let_go = new is None or new.status.phase in ("Released", "Failed", "Available") or not after
        if before and let_go:
            owner = next(
                (each for each in self._api.objects(PersistentVolumeClaim) if each.metadata.uid == before), None
            )
            has_it = owner is not None and BIND_COMPLETED in owner.metadata.annotations
            if has_it and owner is not None and owner.spec.volume_name == name:
                raise AssertionError(f"volume {name} was let go though its claim is there and bound to it")
        self._nobody_has_two()

    def _claim_changed(self, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> None:
        if new is None:
            assert old is not None
            self._may_go(old)
            return
        if BIND_COMPLETED in new.metadata.annotations and new.status.phase != "Lost":
            volume = self._api.get(PersistentVolume, new.spec.volume_name)
            if volume is not None and uid_of_claim(volume) == new.metadata.uid:
                given = self.given[volume.metadata.uid]
                self.bindings += new.metadata.uid not in given
                given.add(new.metadata.uid)
                assert len(given) == 1, f"data of one claim was given to another on volume {volume.metadata.name}"
        self._nobody_has_two()

    def _may_go(self, claim: PersistentVolumeClaim) -> None:
        if BIND_COMPLETED not in claim.metadata.annotations:
            return
        for pod in self._api.objects(Pod):
            if claim.metadata.uid in self._uses.get(pod.metadata.uid, ()):
                raise AssertionError(f"claim {claim.metadata.name} is gone while pod {pod.metadata.name} uses it")

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            assert old is not None
            self._uses.pop(old.metadata.uid, None)
        elif new.spec.node_name and not (old is not None and old.spec.node_name):
            names = claims_of_pod(new)
            if self._scheduled:
                self._reaches(new, names)
            self._uses[new.metadata.uid] = {
                each.metadata.uid
                for each in self._api.objects(PersistentVolumeClaim)
                if each.metadata.name in names and each.metadata.deletion_timestamp is None
            }

    def _reaches(self, pod: Pod, names: set[str]) -> None:
        """A pod gets to a node with its volumes, or not at all."""
        for each in self._api.objects(PersistentVolumeClaim):
            if each.metadata.name not in names or each.metadata.deletion_timestamp is not None:
                continue
            assert each.spec.volume_name, f"pod {pod.metadata.name} got a node, its claim has no volume"
            volume = self._api.get(PersistentVolume, each.spec.volume_name)
            nodes = nodes_of(volume) if volume is not None else None
            where = f"volume {each.spec.volume_name} is on {nodes}, the pod went to {pod.spec.node_name}"
            assert nodes is None or pod.spec.node_name in nodes, where

    def _nobody_has_two(self) -> None:
        claims = self._api.objects(PersistentVolumeClaim)
        bound = [
            each for each in claims if BIND_COMPLETED in each.metadata.annotations and each.status.phase == "Bound"
        ]
        names = [each.spec.volume_name for each in bound]
        assert len(names) == len(set(names)), f"two claims are bound to one volume: {sorted(names)}"
        volumes = [each for each in self._api.objects(PersistentVolume) if each.status.phase == "Bound"]
        # one that is deleted before its claim took it is given up for another
        owners = [uid_of_claim(each) for each in volumes if each.metadata.deletion_timestamp is None]
        assert not self._alone or len(owners) == len(set(owners)), "two volumes are bound to one claim"


# --- when nothing happens any more ------------------------------------------------------------------------


def check_settled(api: FakeApi) -> None:
    """Each side knows of the other, and says so. For worlds where nothing was taken away by force."""
    claims = {each.metadata.uid: each for each in api.objects(PersistentVolumeClaim)}
    for volume in api.objects(PersistentVolume):
        _check_volume(volume, claims.get(uid_of_claim(volume)))
    for claim in claims.values():
        _check_claim(claim, api.get(PersistentVolume, claim.spec.volume_name) if claim.spec.volume_name else None)


def _check_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> None:
    meta, phase = volume.metadata, volume.status.phase
    policy = volume.spec.persistent_volume_reclaim_policy
    if not uid_of_claim(volume):
        assert phase == "Available", f"{meta.name} is {phase} and nobody's"
    elif claim is None:
        assert phase == ("Failed" if policy in ("Delete", "Recycle") else "Released"), f"{meta.name} is {phase}"
        assert not (policy == "Delete" and PROVISIONED_BY in meta.annotations), f"{meta.name} was made and not deleted"
    elif claim.spec.volume_name:
        assert (claim.spec.volume_name, phase) == (meta.name, "Bound")
    if phase != "Bound":
        assert meta.deletion_timestamp is None, f"{meta.name} was deleted and does not go"
    assert "kubernetes.io/pv-protection" in meta.finalizers


def _check_claim(claim: PersistentVolumeClaim, volume: PersistentVolume | None) -> None:
    meta, status = claim.metadata, claim.status
    assert "kubernetes.io/pvc-protection" in meta.finalizers
    if BIND_COMPLETED not in meta.annotations:
        assert status.phase == "Pending"
        assert not status.capacity
        return
    assert volume is not None
    assert status.phase == "Bound"
    assert volume.metadata.uid
    assert uid_of_claim(volume) == meta.uid
    assert status.capacity == volume.spec.capacity
    assert status.access_modes == volume.spec.access_modes


def could_be_bound(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    """Whether an unbound claim could have the volume as it is. Said in another way than the controllers have it."""
    spec, wants = volume.spec, claim.spec
    if volume.metadata.deletion_timestamp is not None or claim.metadata.deletion_timestamp is not None:
        return False
    if value(spec.capacity["storage"]) < value(wants.resources.requests["storage"]):
        return False
    if not all(mode in spec.access_modes for mode in wants.access_modes):
        return False
    reference = spec.claim_ref
    if reference is not None:
        same_name = (reference.namespace, reference.name) == (claim.metadata.namespace, claim.metadata.name)
        return same_name and reference.uid in ("", claim.metadata.uid)
    return spec.storage_class_name == (wants.storage_class_name or "")
