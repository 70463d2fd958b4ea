"""Requests that must be refused, as data; and the cluster they are sent to.

A table is a list of `Wrong`. `check_wrong` sends one and compares code, reason, the fields of all causes, and words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from api_server import ADMIN
from api_thread import ThreadedApi

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
SERVICES = "/api/v1/namespaces/default/services"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
NODES = "/api/v1/nodes"
NAMESPACES = "/api/v1/namespaces"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
REPLICA_SETS = "/apis/apps/v1/namespaces/default/replicasets"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
NATIVE_PODS = "/api/v1alpha1/namespaces/default/pods"

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
STRATEGIC_PATCH = {"Content-Type": "application/strategic-merge-patch+json"}
YAML = {"Content-Type": "application/yaml"}


class Wrong(NamedTuple):
    """`fields` are those of `details.causes`, in order; `says` is part of the message. `id` names the mistake."""

    id: str
    method: str
    path: str
    body: Any
    code: int
    reason: str
    says: str = ""
    fields: Sequence[str] = ()
    headers: Mapping[str, str] = {}
    user: str = ADMIN
    groups: Sequence[str] | None = None


def check_wrong(api: ThreadedApi, wrong: Wrong) -> None:
    answer = api.json(wrong.method, wrong.path, wrong.body, headers=wrong.headers, user=wrong.user, groups=wrong.groups)
    status = answer.body
    assert isinstance(status, dict), answer
    assert (status.get("kind"), status.get("apiVersion"), status.get("status")) == ("Status", "v1", "Failure"), status
    assert (answer.code, status["code"], status["reason"]) == (wrong.code, wrong.code, wrong.reason), status
    assert wrong.says in status["message"], status
    causes = status.get("details", {}).get("causes", [])
    assert [cause.get("field", "") for cause in causes] == list(wrong.fields), status


# --- the cluster ----------------------------------------------------------------------------------------


def pod(name: str = "new", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": "app:1"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def config_map(name: str = "new", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def service(name: str = "new", **spec: Any) -> dict[str, Any]:
    given = {"ports": [{"port": 80}], "selector": {"app": "a"}, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": given}


def deployment(name: str = "new", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    given = {"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": given}


def role(name: str = "new", *rules: Mapping[str, Any], kind: str = "Role") -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": list(rules),
    }


def binding(name: str, to_kind: str, to: str, *users: str, kind: str = "RoleBinding") -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": to_kind, "name": to},
        "subjects": [{"kind": "User", "apiGroup": group, "name": user} for user in users],
    }


def with_metadata(document: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], **fields}}


def to_node(node: str, pod_name: str = "", **metadata: Any) -> dict[str, Any]:
    names = {"name": pod_name} if pod_name else {}
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {**names, **metadata},
        "target": {"kind": "Node", "name": node},
    }


def prepare(api: ThreadedApi) -> None:
    """What the tables speak of: `there` is an object that exists, of every kind that is changed or deleted."""
    for path, body in _OBJECTS:
        api.create(path, body)
    node = {**_NODE, "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10"}}}
    assert api.json("PUT", f"{NODES}/n1/status", node).code == 200
    assert api.json("POST", f"{PODS}/bound/binding", to_node("n1")).code == 201
    assert api.json("DELETE", f"{PODS}/ending").code == 200
    assert api.json("DELETE", f"{NAMESPACES}/ending").code == 200


_NODE: dict[str, Any] = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
_HALF = {"containers": [{"name": "app", "image": "app:1", "resources": {"requests": {"cpu": "600m"}}}]}
_PODS_ALL = {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}
_ROLES_ALL = {
    "apiGroups": ["rbac.authorization.k8s.io"],
    "resources": ["roles", "rolebindings"],
    "verbs": ["create", "get", "update"],  # neither `escalate` nor `bind`
}
_OBJECTS: list[tuple[str, dict[str, Any]]] = [
    (NODES, _NODE),
    (PODS, pod("there")),
    (PODS, pod("bound", **_HALF)),
    (PODS, pod("large", **_HALF)),
    (PODS, pod("gated", schedulingGates=[{"name": "wait.io/x"}])),
    (PODS, with_metadata(pod("ending"), finalizers=["kmini.local/wait"])),
    (MAPS, config_map("there", data={"a": "b"})),
    (MAPS, config_map("fixed", data={"a": "b"}, immutable=True)),
    (SECRETS, {"kind": "Secret", "metadata": {"name": "there"}, "type": "Opaque", "data": {"a": "Yg=="}}),
    (SERVICES, service("there", clusterIP="10.96.0.50", type="NodePort", ports=[{"port": 80, "nodePort": 30080}])),
    (DEPLOYMENTS, deployment("there")),
    (NAMESPACES, {"kind": "Namespace", "metadata": {"name": "other"}}),
    (NAMESPACES, {"kind": "Namespace", "metadata": {"name": "ending"}, "spec": {"finalizers": ["kubernetes"]}}),
    (LEASES, {"kind": "Lease", "metadata": {"name": "office"}, "spec": {"holderIdentity": "me"}}),
    (VOLUMES, {
        "kind": "PersistentVolume",
        "metadata": {"name": "there"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}},
    }),
    (f"{RBAC}/namespaces/default/roles", role("pods", _PODS_ALL)),
    (f"{RBAC}/namespaces/default/rolebindings", binding("alice", "Role", "pods", "alice")),
    (f"{RBAC}/namespaces/default/roles", role("roles", _ROLES_ALL)),
    (f"{RBAC}/namespaces/default/rolebindings", binding("bob", "Role", "roles", "bob")),
]  # fmt: skip
