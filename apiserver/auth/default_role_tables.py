"""Which roles and bindings every cluster has, as tables: Kubernetes' own (1.33), and what joining needs.

A row of a role is (verbs, groups, resources) or (verbs, groups, resources, names), words apart by spaces; group `core`
is the core group, PATHS stands for "no resource but paths". `default_roles` makes objects of them. Rules for kinds
that kmini has not yet are here too: a chart's Role that lists them must not fail for an admin as escalation.
"""

from __future__ import annotations

Row = tuple[str, str, str] | tuple[str, str, str, str]
Rows = tuple[Row, ...]

PATHS = "(paths)"
READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL_VERBS = f"{READ} {WRITE}"

_EVENTS: Row = ("create patch update", "core events.k8s.io", "events")
_REVIEWS: Rows = (
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews"),
)
_WORKLOADS = "daemonsets deployments deployments/scale replicasets replicasets/scale"
_STATUSES = "daemonsets/status deployments/status replicasets/status"
_POD_CONNECT = "pods/attach pods/exec pods/portforward pods/proxy"
_CSR = "certificates.k8s.io"
_SIGNERS = (
    "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
    "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown"
)
_HEALTH = "/healthz /livez /readyz /version /version/"

#: Aggregating roles: the label that selects what they collect, and the label by which others collect them.
AGGREGATING_ROLES = {
    "admin": ("admin", ""),
    "edit": ("edit", "admin"),
    "view": ("view", "edit"),
}
#: Roles that are collected, by the label they have.
AGGREGATED_TO = {
    "system:aggregate-to-admin": "admin",
    "system:aggregate-to-edit": "edit",
    "system:aggregate-to-view": "view",
}

