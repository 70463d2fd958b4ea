"""A small table of resources: every shape a row can have, few of each, so that a test says what it means."""

from __future__ import annotations

from apiserver.api import apps, authentication, authorization, events
from apiserver.api.core import event, namespace, node, pod, service_account
from apiserver.registry import native
from apiserver.registry.columns import COLUMNS
from apiserver.registry.resource import Resource, Subresource

READ_WRITE = ("get", "patch", "update")
STATUS = Subresource("status", "Pod", READ_WRITE)
SCALE = Subresource("scale", "Scale", READ_WRITE, group="autoscaling", version="v1")

PODS = Resource(
    plural="pods",
    kind="Pod",
    type=pod.Pod,
    short_names=("po",),
    categories=("all",),
    columns=COLUMNS["pods"],
    subresources=(
        STATUS,
        Subresource("binding", "Binding", ("create",)),
        Subresource("eviction", "Eviction", ("create",), group="policy", version="v1"),
        Subresource("log", "Pod", ("get",)),
        Subresource("exec", "PodExecOptions", ("create", "get")),
    ),
)
NODES = Resource(
    plural="nodes",
    kind="Node",
    type=node.Node,
    namespaced=False,
    short_names=("no",),
    columns=COLUMNS["nodes"],
    subresources=(
        Subresource("status", "Node", READ_WRITE),
        Subresource("proxy", "NodeProxyOptions", ("create", "delete", "get", "patch", "update")),
    ),
)
NAMESPACES = Resource(plural="namespaces", kind="Namespace", type=namespace.Namespace, namespaced=False)
EVENTS = Resource(plural="events", kind="Event", type=event.Event, columns=COLUMNS["events"])
SERVICE_ACCOUNTS = Resource(
    plural="serviceaccounts",
    kind="ServiceAccount",
    type=service_account.ServiceAccount,
    subresources=(Subresource("token", "TokenRequest", ("create",), group="authentication.k8s.io", version="v1"),),
)
DEPLOYMENTS = Resource(
    plural="deployments",
    kind="Deployment",
    group="apps",
    type=apps.Deployment,
    short_names=("deploy",),
    categories=("all",),
    columns=COLUMNS["apps/deployments"],
    subresources=(Subresource("status", "Deployment", READ_WRITE), SCALE),
)
TOKEN_REVIEWS = Resource(
    plural="tokenreviews",
    kind="TokenReview",
    group="authentication.k8s.io",
    type=authentication.TokenReview,
    namespaced=False,
    verbs=("create",),
)
LOCAL_REVIEWS = Resource(
    plural="localsubjectaccessreviews",
    kind="LocalSubjectAccessReview",
    group="authorization.k8s.io",
    type=authorization.LocalSubjectAccessReview,
    verbs=("create",),
)
NEW_EVENTS = Resource(plural="events", kind="Event", group="events.k8s.io", type=events.Event, stored_as="events")
ALPHA_PODS = next(row for row in native.ROWS if row.plural == "pods")

ROWS = (
    PODS,
    NODES,
    NAMESPACES,
    EVENTS,
    SERVICE_ACCOUNTS,
    *native.ROWS,
    DEPLOYMENTS,
    TOKEN_REVIEWS,
    LOCAL_REVIEWS,
    NEW_EVENTS,
)
