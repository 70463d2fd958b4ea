"""What a client must know of a kind to name it in a path: one row per kind, without importing any of the types.

A type is found by the package it lies in and its name (`apiserver.api.core.pod.Pod` is row `core`, `Pod`), so that a
program that uses three kinds loads three. The server's table of resources says the same of every kind and more;
a test compares the two.
"""

from __future__ import annotations

from typing import NamedTuple

from .meta import TopObject

_HERE = "apiserver.api."


class Kind(NamedTuple):
    """`group` is empty for the core group. Reviews and subresource bodies have no row of their own."""

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """`/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def group_resource(self) -> str:
        """As messages name it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


#: Package under apiserver.api -> its group and version.
_GROUPS = {
    "core": ("", "v1"),
    "v1alpha1": ("", "v1alpha1"),
    "apps": ("apps", "v1"),
    "authentication": ("authentication.k8s.io", "v1"),
    "authorization": ("authorization.k8s.io", "v1"),
    "autoscaling": ("autoscaling", "v1"),
    "certificates": ("certificates.k8s.io", "v1"),
    "coordination": ("coordination.k8s.io", "v1"),
    "discovery": ("discovery.k8s.io", "v1"),
    "events": ("events.k8s.io", "v1"),
    "metrics": ("metrics.k8s.io", "v1beta1"),
    "policy": ("policy", "v1"),
    "rbac": ("rbac.authorization.k8s.io", "v1"),
    "scheduling": ("scheduling.k8s.io", "v1"),
    "storage": ("storage.k8s.io", "v1"),
}

#: Package -> kinds in namespaces, kinds of cluster scope; with the plural where it is not just the name and an s.
_NAMESPACED: dict[str, tuple[str, ...]] = {
    "core": (
        "Binding",
        "ConfigMap",
        "Endpoints:endpoints",
        "Event",
        "PersistentVolumeClaim",
        "Pod",
        "PodTemplate",
        "Secret",
        "Service",
        "ServiceAccount",
    ),
    "v1alpha1": ("PersistentVolumeClaim", "Pod", "Service", "Deployment", "ReplicaSet"),
    "apps": ("Deployment", "ReplicaSet"),
    "authorization": ("LocalSubjectAccessReview",),
    "coordination": ("Lease",),
    "discovery": ("EndpointSlice",),
    "events": ("Event",),
    "metrics": ("PodMetrics:pods",),
    "rbac": ("Role", "RoleBinding"),
}
_CLUSTER: dict[str, tuple[str, ...]] = {
    "core": ("Namespace", "Node", "PersistentVolume"),
    "v1alpha1": ("Node", "PersistentVolume"),
    "authentication": ("TokenReview", "SelfSubjectReview"),
    "authorization": ("SelfSubjectAccessReview", "SelfSubjectRulesReview", "SubjectAccessReview"),
    "certificates": ("CertificateSigningRequest",),
    "metrics": ("NodeMetrics:nodes",),
    "rbac": ("ClusterRole", "ClusterRoleBinding"),
    "scheduling": ("PriorityClass:priorityclasses",),
    "storage": ("StorageClass:storageclasses",),
}


def _rows() -> dict[tuple[str, str], Kind]:
    found = {}
    for kinds, namespaced in ((_NAMESPACED, True), (_CLUSTER, False)):
        for package, names in kinds.items():
            group, version = _GROUPS[package]
            for entry in names:
                kind, _, plural = entry.partition(":")
                row = Kind(kind, group, version, plural or f"{kind.lower()}s", namespaced)
                found[package, kind] = row
    return found


KINDS = _rows()
_BY_NAME = {(row.api_version, row.kind): row for row in KINDS.values()}


def kind_of(type_: type[TopObject]) -> Kind:
    """The row of a type of this package. Raises TypeError for any other: nobody could say where it is served."""
    package = type_.__module__.removeprefix(_HERE).split(".")[0]
    row = KINDS.get((package, type_.__name__)) if type_.__module__.startswith(_HERE) else None
    if row is None:
        raise TypeError(f"{type_.__module__}.{type_.__qualname__} is no kind of the API")
    return row


def kind_named(api_version: str, kind: str) -> Kind | None:
    """The row a manifest's `apiVersion` and `kind` mean, or None."""
    return _BY_NAME.get((api_version, kind))