CLUSTER_ROLES: dict[str, Rows] = {
    "cluster-admin": (("*", "*", "*"), ("*", PATHS, "*")),
    "system:aggregate-to-admin": (
        ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        (ALL_VERBS, "rbac.authorization.k8s.io", "rolebindings roles"),
    ),
    "system:aggregate-to-edit": (
        (READ, "core", f"{_POD_CONNECT} secrets services/proxy"),
        ("impersonate", "core", "serviceaccounts"),
        (WRITE, "core", f"pods {_POD_CONNECT}"),
        ("create", "core", "pods/eviction"),
        (
            WRITE,
            "core",
            "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
            "serviceaccounts services services/proxy",
        ),
        ("create", "core", "serviceaccounts/token"),
        (WRITE, "apps", f"{_WORKLOADS} deployments/rollback statefulsets statefulsets/scale"),
        (WRITE, "autoscaling", "horizontalpodautoscalers"),
        (WRITE, "batch", "cronjobs jobs"),
        (
            WRITE,
            "extensions",
            f"{_WORKLOADS} deployments/rollback ingresses networkpolicies replicationcontrollers/scale",
        ),
        (WRITE, "policy", "poddisruptionbudgets"),
        (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
        (ALL_VERBS, "coordination.k8s.io", "leases"),
    ),
    "system:aggregate-to-view": (
        (
            READ,
            "core",
            "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
            "replicationcontrollers/scale serviceaccounts services services/status",
        ),
        (
            READ,
            "core",
            "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
            "resourcequotas resourcequotas/status",
        ),
        (READ, "core", "namespaces"),
        (READ, "discovery.k8s.io", "endpointslices"),
        (
            READ,
            "apps",
            f"controllerrevisions {_WORKLOADS} {_STATUSES} statefulsets statefulsets/scale statefulsets/status",
        ),
        (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
        (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
        (
            READ,
            "extensions",
            f"{_WORKLOADS} {_STATUSES} ingresses ingresses/status networkpolicies replicationcontrollers/scale",
        ),
        (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
        (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        (READ, "metrics.k8s.io", "nodes pods"),  # as metrics-server's role for aggregation
    ),
    "system:auth-delegator": _REVIEWS,
    "system:basic-user": (
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": (
        ("create", _CSR, "certificatesigningrequests/nodeclient"),
    ),
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": (
        ("create", _CSR, "certificatesigningrequests/selfnodeclient"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-approver": (
        ("approve", _CSR, "signers", "kubernetes.io/kube-apiserver-client"),
    ),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": (
        ("approve", _CSR, "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
    ),
    "system:certificates.k8s.io:kubelet-serving-approver": (
        ("approve", _CSR, "signers", "kubernetes.io/kubelet-serving"),
    ),
    "system:certificates.k8s.io:legacy-unknown-approver": (
        ("approve", _CSR, "signers", "kubernetes.io/legacy-unknown"),
    ),
    "system:discovery": (("get", PATHS, f"/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH}"),),
    # All of ours are one process with one certificate; ServiceAccounts of their own would guard nothing.
    "system:kmini:controllers": (
        (f"delete deletecollection patch update {READ}", "*", "*"),
        (
            "create",
            "core",
            "endpoints endpoints/restricted events persistentvolumeclaims persistentvolumes pods pods/binding "
            "pods/eviction",
        ),
        ("create", "apps", "replicasets"),
        ("create", "discovery.k8s.io", "endpointslices endpointslices/restricted"),
        ("create", "coordination.k8s.io", "leases"),
        ("create", "storage.k8s.io", "storageclasses"),
        *_REVIEWS,  # who may see their numbers (tools/kmini/controllers_port.py)
    ),
    "system:kube-controller-manager": (
        _EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        ("create", "core", "secrets serviceaccounts"),
        ("delete", "core", "secrets"),
        ("get", "core", "configmaps namespaces secrets serviceaccounts"),
        ("update", "core", "secrets serviceaccounts"),
        *_REVIEWS,
        ("list watch", "*", "*"),
        ("create", "core", "serviceaccounts/token"),
    ),
    "system:kube-dns": (("list watch", "core", "endpoints services"),),
    "system:kube-scheduler": (
        _EVENTS,
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
        (READ, "core", "nodes"),
        (f"delete {READ}", "core", "pods"),
        ("create", "core", "bindings pods/binding"),
        ("patch update", "core", "pods/status"),
        (READ, "core", "replicationcontrollers services"),
        (READ, "apps extensions", "replicasets"),
        (READ, "apps", "statefulsets"),
        (READ, "policy", "poddisruptionbudgets"),
        (READ, "core", "persistentvolumeclaims persistentvolumes"),
        *_REVIEWS,
        (READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities"),
        (READ, "core", "namespaces"),
    ),
    "system:kubelet-api-admin": (
        (READ, "core", "nodes"),
        ("proxy", "core", "nodes"),
        ("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
    ),
    "system:monitoring": (
        ("get", PATHS, "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"),
    ),
    "system:node": (
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        (READ, "core", "services"),
        (f"create {READ}", "core", "nodes"),
        ("patch update", "core", "nodes nodes/status"),
        ("create patch update", "core", "events"),
        (f"create delete {READ}", "core", "pods"),
        ("patch update", "core", "pods/status"),
        ("create", "core", "pods/eviction"),
        (READ, "core", "configmaps secrets"),
        ("get", "core", "persistentvolumeclaims persistentvolumes endpoints"),
        (f"create {READ}", _CSR, "certificatesigningrequests"),
        ("create delete get patch update", "coordination.k8s.io", "leases"),
        ("get", "storage.k8s.io", "volumeattachments"),
        ("create", "core", "serviceaccounts/token"),
        ("get patch update", "core", "persistentvolumeclaims/status"),
        (READ, "storage.k8s.io", "csidrivers"),
        ("create delete get patch update", "storage.k8s.io", "csinodes"),
        (READ, "node.k8s.io", "runtimeclasses"),
    ),
    "system:node-bootstrapper": ((f"create {READ}", _CSR, "certificatesigningrequests"),),
    "system:node-problem-detector": (("get", "core", "nodes"), ("patch", "core", "nodes/status"), _EVENTS),
    "system:node-proxier": (
        ("list watch", "core", "endpoints services"),
        (READ, "core", "nodes"),
        _EVENTS,
        ("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    "system:persistent-volume-provisioner": (
        (f"create delete {READ}", "core", "persistentvolumes"),
        (f"update {READ}", "core", "persistentvolumeclaims"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("watch", "core", "events"),
        _EVENTS,
    ),
    "system:public-info-viewer": (("get", PATHS, _HEALTH),),
    "system:service-account-issuer-discovery": (
        ("get", PATHS, "/.well-known/openid-configuration /openid/v1/jwks /openid/v1/jwks/"),
    ),
    "system:volume-scheduler": (
        (f"{READ} patch update", "core", "persistentvolumes"),
        (READ, "storage.k8s.io", "storageclasses"),
        (f"{READ} patch update", "core", "persistentvolumeclaims"),
    ),
}

#: Roles `system:controller:<name>`, each bound to ServiceAccount kube-system/<name>.
CONTROLLERS: dict[str, Rows] = {
    "certificate-controller": (
        (f"delete {READ}", _CSR, "certificatesigningrequests"),
        ("update", _CSR, "certificatesigningrequests/approval certificatesigningrequests/status"),
        ("approve", _CSR, "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        ("sign", _CSR, "signers", _SIGNERS),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        _EVENTS,
    ),
    "clusterrole-aggregation-controller": (
        (f"escalate patch update {READ}", "rbac.authorization.k8s.io", "clusterroles"),
    ),
    "deployment-controller": (
        (f"update {READ}", "apps extensions", "deployments"),
        ("update", "apps extensions", "deployments/finalizers deployments/status"),
        (f"create delete patch update {READ}", "apps extensions", "replicasets"),
        (f"update {READ}", "core", "pods"),
        _EVENTS,
    ),
    "endpoint-controller": (
        (READ, "core", "pods services"),
        (f"create delete update {READ}", "core", "endpoints"),
        ("create", "core", "endpoints/restricted"),
        _EVENTS,
    ),
    "endpointslice-controller": (
        (READ, "core", "nodes pods services"),
        ("update", "core", "services/finalizers"),
        (f"create delete update {READ}", "discovery.k8s.io", "endpointslices"),
        _EVENTS,
    ),
    "ephemeral-volume-controller": (
        (READ, "core", "pods"),
        ("update", "core", "pods/finalizers"),
        (f"create {READ}", "core", "persistentvolumeclaims"),
        _EVENTS,
    ),
    "generic-garbage-collector": ((f"delete patch update {READ}", "*", "*"), _EVENTS),
    "namespace-controller": (
        (f"delete {READ}", "core", "namespaces"),
        ("update", "core", "namespaces/finalize namespaces/status"),
        (f"delete deletecollection {READ}", "*", "*"),
    ),
    "node-controller": (
        (f"delete patch update {READ}", "core", "nodes"),
        ("patch update", "core", "nodes/status pods/status"),
        (f"delete {READ}", "core", "pods"),
        _EVENTS,
    ),
    "persistent-volume-binder": (
        (f"create delete update {READ}", "core", "persistentvolumes"),
        ("update", "core", "persistentvolumeclaims/status persistentvolumes/status"),
        (f"update {READ}", "core", "persistentvolumeclaims"),
        (f"create delete {READ}", "core", "pods"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("list watch", "core", "nodes"),
        ("watch", "core", "events"),
        ("get", "core", "services"),
        _EVENTS,
    ),
    "pod-garbage-collector": (
        ("delete list watch", "core", "pods"),
        (READ, "core", "nodes"),
        ("patch", "core", "pods/status"),
    ),
    "pv-protection-controller": ((f"update {READ}", "core", "persistentvolumes"), _EVENTS),
    "pvc-protection-controller": (
        (f"update {READ}", "core", "persistentvolumeclaims"),
        (READ, "core", "pods"),
        _EVENTS,
    ),
    "replicaset-controller": (
        (f"update {READ}", "apps extensions", "replicasets"),
        ("update", "apps extensions", "replicasets/finalizers replicasets/status"),
        ("create delete list patch watch", "core", "pods"),
        _EVENTS,
    ),
    "root-ca-cert-publisher": (("create update", "core", "configmaps"), _EVENTS),
    "service-account-controller": (("create", "core", "serviceaccounts"), _EVENTS),
    "ttl-controller": (("list patch update watch", "core", "nodes"), _EVENTS),
}

#: Binding -> (role, subjects): `user:`, `group:` or `account:<namespace>/` and the name.
CLUSTER_ROLE_BINDINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cluster-admin": ("cluster-admin", ("group:system:masters",)),
    "system:basic-user": ("system:basic-user", ("group:system:authenticated",)),
    "system:discovery": ("system:discovery", ("group:system:authenticated",)),
    "system:kube-controller-manager": ("system:kube-controller-manager", ("user:system:kube-controller-manager",)),
    "system:kmini:controllers": ("system:kmini:controllers", ("user:system:kmini:controllers",)),
    "system:kube-dns": ("system:kube-dns", ("account:kube-system/kube-dns",)),
    "system:kube-scheduler": ("system:kube-scheduler", ("user:system:kube-scheduler",)),
    "system:monitoring": ("system:monitoring", ("group:system:monitoring",)),
    "system:node-proxier": ("system:node-proxier", ("user:system:kube-proxy",)),
    "system:public-info-viewer": (
        "system:public-info-viewer",
        ("group:system:authenticated", "group:system:unauthenticated"),
    ),
    "system:service-account-issuer-discovery": (
        "system:service-account-issuer-discovery",
        ("group:system:serviceaccounts",),
    ),
    "system:volume-scheduler": ("system:volume-scheduler", ("user:system:kube-scheduler",)),
    # How a machine with an agent's join token gets and keeps a certificate:
    "kmini:node-bootstrapper": ("system:node-bootstrapper", ("group:system:bootstrappers:kmini:agents",)),
    "kmini:node-autoapprove-bootstrap": (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        ("group:system:bootstrappers:kmini:agents",),
    ),
    "kmini:node-autoapprove-certificate-rotation": (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        ("group:system:nodes",),
    ),
}


def _leader_locking(name: str) -> Rows:
    return (
        ("watch", "core", "configmaps"),
        ("get update", "core", "configmaps", name),
        ("create get list update watch", "coordination.k8s.io", "leases"),
    )


#: Namespace -> roles, and bindings to roles of the same namespace.
ROLES: dict[str, dict[str, Rows]] = {
    "kube-system": {
        "extension-apiserver-authentication-reader": (
            (READ, "core", "configmaps", "extension-apiserver-authentication"),
        ),
        "system::leader-locking-kube-controller-manager": _leader_locking("kube-controller-manager"),
        "system::leader-locking-kube-scheduler": _leader_locking("kube-scheduler"),
        "system:controller:token-cleaner": ((f"delete {READ}", "core", "secrets"), _EVENTS),
        # What nodes must know of the network (apiserver/api/cluster_network.py):
        "kmini:cluster-network": (("get", "core", "configmaps", "kmini-cluster"),),
    },
}
ROLE_BINDINGS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "kube-system": {
        "system::extension-apiserver-authentication-reader": (
            "extension-apiserver-authentication-reader",
            ("user:system:kube-controller-manager", "user:system:kube-scheduler"),
        ),
        "system::leader-locking-kube-controller-manager": (
            "system::leader-locking-kube-controller-manager",
            ("user:system:kube-controller-manager", "account:kube-system/kube-controller-manager"),
        ),
        "system::leader-locking-kube-scheduler": (
            "system::leader-locking-kube-scheduler",
            ("user:system:kube-scheduler", "account:kube-system/kube-scheduler"),
        ),
        "system:controller:token-cleaner": (
            "system:controller:token-cleaner",
            ("account:kube-system/token-cleaner",),
        ),
        "kmini:cluster-network": ("kmini:cluster-network", ("group:system:nodes",)),
    },
}
