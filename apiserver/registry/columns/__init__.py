"""The columns of `kubectl get` for every kind, by `Resource.key`; a kind that is not here has `DEFAULT`.

Columns, their order and what their cells say are those of Kubernetes' own printers, so that eyes and scripts that
know the one find the other. Ages are text, worked out here: clients show cells as they come.
"""

from __future__ import annotations

from apiserver.registry.resource import Column

from .access import CERTIFICATE_SIGNING_REQUEST, ROLE, ROLE_BINDING
from .cells import AGE, NAME
from .config import CONFIG_MAP, LEASE, NAMESPACE, PRIORITY_CLASS, SECRET, SERVICE_ACCOUNT
from .events import EVENT
from .metrics import NODE_METRICS, POD_METRICS
from .network import ENDPOINT_SLICE, ENDPOINTS, SERVICE
from .nodes import NODE
from .pods import POD
from .storage import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from .workloads import DEPLOYMENT, POD_TEMPLATE, REPLICA_SET

DEFAULT: tuple[Column, ...] = (NAME, AGE)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "pods": POD,
    "nodes": NODE,
    "namespaces": NAMESPACE,
    "services": SERVICE,
    "endpoints": ENDPOINTS,
    "configmaps": CONFIG_MAP,
    "secrets": SECRET,
    "serviceaccounts": SERVICE_ACCOUNT,
    "persistentvolumes": PERSISTENT_VOLUME,
    "persistentvolumeclaims": PERSISTENT_VOLUME_CLAIM,
    "events": EVENT,
    "podtemplates": POD_TEMPLATE,
    "apps/deployments": DEPLOYMENT,
    "apps/replicasets": REPLICA_SET,
    "coordination.k8s.io/leases": LEASE,
    "discovery.k8s.io/endpointslices": ENDPOINT_SLICE,
    "events.k8s.io/events": EVENT,
    "rbac.authorization.k8s.io/roles": ROLE,
    "rbac.authorization.k8s.io/clusterroles": ROLE,
    "rbac.authorization.k8s.io/rolebindings": ROLE_BINDING,
    "rbac.authorization.k8s.io/clusterrolebindings": ROLE_BINDING,
    "storage.k8s.io/storageclasses": STORAGE_CLASS,
    "scheduling.k8s.io/priorityclasses": PRIORITY_CLASS,
    "metrics.k8s.io/nodes": NODE_METRICS,
    "metrics.k8s.io/pods": POD_METRICS,
    "certificates.k8s.io/certificatesigningrequests": CERTIFICATE_SIGNING_REQUEST,
}
