"""What a node's agent may do: user `system:node:<name>` in group system:nodes (Kubernetes' node authorizer).

Reads: Services, EndpointSlices, Endpoints and Nodes freely; pods that are its own; Secrets, ConfigMaps, claims and
volumes one by one, while a pod bound to it uses them; volumes that are folders of its own. Writes: its Node, its lease,
status and removal of its pods, events, certificate requests, tokens for the accounts of its pods, and its finalizer of
volumes. What the address of a request does not show (the body), admission narrows (node restriction).

A binding may be newer than what this replica has applied. So before it refuses for want of a relation, the authorizer
waits until everything committed so far is applied here, and looks once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from apiserver.api.node_folders import NODE_LABEL, label_of
from apiserver.api.pod_references import CLAIMS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from apiserver.api.rbac import PolicyRule
from apiserver.api.selectors import parse_fields, parse_labels

from .node_graph import NodeGraph
from .rbac_rules import compile_rules
from .user import ALLOWED, GROUP_NODES, NODE_USER_PREFIX, Attributes, Decision, User

LEASE_NAMESPACE = "kube-node-lease"
VOLUMES = "persistentvolumes"

_READ = ["get", "list", "watch"]
#: Granted to all nodes alike.
_RULES = compile_rules(
    [
        PolicyRule(verbs=_READ, api_groups=[""], resources=["services", "endpoints", "nodes"]),
        PolicyRule(verbs=_READ, api_groups=["discovery.k8s.io"], resources=["endpointslices"]),
        PolicyRule(verbs=["create"], api_groups=[""], resources=["nodes"]),
        PolicyRule(verbs=["create", "update", "patch"], api_groups=["", "events.k8s.io"], resources=["events"]),
        PolicyRule(
            verbs=["create", *_READ], api_groups=["certificates.k8s.io"], resources=["certificatesigningrequests"]
        ),
        PolicyRule(
            verbs=["create"],
            api_groups=["certificates.k8s.io"],
            resources=["certificatesigningrequests/selfnodeclient"],
        ),
        PolicyRule(verbs=["create"], api_groups=["authentication.k8s.io"], resources=["tokenreviews"]),
        PolicyRule(
            verbs=["create"],
            api_groups=["authorization.k8s.io"],
            resources=["subjectaccessreviews", "localsubjectaccessreviews"],
        ),
    ]
)

#: Whether the relation is there, asked now and, if not, once more after waiting.
_Relation = Callable[[], bool]


def node_name(user: User) -> str:
    """Name of the node whose agent the user is; "" when it is none."""
    if not user.name.startswith(NODE_USER_PREFIX) or GROUP_NODES not in user.groups:
        return ""
    return user.name.removeprefix(NODE_USER_PREFIX)


def exact_field(field_selector: str, field: str) -> str:
    """The value a field selector demands of a field; "" when it demands none, or does not parse."""
    try:
        return parse_fields(field_selector).exact(field) or ""
    except ValueError:
        return ""  # whoever serves the request refuses it


def exact_label(label_selector: str, key: str) -> str:
    """The same of a label."""
    try:
        requirements = parse_labels(label_selector).requirements
    except ValueError:
        return ""
    exact = (each.values for each in requirements if each.key == key and each.operator in ("=", "in"))
    return next((values[0] for values in exact if len(values) == 1), "")


class NodeAuthorizer:
    """`linearize` returns once this replica has applied, and the graph has taken in, all that was committed before
    the call. It raises ServiceUnavailable without a leader; that goes on to the asker.
    """

    def __init__(self, graph: NodeGraph, linearize: Callable[[], Awaitable[None]]) -> None:
        self._graph = graph
        self._linearize = linearize

    async def authorize(self, user: User, attributes: Attributes) -> Decision:
        """Not allowed means "no opinion": another authorizer may allow."""
        node = node_name(user)
        if not node or not attributes.is_resource:
            return Decision(False)
        verdict = self._verdict(node, attributes)
        if isinstance(verdict, Decision):
            return verdict
        if not verdict():
            await self._linearize()
            if not verdict():
                return Decision(False, f"no relationship found between node '{node}' and this object")
        return ALLOWED

    def _verdict(self, node: str, asked: Attributes) -> Decision | _Relation:
        where = (asked.group, asked.resource, asked.subresource)
        if where == ("", "pods", ""):
            return self._pod(node, asked)
        if where == ("", "pods", "status") and asked.verb in ("update", "patch"):
            return lambda: self._graph.runs_pod(node, asked.namespace, asked.name)
        if asked.group == "" and asked.resource in (SECRETS, CONFIG_MAPS, CLAIMS, VOLUMES):
            return self._used_object(node, asked)
        if asked.group == "" and asked.resource == SERVICE_ACCOUNTS:
            return self._token(node, asked)
        if where == ("coordination.k8s.io", "leases", ""):
            return _lease(node, asked)
        if where in (("", "nodes", ""), ("", "nodes", "status")) and asked.verb in ("update", "patch"):
            return _own(node, asked, "a node can change its own Node only")
        return _by_rules(asked)

    def _pod(self, node: str, asked: Attributes) -> Decision | _Relation:
        if asked.verb in ("list", "watch") and asked.field_selector:
            if exact_field(asked.field_selector, "spec.nodeName") == node:
                return ALLOWED
        elif asked.verb not in ("get", "list", "watch", "delete"):
            return Decision(False, "can only read pods, delete them, and update their status")
        if not asked.name:
            return Decision(False, "can only list/watch pods with spec.nodeName field selector")
        return lambda: self._graph.runs_pod(node, asked.namespace, asked.name)

    def _used_object(self, node: str, asked: Attributes) -> Decision | _Relation:
        if asked.resource == VOLUMES and _is_about_folders(node, asked):
            return ALLOWED
        if asked.resource == VOLUMES and asked.verb == "patch" and asked.name and not asked.subresource:
            return lambda: self._graph.keeps_folder(node, asked.name)
        if asked.verb not in _READ or asked.subresource:
            return Decision(False, "can only read resources of this type")
        if not asked.name:
            return Decision(False, "can only read a single object of this type, by its name")
        if asked.resource == VOLUMES:
            return lambda: self._graph.needs_volume(node, asked.name)
        if not asked.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return lambda: self._graph.needs(node, asked.resource, asked.namespace, asked.name)

    def _token(self, node: str, asked: Attributes) -> Decision | _Relation:
        if asked.verb != "create" or asked.subresource != "token" or not asked.name:
            return Decision(False, "can only create tokens for individual service accounts")
        return lambda: self._graph.needs(node, SERVICE_ACCOUNTS, asked.namespace, asked.name)


def _is_about_folders(node: str, asked: Attributes) -> bool:
    """A list or watch of volumes that are folders of this node, and of no others."""
    if asked.verb not in ("list", "watch") or asked.name or asked.subresource:
        return False
    return exact_label(asked.label_selector, NODE_LABEL) == label_of(node)


def _lease(node: str, asked: Attributes) -> Decision:
    if asked.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if asked.namespace != LEASE_NAMESPACE:
        return Decision(False, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if asked.verb == "create" and not asked.name:
        return ALLOWED  # the name is in the body: admission looks at it
    return _own(node, asked, "can only access node lease with the same name as the requesting node")


def _own(node: str, asked: Attributes, refusal: str) -> Decision:
    return ALLOWED if asked.name == node else Decision(False, refusal)


def _by_rules(asked: Attributes) -> Decision:
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    allowed = any(rule.allows_resource(asked.verb, asked.group, resource, "") for rule in _RULES)
    return Decision(allowed)
