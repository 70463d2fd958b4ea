"""Which objects a node needs: what the pods bound to it refer to, and the volumes behind their claims.

Kept up from changes of pods and PersistentVolumes. Of a pod only its node and the names it refers to are kept, one
tuple for all pods of a template, so that 10,000 pods cost a few MiB. A question looks at the pods of one node in one
namespace. Mirror pods refer to nothing: a node that could invent a pod could read any Secret.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from apiserver.api.node_folders import NODE_LABEL, label_of
from apiserver.api.pod_references import CLAIMS, SECRETS, pod_references, secret_refs

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
SHARED_MAX = 4096

#: Fields of a CSI PersistentVolume that name Secrets a node needs; those of controllers are not among them.
_CSI_NODE_SECRETS = ("node_stage_secret_ref", "node_publish_secret_ref", "node_expand_secret_ref")

_shared: dict[tuple[str, ...], tuple[str, ...]] = {}


class PodUses(NamedTuple):
    """`references` are `secrets/<name>`, `configmaps/<name>`, ... of the pod's namespace."""

    node: str
    references: tuple[str, ...]


class VolumeUses(NamedTuple):
    """`claim` is `<namespace>/<name>` or empty, `secrets` the same. `folder_of`: the label of the node that it is a
    folder of."""

    claim: str
    secrets: tuple[str, ...]
    folder_of: str = ""


class NodeGraph:
    """Feed it with `pod_changed` and `volume_changed`; both have the form that a mirror tells its listeners."""

    def __init__(self) -> None:
        self._node_of: dict[tuple[str, str], str] = {}
        self._nodes: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}  # node, namespace, pod -> references
        self._volumes: dict[str, VolumeUses] = {}
        self._volumes_by_secret: dict[str, set[str]] = {}

    def pod_changed(self, namespace: str, name: str, uses: PodUses | None) -> None:
        """`uses`: from `pod_uses`; None when the pod is gone."""
        held = self._node_of.pop((namespace, name), None)
        if held is not None and (uses is None or uses.node != held):
            self._drop_pod(held, namespace, name)
        if uses is not None and uses.node:
            self._node_of[namespace, name] = uses.node
            self._nodes.setdefault(uses.node, {}).setdefault(namespace, {})[name] = uses.references

    def volume_changed(self, _namespace: str, name: str, uses: VolumeUses | None) -> None:
        """`uses`: from `volume_uses`; None when the volume is gone."""
        held = self._volumes.pop(name, None)
        for secret in held.secrets if held else ():
            volumes = self._volumes_by_secret[secret]
            volumes.discard(name)
            if not volumes:
                del self._volumes_by_secret[secret]
        if uses is not None:
            self._volumes[name] = uses
            for secret in uses.secrets:
                self._volumes_by_secret.setdefault(secret, set()).add(name)

    def runs_pod(self, node: str, namespace: str, name: str) -> bool:
        return self._node_of.get((namespace, name)) == node

    def needs(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod bound to `node` uses that Secret, ConfigMap, claim or ServiceAccount."""
        pods = self._nodes.get(node, {}).get(namespace)
        reference = f"{resource}/{name}"
        if pods and any(reference in references for references in pods.values()):
            return True
        if resource != SECRETS:
            return False
        return any(self.needs_volume(node, each) for each in self._volumes_by_secret.get(f"{namespace}/{name}", ()))

    def needs_volume(self, node: str, name: str) -> bool:
        """Whether a pod bound to `node` uses the claim that the PersistentVolume is bound to."""
        held = self._volumes.get(name)
        if held is None or not held.claim:
            return False
        namespace, claim = held.claim.split("/", 1)
        return self.needs(node, CLAIMS, namespace, claim)

    def keeps_folder(self, node: str, name: str) -> bool:
        """Whether the PersistentVolume is a folder of the node."""
        held = self._volumes.get(name)
        return held is not None and bool(held.folder_of) and held.folder_of == label_of(node)

    def _drop_pod(self, node: str, namespace: str, name: str) -> None:
        namespaces = self._nodes[node]
        pods = namespaces[namespace]
        del pods[name]
        if not pods:
            del namespaces[namespace]
        if not namespaces:
            del self._nodes[node]


def pod_uses(pod: Any) -> PodUses:
    """What to keep of a Pod."""
    if not pod.spec.node_name or MIRROR_ANNOTATION in pod.metadata.annotations:
        return PodUses(sys.intern(pod.spec.node_name), ())
    references = tuple(sorted({sys.intern(each) for each in pod_references(pod)}))
    if len(_shared) >= SHARED_MAX:
        _shared.clear()
    return PodUses(sys.intern(pod.spec.node_name), _shared.setdefault(references, references))


def volume_uses(volume: Any) -> VolumeUses:
    """What to keep of a PersistentVolume."""
    spec = volume.spec
    claim = spec.claim_ref
    folder_of = sys.intern(volume.metadata.labels.get(NODE_LABEL, ""))
    return VolumeUses(f"{claim.namespace}/{claim.name}" if claim else "", tuple(_volume_secrets(spec)), folder_of)


def _volume_secrets(spec: Any) -> Iterator[str]:
    """A Secret without a namespace of its own lies in the claim's."""
    home = spec.claim_ref.namespace if spec.claim_ref else ""
    for reference in secret_refs(spec):
        yield f"{reference.namespace or home}/{reference.name}"
    if spec.azure_file:
        yield f"{spec.azure_file.secret_namespace or home}/{spec.azure_file.secret_name}"
    for field in _CSI_NODE_SECRETS if spec.csi else ():
        reference = getattr(spec.csi, field)
        if reference:
            yield f"{reference.namespace}/{reference.name}"
