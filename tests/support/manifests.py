"""One valid manifest of every kind that can be posted, rich enough that a mistake can be put at many places.

`MANIFESTS` is by `apiVersion/Kind`; `path_of` says where to post one. Every manifest is accepted as it stands by a
server that has a namespace `default` (tests/integration/api/test_fuzz.py checks it, so that changed ones mean
something).
"""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.registry.table import table

META = {"name": "a", "labels": {"app": "a"}, "annotations": {"note": "text"}}
PROBE = {"httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "X-A", "value": "b"}]}, "periodSeconds": 5}
CONTAINER = {
    "name": "app",
    "image": "registry.local/app:1",
    "command": ["run"],
    "args": ["--fast"],
    "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}],
    "env": [{"name": "A", "value": "b"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    "envFrom": [{"configMapRef": {"name": "settings", "optional": True}}],
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "128Mi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    "livenessProbe": PROBE,
    "readinessProbe": {"exec": {"command": ["true"]}},
    "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
}
POD_SPEC: dict[str, Any] = {
    "containers": [CONTAINER],
    "initContainers": [{"name": "init", "image": "init:1", "restartPolicy": "Always"}],
    "volumes": [
        {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "all", "projected": {"sources": [{"configMap": {"name": "c", "items": [{"key": "k", "path": "p"}]}}]}},
    ],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]},
                    },
                }
            ]
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "a"}},
        }
    ],
    "securityContext": {"fsGroup": 1, "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]},
    "terminationGracePeriodSeconds": 5,
    "activeDeadlineSeconds": 60,
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a.local"]}],
    "dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]},
}
SERVED_SPEC = {key: value for key, value in POD_SPEC.items() if key != "activeDeadlineSeconds"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": SERVED_SPEC}
SELECTOR = {"matchLabels": {"app": "a"}}
ROLE_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["a"]}]
SUBJECTS = [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}]
RBAC = "rbac.authorization.k8s.io/v1"
REFERENCE = {"kind": "Pod", "namespace": "default", "name": "a", "uid": "u", "apiVersion": "v1"}
ATTRIBUTES = {"namespace": "default", "verb": "get", "group": "", "resource": "pods", "name": "a"}
NATIVE_CONTAINER = {
    "name": "app",
    "image": "app:1",
    "resources": {"cpu": "100m", "memory": "64Mi"},
}


