"""A node's agent writes only what is its own, down to the fields: what a stolen node key can do ends at that node.

Kubernetes' NodeRestriction, for users `system:node:<name>` of group system:nodes. The node authorizer has looked at the
address of the request; here it is what is inside: labels and taints that would draw other people's pods to the node,
pods of other nodes, tokens of accounts that no pod there uses, certificates for other names.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from apiserver.api.errors import NotFound
from apiserver.api.node_folders import FINALIZER as FOLDER_FINALIZER
from apiserver.api.node_folders import NODE_LABEL, label_of
from apiserver.api.pod_references import pod_references
from apiserver.auth.node_authorizer import LEASE_NAMESPACE
from apiserver.auth.signing import parse_request
from apiserver.auth.user import GROUP_NODES, NODE_USER_PREFIX, User

from .plugin import Admission, Base, Lookup, find, forbidden
from .pods import MIRROR_ANNOTATION, PODS, is_mirror

#: node-restriction.kubernetes.io lies here: the one whose labels are made to tell trusted nodes from others.
KUBERNETES_DOMAINS = ("kubernetes.io", "k8s.io")
#: Labels of Kubernetes' own domains that a node may give itself.
NODE_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
NODE_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
    }
)
#: What a mirror pod may not lead to, in the words of the refusal.
_REFERENCES = {
    "serviceaccounts": "a service account",
    "secrets": "secrets",
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
}

Rule = Callable[[Admission, str, Lookup], Coroutine[Any, Any, None]]


class NodeRestriction(Base):
    name = "NodeRestriction"

    async def admit(self, request: Admission, lookup: Lookup) -> None:
        """Changes nothing: it comes early, so that what other plug-ins add does not count against the node."""
        if GROUP_NODES not in request.user.groups:
            return
        node = _node_of(request)
        rule = _RULES.get(request.resource.key)
        if rule is not None:
            await rule(request, node, lookup)


def _node_of(request: Admission) -> str:
    user: User = request.user
    node = user.name.removeprefix(NODE_USER_PREFIX)
    if not user.name.startswith(NODE_USER_PREFIX) or not node:
        raise forbidden(request, f'could not determine node from user "{user.name}"')
    return node


# --- pods -----------------------------------------------------------------------------------------------


async def _pod(request: Admission, node: str, lookup: Lookup) -> None:
    if request.subresource == "status":
        _pod_status(request, node)
    elif request.subresource == "eviction":
        await _own_pod(request, node, lookup, "evict")
    elif request.subresource:
        raise forbidden(
            request,
            f"unexpected pod subresource \"{request.subresource}\", only 'status' and 'eviction' are allowed",
        )
    elif request.operation == "DELETE":
        await _own_pod(request, node, lookup, "delete")
    elif request.operation == "CREATE":
        await _mirror_pod(request, node, lookup)
    else:
        raise forbidden(
            request,
            f'unexpected operation "{request.operation}", node "{node}" can only create and delete mirror pods',
        )


async def _own_pod(request: Admission, node: str, lookup: Lookup, verb: str) -> None:
    """The pod as it is stored must be bound to the node."""
    pod = request.old or await find(lookup, PODS, request.namespace, request.name)
    if pod is None:
        raise NotFound(f'pods "{request.name}" not found', kind=PODS, name=request.name)
    if pod.spec.node_name != node:
        raise forbidden(request, f'node "{node}" can only {verb} pods with spec.nodeName set to itself')


def _pod_status(request: Admission, node: str) -> None:
    if request.operation != "UPDATE":
        raise forbidden(request, f'unexpected operation "{request.operation}"')
    new: Any = request.obj
    old: Any = request.old
    if old.spec.node_name != node or new.spec.node_name != node:
        words = "can only update pod status for pods with spec.nodeName set to itself"
        raise forbidden(request, f'node "{node}" {words}')
    if new.metadata.labels != old.metadata.labels:
        raise forbidden(request, f'node "{node}" cannot update labels through pod status')


async def _mirror_pod(request: Admission, node: str, lookup: Lookup) -> None:
    pod: Any = request.obj
    if not is_mirror(pod):
        raise forbidden(
            request,
            f'pod does not have "{MIRROR_ANNOTATION}" annotation, node "{node}" can only create mirror pods',
        )
    if pod.spec.node_name != node:
        raise forbidden(request, f'node "{node}" can only create pods with spec.nodeName set to itself')
    await _owned_by_node(request, node, lookup)
    used = {reference.partition("/")[0] for reference in pod_references(pod)}
    for resource, words in _REFERENCES.items():
        if resource in used:
            raise forbidden(request, f'node "{node}" can not create pods that reference {words}')


async def _owned_by_node(request: Admission, node: str, lookup: Lookup) -> None:
    owners: Any = request.obj.metadata.owner_references if request.obj is not None else ()
    if len(owners) != 1:
        words = "a single owner reference" if owners else "an owner reference"
        raise forbidden(request, f'node "{node}" can only create pods with {words} set to itself')
    (owner,) = owners
    if (owner.api_version, owner.kind, owner.name) != ("v1", "Node", node):
        raise forbidden(request, f'node "{node}" can only create pods with an owner reference set to itself')
    if not owner.controller:
        raise forbidden(request, f'node "{node}" can only create pods with a controller owner reference set to itself')
    if owner.block_owner_deletion:
        raise forbidden(request, f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    found = await find(lookup, "nodes", "", node)
    if found is None:
        raise NotFound(f'nodes "{node}" not found', kind="nodes", name=node)
    if owner.uid != found.metadata.uid:
        raise forbidden(request, f'node "{node}" UID mismatch: expected {found.metadata.uid} got {owner.uid}')


# --- its Node -------------------------------------------------------------------------------------------


async def _node(request: Admission, node: str, _lookup: Lookup) -> None:
    new: Any = request.obj
    old: Any = request.old
    if request.operation == "CREATE":
        _check_labels(request, new.metadata.labels, {}, f'node "{node}" is not allowed to set the following labels')
        if new.spec.config_source is not None:
            raise forbidden(request, f'node "{node}" is not allowed to create nodes with a non-nil configSource')
    if request.name != node:
        raise forbidden(request, f'node "{node}" is not allowed to modify node "{request.name}"')
    if request.operation != "UPDATE":
        return
    if new.metadata.owner_references != old.metadata.owner_references:
        raise forbidden(request, f'node "{node}" is not allowed to modify ownerReferences')
    if new.spec.config_source is not None and new.spec.config_source != old.spec.config_source:
        raise forbidden(request, f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
    if new.spec.taints != old.spec.taints:
        raise forbidden(request, f'node "{node}" is not allowed to modify taints')
    words = f'node "{node}" is not allowed to modify labels'
    _check_labels(request, new.metadata.labels, old.metadata.labels, words)


def _check_labels(request: Admission, new: Mapping[str, str], old: Mapping[str, str], words: str) -> None:
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    refused = sorted(key for key in changed if not _may_set_label(key))
    if refused:
        raise forbidden(request, f"{words}: {', '.join(refused)}")


def _may_set_label(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    if not slash:
        return True
    return not _within(domain, KUBERNETES_DOMAINS) or key in NODE_LABELS or _within(domain, NODE_DOMAINS)


def _within(domain: str, parents: tuple[str, ...]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


# --- lease, token, certificate --------------------------------------------------------------------------


async def _lease(request: Admission, node: str, _lookup: Lookup) -> None:
    if request.namespace != LEASE_NAMESPACE:
        raise forbidden(request, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
    if request.name != node:
        raise forbidden(request, "can only access node lease with the same name as the requesting node")


async def _token(request: Admission, node: str, lookup: Lookup) -> None:
    """`request.obj` is the TokenRequest."""
    if request.subresource != "token" or request.operation != "CREATE":
        return
    reference = request.obj.spec.bound_object_ref if request.obj is not None else None
    if reference is None or (reference.api_version, reference.kind) != ("v1", "Pod") or not reference.name:
        raise forbidden(request, "node requested token not bound to a pod")
    if not reference.uid:
        raise forbidden(request, "node requested token with a pod binding without a uid")
    pod: Any = await lookup.get(PODS, request.namespace, reference.name)
    if pod is None or pod.metadata.uid != reference.uid or pod.spec.node_name != node:  # the binding may be newer
        pod = await lookup.get(PODS, request.namespace, reference.name, linearizable=True)
    if pod is None:
        raise NotFound(f'pods "{reference.name}" not found', kind=PODS, name=reference.name)
    if pod.metadata.uid != reference.uid:
        raise forbidden(
            request,
            f"the UID in the bound object reference ({reference.uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    if pod.spec.node_name != node:
        raise forbidden(request, "node requested token bound to a pod scheduled on a different node")


async def _certificate(request: Admission, node: str, _lookup: Lookup) -> None:
    """For itself, whoever signs: Kubernetes looks at the signers of nodes alone."""
    if request.operation != "CREATE" or request.subresource or request.obj is None:
        return
    try:
        wanted = parse_request(base64.b64decode(request.obj.spec.request, validate=True))
    except (ValueError, binascii.Error) as error:
        raise forbidden(request, f"unable to parse csr: {error}") from None
    if wanted.common_name != f"{NODE_USER_PREFIX}{node}":
        raise forbidden(request, f"can only create a node CSR with CN={NODE_USER_PREFIX}{node}")


# --- volumes that are its folders -----------------------------------------------------------------------


async def _volume(request: Admission, node: str, _lookup: Lookup) -> None:
    """That the folder of one is made, or gone with it: the node's finalizer comes or goes, and nothing else changes."""
    old: Any = request.old
    new: Any = request.obj
    if request.operation != "UPDATE" or request.subresource:
        raise forbidden(request, f'node "{node}" can only change its finalizer of persistent volumes')
    if old.metadata.labels.get(NODE_LABEL) != label_of(node):
        raise forbidden(request, f'node "{node}" can only change persistent volumes that are its own folders')
    comes, others = FOLDER_FINALIZER not in old.metadata.finalizers, list(old.metadata.finalizers)
    if comes != (old.metadata.deletion_timestamp is None):
        raise forbidden(request, f'node "{node}" can only let go of persistent volumes that are deleted')
    left = [*others, FOLDER_FINALIZER] if comes else [each for each in others if each != FOLDER_FINALIZER]
    wanted = msgspec.structs.replace(
        old.metadata,
        finalizers=left,
        managed_fields=new.metadata.managed_fields,
        resource_version=new.metadata.resource_version,
    )
    if new.metadata != wanted or new.spec != old.spec or new.status != old.status:
        raise forbidden(request, f'node "{node}" can only change its finalizer of persistent volumes')


#: By `Resource.key`.
_RULES: Mapping[str, Rule] = {
    PODS: _pod,
    "nodes": _node,
    "persistentvolumes": _volume,
    "serviceaccounts": _token,
    "coordination.k8s.io/leases": _lease,
    "certificates.k8s.io/certificatesigningrequests": _certificate,
}
