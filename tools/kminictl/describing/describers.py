"""Which function describes which kind. All others are described field by field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .writer import Writer

if TYPE_CHECKING:
    from ..cluster.session import Session

Describer = Callable[["Session", Writer, dict[str, Any]], Awaitable[None]]

#: Group and kind -> module and function in it.
_BY_KIND = {
    ("", "Pod"): ("kminictl.describing.pods", "pod"),
    ("", "Node"): ("kminictl.describing.nodes", "node"),
    ("", "Service"): ("kminictl.describing.network", "service"),
    ("", "Endpoints"): ("kminictl.describing.network", "endpoints"),
    ("discovery.k8s.io", "EndpointSlice"): ("kminictl.describing.network", "endpoint_slice"),
    ("apps", "Deployment"): ("kminictl.describing.workloads", "deployment"),
    ("apps", "ReplicaSet"): ("kminictl.describing.workloads", "replica_set"),
    ("", "ConfigMap"): ("kminictl.describing.config", "config_map"),
    ("", "Secret"): ("kminictl.describing.config", "secret"),
    ("", "ServiceAccount"): ("kminictl.describing.config", "service_account"),
    ("", "Namespace"): ("kminictl.describing.config", "namespace"),
    ("scheduling.k8s.io", "PriorityClass"): ("kminictl.describing.config", "priority_class"),
    ("rbac.authorization.k8s.io", "Role"): ("kminictl.describing.access", "role"),
    ("rbac.authorization.k8s.io", "ClusterRole"): ("kminictl.describing.access", "role"),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("kminictl.describing.access", "binding"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("kminictl.describing.access", "binding"),
    ("", "PersistentVolume"): ("kminictl.describing.storage", "volume"),
    ("", "PersistentVolumeClaim"): ("kminictl.describing.storage", "claim"),
    ("certificates.k8s.io", "CertificateSigningRequest"): ("kminictl.describing.signing_requests", "signing_request"),
    ("storage.k8s.io", "StorageClass"): ("kminictl.describing.storage", "storage_class"),
}


def describer_of(group: str, kind: str) -> Describer | None:
    """None: field by field."""
    row = _BY_KIND.get((group, kind))
    if row is None:
        return None
    found: Describer = getattr(import_module(row[0]), row[1])
    return found


async def described(session: Session, obj: dict[str, Any], *, events: bool) -> str:
    """The description of an object, whatever its kind."""
    from .generic import anything

    group, slash, _ = str(obj.get("apiVersion", "")).rpartition("/")
    writer = Writer(events=events)
    describe = describer_of(group if slash else "", obj["kind"]) or anything
    await describe(session, writer, obj)
    return writer.text()