def signing_request(common_name: str) -> str:
    """A certificate signing request as the API takes it: base64 of PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def _core() -> list[dict[str, Any]]:
    return [
        {"kind": "Pod", "spec": POD_SPEC},
        {"kind": "PodTemplate", "template": TEMPLATE},
        {"kind": "ConfigMap", "data": {"key": "value"}, "binaryData": {"raw": "AAEC"}, "immutable": False},
        {"kind": "Secret", "type": "Opaque", "data": {"key": "dmFsdWU="}, "stringData": {"other": "text"}},
        {"kind": "ServiceAccount", "secrets": [{"name": "s"}], "imagePullSecrets": [{"name": "p"}]},
        {"kind": "Namespace", "spec": {"finalizers": ["kubernetes"]}},
        {
            "kind": "Node",
            "spec": {"podCIDR": "10.1.0.0/24", "taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
        },
        {
            "kind": "Service",
            "spec": {
                "type": "NodePort",
                "selector": {"app": "a"},
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10}},
            },
        },
        {
            "kind": "Endpoints",
            "subsets": [
                {"addresses": [{"ip": "10.0.0.1", "targetRef": REFERENCE}], "ports": [{"name": "http", "port": 80}]}
            ],
        },
        {
            "kind": "PersistentVolume",
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/data", "type": "Directory"},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "kind": "PersistentVolumeClaim",
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "selector": SELECTOR,
                "volumeMode": "Filesystem",
            },
        },
        {
            "kind": "Event",
            "involvedObject": REFERENCE,
            "reason": "Seen",
            "message": "text",
            "type": "Normal",
            "count": 1,
            "source": {"component": "test"},
            "firstTimestamp": "2026-01-01T00:00:00Z",
        },
    ]


def _groups() -> list[dict[str, Any]]:
    apps, coordination = "apps/v1", "coordination.k8s.io/v1"
    workload = {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}}
    role_ref = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    lease = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return [
        {"apiVersion": apps, "kind": "Deployment", "spec": {**workload, "strategy": strategy}},
        {"apiVersion": apps, "kind": "ReplicaSet", "spec": workload},
        {"apiVersion": RBAC, "kind": "Role", "rules": ROLE_RULES},
        {
            "apiVersion": RBAC,
            "kind": "ClusterRole",
            "rules": [*ROLE_RULES, {"nonResourceURLs": ["/x"], "verbs": ["get"]}],
        },
        {"apiVersion": RBAC, "kind": "RoleBinding", "roleRef": role_ref, "subjects": SUBJECTS},
        {"apiVersion": RBAC, "kind": "ClusterRoleBinding", "roleRef": role_ref, "subjects": SUBJECTS},
        {"apiVersion": coordination, "kind": "Lease", "spec": lease},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": REFERENCE}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "regarding": REFERENCE,
            "reason": "Seen",
            "action": "Looked",
            "note": "text",
            "type": "Normal",
            "reportingController": "kmini.local/test",
            "reportingInstance": "test-1",
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "provisioner": "kmini.local/disk",
            "parameters": {"speed": "fast"},
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}],
        },
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 10, "description": "text"},
        {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "spec": {
                "request": signing_request("alice"),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth", "digital signature"],
                "expirationSeconds": 3600,
            },
        },
    ]


def _questions() -> list[dict[str, Any]]:
    authentication, authorization = "authentication.k8s.io/v1", "authorization.k8s.io/v1"
    asked = {"resourceAttributes": ATTRIBUTES, "user": "alice", "groups": ["g"], "extra": {"scopes": ["a"]}}
    mine = {"resourceAttributes": ATTRIBUTES}
    return [
        {"apiVersion": authentication, "kind": "TokenReview", "spec": {"token": "t", "audiences": ["a"]}},
        {"apiVersion": authentication, "kind": "SelfSubjectReview"},
        {"apiVersion": authorization, "kind": "SubjectAccessReview", "spec": asked},
        {"apiVersion": authorization, "kind": "LocalSubjectAccessReview", "spec": asked},
        {"apiVersion": authorization, "kind": "SelfSubjectAccessReview", "spec": mine},
        {"apiVersion": authorization, "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}},
    ]


def _native() -> list[dict[str, Any]]:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [NATIVE_CONTAINER]}}
    workload = {"replicas": 1, "selector": SELECTOR, "template": template}
    return [
        {"kind": "Pod", "spec": {"containers": [NATIVE_CONTAINER], "restartPolicy": "Always"}},
        {"kind": "Service", "spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": 80}]}},
        {"kind": "Deployment", "spec": workload},
        {"kind": "ReplicaSet", "spec": workload},
    ]


def _complete(manifest: dict[str, Any], version: str) -> dict[str, Any]:
    return {"apiVersion": version, "metadata": META, **manifest}


ALL: list[dict[str, Any]] = [
    *(_complete(each, "v1") for each in _core()),
    *(_complete(each, each["apiVersion"]) for each in (*_groups(), *_questions())),
    *(_complete(each, "v1alpha1") for each in _native()),
]
MANIFESTS: dict[str, dict[str, Any]] = {f"{each['apiVersion']}/{each['kind']}": each for each in ALL}


def path_of(manifest: dict[str, Any]) -> str:
    """Where it is posted to."""
    row = table().by_kind(manifest["apiVersion"], manifest["kind"])
    assert row is not None, manifest
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    return f"{root}/namespaces/default/{row.plural}" if row.namespaced else f"{root}/{row.plural}"
