"""The rows of the table of resources: every kind the server serves in Kubernetes' own versions.

Adding a kind is a struct in apiserver.api and a row here; routes, discovery, OpenAPI, RBAC and keys of the store
follow. Names, short names, categories and subresources are those Kubernetes 1.33 answers discovery with.
"""

from __future__ import annotations

from typing import Any

from apiserver.api import (
    apps,
    authentication,
    authorization,
    certificates,
    coordination,
    discovery,
    metrics,
    rbac,
    scheduling,
    storage,
)
from apiserver.api import events as newer_events
from apiserver.api.core import config as core_config
from apiserver.api.core import endpoints as core_endpoints
from apiserver.api.core import event, namespace, node, persistent_volumes, pod, service, service_account
from apiserver.api.meta import TopObject

from . import selectable
from .columns import COLUMNS
from .resource import ALL_VERBS, Resource, SameForm, Subresource
from .strategies import certificates as certificate_rules
from .strategies import classes, config, endpoints, events, namespaces, nodes, reviews, services, workloads
from .strategies import rbac as rbac_rules
from .strategies.persistent_volume import PersistentVolumeClaimStrategy, PersistentVolumeStrategy
from .strategies.pod import PodStrategy
from .strategies.pod_template import PodTemplateStrategy
from .strategy import Strategy

_CHANGES = ("get", "patch", "update")
_STREAM = ("create", "get")
_PROXY = ("create", "delete", "get", "patch", "update")
_SCALE = Subresource("scale", "Scale", _CHANGES, group="autoscaling", version="v1")
_EVICTION = Subresource("eviction", "Eviction", ("create",), group="policy", version="v1")
_TOKEN = Subresource("token", "TokenRequest", ("create",), group="authentication.k8s.io", version="v1")
_NOT_ALL_AT_ONCE = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, _CHANGES)


def _row(plural: str, type_: type[TopObject], strategy: Strategy[Any], description: str, **more: Any) -> Resource:
    """A row named by its type, with its columns."""
    group = more.get("group", "")
    key = f"{group}/{plural}" if group else plural
    return Resource(
        plural=plural,
        kind=type_.__name__,
        type=type_,
        strategy=strategy,
        columns=COLUMNS.get(key, ()),
        description=description,
        **more,
    )


def _review(
    plural: str,
    type_: type[TopObject],
    strategy: Strategy[Any],
    group: str,
    description: str,
    *,
    namespaced: bool = False,
) -> Resource:
    """A question: answered, never stored."""
    return _row(plural, type_, strategy, description, group=group, namespaced=namespaced, verbs=("create",))


_POD_SUBRESOURCES = (
    Subresource("attach", "PodAttachOptions", _STREAM),
    Subresource("binding", "Binding", ("create",)),
    Subresource("ephemeralcontainers", "Pod", _CHANGES),
    _EVICTION,
    Subresource("exec", "PodExecOptions", _STREAM),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", _STREAM),
    Subresource("proxy", "PodProxyOptions", _PROXY),
    _status("Pod"),
)


def _pods() -> tuple[Resource, ...]:
    return (
        _row(
            "bindings",
            pod.Binding,
            Strategy(),
            "Puts a pod onto a node.",
            verbs=("create",),
        ),
        _row(
            "persistentvolumeclaims",
            persistent_volumes.PersistentVolumeClaim,
            PersistentVolumeClaimStrategy(),
            "The wish for a place for data.",
            short_names=("pvc",),
            subresources=(_status("PersistentVolumeClaim"),),
        ),
        _row(
            "persistentvolumes",
            persistent_volumes.PersistentVolume,
            PersistentVolumeStrategy(),
            "A place for data that outlives pods.",
            namespaced=False,
            short_names=("pv",),
            subresources=(_status("PersistentVolume"),),
        ),
        _row(
            "pods",
            pod.Pod,
            PodStrategy(),
            "Containers that run together on one node.",
            short_names=("po",),
            categories=("all",),
            subresources=_POD_SUBRESOURCES,
            selectable=selectable.POD,
        ),
        _row("podtemplates", pod.PodTemplate, PodTemplateStrategy(), "A template of pods, kept by itself."),
    )


def _core() -> tuple[Resource, ...]:
    return (*_core_settings(), *_core_network(), *_core_cluster())


def _core_settings() -> tuple[Resource, ...]:
    return (
        _row("configmaps", core_config.ConfigMap, config.CONFIG_MAP, "Settings for pods.", short_names=("cm",)),
        _row(
            "secrets",
            core_config.Secret,
            config.SECRET,
            "Settings that others must not read.",
            encrypted=True,
            selectable=selectable.SECRET,
        ),
        _row(
            "serviceaccounts",
            service_account.ServiceAccount,
            config.SERVICE_ACCOUNT,
            "Who a pod is to the API.",
            short_names=("sa",),
            subresources=(_TOKEN,),
        ),
    )


def _core_network() -> tuple[Resource, ...]:
    return (
        _row(
            "services",
            service.Service,
            services.SERVICE,
            "One lasting address for pods that come and go.",
            short_names=("svc",),
            categories=("all",),
            subresources=(Subresource("proxy", "ServiceProxyOptions", _PROXY), _status("Service")),
            selectable=selectable.SERVICE,
        ),
        _row(
            "endpoints",
            core_endpoints.Endpoints,
            endpoints.ENDPOINTS,
            "The addresses behind a Service, in the older form.",
            short_names=("ep",),
            deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
    )


def _core_cluster() -> tuple[Resource, ...]:
    return (
        _row(
            "namespaces",
            namespace.Namespace,
            namespaces.NAMESPACE,
            "A room in which names are unique.",
            namespaced=False,
            short_names=("ns",),
            verbs=_NOT_ALL_AT_ONCE,
            subresources=(Subresource("finalize", "Namespace", ("update",)), _status("Namespace")),
            selectable=selectable.NAMESPACE,
        ),
        _row(
            "nodes",
            node.Node,
            nodes.NODE,
            "A machine that runs pods.",
            namespaced=False,
            short_names=("no",),
            subresources=(Subresource("proxy", "NodeProxyOptions", _PROXY), _status("Node")),
            selectable=selectable.NODE,
        ),
        _row(
            "events",
            event.Event,
            events.EVENT,
            "What happened to an object.",
            short_names=("ev",),
            selectable=selectable.EVENT,
        ),
    )


def _apps() -> tuple[Resource, ...]:
    return (
        _row(
            "deployments",
            apps.Deployment,
            workloads.DEPLOYMENT,
            "Keeps like pods running and replaces them on change.",
            group="apps",
            short_names=("deploy",),
            categories=("all",),
            subresources=(_SCALE, _status("Deployment")),
        ),
        _row(
            "replicasets",
            apps.ReplicaSet,
            workloads.REPLICA_SET,
            "Keeps like pods running.",
            group="apps",
            short_names=("rs",),
            categories=("all",),
            subresources=(_SCALE, _status("ReplicaSet")),
            selectable=selectable.REPLICA_SET,
        ),
    )


def _questions() -> tuple[Resource, ...]:
    who, may = "authentication.k8s.io", "authorization.k8s.io"
    local = authorization.LocalSubjectAccessReview
    return (
        _review(
            "selfsubjectreviews",
            authentication.SelfSubjectReview,
            reviews.SELF_SUBJECT_REVIEW,
            who,
            "Asks who I am to the server.",
        ),
        Resource(  # what kubectl 1.27 asks for
            plural="selfsubjectreviews",
            kind="SelfSubjectReview",
            type=authentication.SelfSubjectReview,
            group=who,
            version="v1beta1",
            namespaced=False,
            verbs=("create",),
            strategy=reviews.SELF_SUBJECT_REVIEW,
            description="Asks who I am to the server.",
            stored_as=f"{who}/selfsubjectreviews",
            conversion=SameForm(),
        ),
        _review("tokenreviews", authentication.TokenReview, reviews.TOKEN_REVIEW, who, "Asks whose a token is."),
        _review(
            "localsubjectaccessreviews",
            local,
            reviews.LOCAL_SUBJECT_ACCESS_REVIEW,
            may,
            "Asks whether a user may do something in one namespace.",
            namespaced=True,
        ),
        _review(
            "selfsubjectaccessreviews",
            authorization.SelfSubjectAccessReview,
            reviews.SELF_SUBJECT_ACCESS_REVIEW,
            may,
            "Asks whether I may do something.",
        ),
        _review(
            "selfsubjectrulesreviews",
            authorization.SelfSubjectRulesReview,
            reviews.SELF_SUBJECT_RULES_REVIEW,
            may,
            "Asks what I may do in a namespace.",
        ),
        _review(
            "subjectaccessreviews",
            authorization.SubjectAccessReview,
            reviews.SUBJECT_ACCESS_REVIEW,
            may,
            "Asks whether a user may do something.",
        ),
    )


def _rbac() -> tuple[Resource, ...]:
    group = rbac_rules.GROUP
    return (
        _row(
            "clusterrolebindings",
            rbac.ClusterRoleBinding,
            rbac_rules.CLUSTER_ROLE_BINDING,
            "Gives a cluster role to subjects, in the whole cluster.",
            group=group,
            namespaced=False,
        ),
        _row(
            "clusterroles",
            rbac.ClusterRole,
            rbac_rules.CLUSTER_ROLE,
            "What may be done in the whole cluster.",
            group=group,
            namespaced=False,
        ),
        _row(
            "rolebindings",
            rbac.RoleBinding,
            rbac_rules.ROLE_BINDING,
            "Gives a role to subjects, in one namespace.",
            group=group,
        ),
        _row("roles", rbac.Role, rbac_rules.ROLE, "What may be done in a namespace.", group=group),
    )


def _others() -> tuple[Resource, ...]:
    csr = certificates.CertificateSigningRequest
    return (
        _row(
            "certificatesigningrequests",
            csr,
            certificate_rules.CERTIFICATE_SIGNING_REQUEST,
            "Asks for a certificate.",
            group="certificates.k8s.io",
            namespaced=False,
            short_names=("csr",),
            subresources=(Subresource("approval", csr.__name__, _CHANGES), _status(csr.__name__)),
            selectable=selectable.CERTIFICATE_SIGNING_REQUEST,
        ),
        *_rbac(),
        _row(
            "storageclasses",
            storage.StorageClass,
            classes.STORAGE_CLASS,
            "A kind of storage that claims choose by name.",
            group="storage.k8s.io",
            namespaced=False,
            short_names=("sc",),
        ),
        _row(
            "priorityclasses",
            scheduling.PriorityClass,
            classes.PRIORITY_CLASS,
            "A name for how important a pod is.",
            group="scheduling.k8s.io",
            namespaced=False,
            short_names=("pc",),
        ),
        _row(
            "leases",
            coordination.Lease,
            classes.LEASE,
            "Says who holds an office and since when.",
            group="coordination.k8s.io",
        ),
        _row(
            "endpointslices",
            discovery.EndpointSlice,
            endpoints.ENDPOINT_SLICE,
            "A part of the addresses behind a Service.",
            group="discovery.k8s.io",
        ),
    )


def _newer_events() -> Resource:
    return _row(
        "events",
        newer_events.Event,
        events.EVENT,
        "What happened to an object, in the newer form.",
        group="events.k8s.io",
        short_names=("ev",),
        stored_as="events",
        conversion=events.EventConversion(),
    )


def _usage() -> tuple[Resource, ...]:
    """Made when they are asked for (apiserver/usage)."""
    asked: dict[str, Any] = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "verbs": ("get", "list"),
        "computed": True,
    }
    return (
        _row("nodes", metrics.NodeMetrics, Strategy(), "What a node uses.", namespaced=False, **asked),
        _row("pods", metrics.PodMetrics, Strategy(), "What the containers of a pod use.", **asked),
    )


#: In the order discovery names the groups: the first that knows a short name is the one that is meant by it.
ROWS: tuple[Resource, ...] = (*_pods(), *_core(), *_apps(), _newer_events(), *_questions(), *_others(), *_usage())
