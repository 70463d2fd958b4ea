"""What a node's agent may write, field by field."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from admission_world import made, node_user, pass_through, refusal, write
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from two_views import TwoViews

from apiserver.admission.node_restriction import NodeRestriction
from apiserver.admission.plugin import Admission
from apiserver.admission.pods import MIRROR_ANNOTATION
from apiserver.api.node_folders import FINALIZER, NODE_LABEL
from apiserver.auth.user import GROUP_NODES, User

PLUGIN = NodeRestriction()
N1 = node_user("n1")
REQUESTS = "certificates.k8s.io/certificatesigningrequests"
LEASES = "coordination.k8s.io/leases"
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid of n1", "controller": True}


def pod(node: str = "n1", *, metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    return made("pods", "web", namespace="team", metadata=metadata or {}, spec={"nodeName": node, **spec})


def mirror(node: str = "n1", *, owners: list[dict[str, Any]] | None = None, **spec: Any) -> Any:
    owners = [OWNER] if owners is None else owners
    metadata = {"annotations": {MIRROR_ANNOTATION: "x"}, "ownerReferences": owners}
    return pod(node, metadata=metadata, **spec)


def node(name: str = "n1", *, labels: dict[str, str] | None = None, **spec: Any) -> Any:
    return made("nodes", name, metadata={"labels": labels or {}}, spec=spec)


def nodes() -> TwoViews:
    lookup = TwoViews()
    lookup.put("nodes", node())
    return lookup


def by_node(key: str, obj: Any, old: Any = None, **fields: Any) -> Admission:
    return write(key, obj, old, user=N1, **fields)


def why(request: Admission, lookup: TwoViews | None = None) -> str:
    """What a refusal says after `... is forbidden: `."""
    error = refusal(PLUGIN, request, lookup)
    assert error.status_code == 403
    return error.message.partition(" is forbidden: ")[2]


# --- who ------------------------------------------------------------------------------------------------


def test_others_are_left_alone() -> None:
    pass_through(PLUGIN, write("nodes", node("n2", labels={"kubernetes.io/mine": "x"})))


@pytest.mark.parametrize("name", ["alice", "system:node:"])
def test_a_node_without_a_name_may_nothing(name: str) -> None:
    request = write(
        "configmaps", made("configmaps", "c", namespace="team"), user=User(name=name, groups=(GROUP_NODES,))
    )
    assert why(request) == f'could not determine node from user "{name}"'


def test_what_no_rule_is_about_passes() -> None:
    pass_through(PLUGIN, by_node("events", made("events", "e", namespace="team")))


# --- its Node -------------------------------------------------------------------------------------------


def test_a_node_registers_itself() -> None:
    labels = {
        "kubernetes.io/hostname": "n1",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "small",
        "sub.kubelet.kubernetes.io/x": "1",
        "example.com/rack": "7",
        "plain": "1",
    }
    pass_through(PLUGIN, by_node("nodes", node(labels=labels, taints=[{"key": "a", "effect": "NoSchedule"}])))


@pytest.mark.parametrize(
    "label",
    [
        "node-restriction.kubernetes.io/pci",
        "team.node-restriction.kubernetes.io/pci",
        "kubernetes.io/pci",
        "node-role.kubernetes.io/control-plane",
        "k8s.io/pci",
        "app.k8s.io/pci",
    ],
)
def test_labels_that_draw_pods_are_not_the_nodes_to_set(label: str) -> None:
    words = f'node "n1" is not allowed to set the following labels: {label}'
    assert why(by_node("nodes", node(labels={label: "x"}))) == words
    words = f'node "n1" is not allowed to modify labels: {label}'
    assert why(by_node("nodes", node(labels={label: "x"}), node())) == words
    assert why(by_node("nodes", node(), node(labels={label: "x"}))) == words
    kept = node(labels={label: "x"})
    pass_through(PLUGIN, by_node("nodes", kept, kept))


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE", "DELETE"])
def test_a_node_touches_no_other_node(operation: str) -> None:
    other = node("n2")
    obj = None if operation == "DELETE" else other
    request = by_node("nodes", obj, None if operation == "CREATE" else other, operation=operation)
    assert why(request) == 'node "n1" is not allowed to modify node "n2"'


def test_a_node_does_not_change_its_taints() -> None:
    tainted = node(taints=[{"key": "a", "effect": "NoSchedule"}])
    assert why(by_node("nodes", node(), tainted)) == 'node "n1" is not allowed to modify taints'
    assert why(by_node("nodes", tainted, node())) == 'node "n1" is not allowed to modify taints'
    pass_through(PLUGIN, by_node("nodes", tainted, tainted))


def test_a_node_does_not_change_its_owners() -> None:
    owned = made("nodes", "n1", metadata={"ownerReferences": [OWNER]})
    assert why(by_node("nodes", owned, node())) == 'node "n1" is not allowed to modify ownerReferences'


def test_a_node_does_not_name_where_its_configuration_comes_from() -> None:
    source = {"configMap": {"name": "c", "namespace": "team", "kubeletConfigKey": "k"}}
    words = "configSource"
    assert words in why(by_node("nodes", node(configSource=source)))
    assert words in why(by_node("nodes", node(configSource=source), node()))
    pass_through(PLUGIN, by_node("nodes", node(), node(configSource=source)))


def test_a_node_writes_its_status() -> None:
    pass_through(PLUGIN, by_node("nodes", node(), node(), subresource="status"))


# --- pods -----------------------------------------------------------------------------------------------


def test_a_node_tells_of_its_own_pods() -> None:
    pass_through(PLUGIN, by_node("pods", pod(), pod(), subresource="status"))


@pytest.mark.parametrize("bound", ["", "n2"])
def test_a_node_tells_of_no_other_pods(bound: str) -> None:
    words = 'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    assert why(by_node("pods", pod(bound), pod(bound), subresource="status")) == words


def test_labels_of_pods_are_not_the_nodes_to_set() -> None:
    labelled = pod(metadata={"labels": {"app": "bank"}})
    words = 'node "n1" cannot update labels through pod status'
    assert why(by_node("pods", labelled, pod(), subresource="status")) == words


@pytest.mark.parametrize(("subresource", "verb"), [("", "delete"), ("eviction", "evict")])
def test_a_node_removes_its_own_pods_alone(subresource: str, verb: str) -> None:
    pass_through(PLUGIN, by_node("pods", None, pod(), operation="DELETE", subresource=subresource))
    request = by_node("pods", None, pod("n2"), operation="DELETE", subresource=subresource)
    assert why(request) == f'node "n1" can only {verb} pods with spec.nodeName set to itself'


def test_an_eviction_without_the_pod_looks_it_up() -> None:
    eviction = by_node("pods", None, pod(), operation="CREATE", subresource="eviction")
    eviction.old = None
    lookup = TwoViews()
    assert refusal(PLUGIN, eviction, lookup).status_code == 404
    lookup.commit("pods", pod("n2"))
    assert why(eviction, lookup) == 'node "n1" can only evict pods with spec.nodeName set to itself'


def test_a_node_changes_no_pod() -> None:
    words = 'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'
    assert why(by_node("pods", pod(), pod())) == words


def test_a_node_binds_no_pod() -> None:
    assert "unexpected pod subresource" in why(by_node("pods", pod(), pod(""), subresource="binding"))


def test_a_node_shows_what_it_runs_of_its_own() -> None:
    pass_through(PLUGIN, by_node("pods", mirror()), nodes())


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        (pod, 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods'),
        (lambda: mirror("n2"), 'node "n1" can only create pods with spec.nodeName set to itself'),
        (lambda: mirror(owners=[]), 'node "n1" can only create pods with an owner reference set to itself'),
        (
            lambda: mirror(owners=[OWNER, OWNER]),
            'node "n1" can only create pods with a single owner reference set to itself',
        ),
        (
            lambda: mirror(owners=[{**OWNER, "name": "n2"}]),
            'node "n1" can only create pods with an owner reference set to itself',
        ),
        (
            lambda: mirror(owners=[{**OWNER, "controller": False}]),
            'node "n1" can only create pods with a controller owner reference set to itself',
        ),
        (
            lambda: mirror(owners=[{**OWNER, "blockOwnerDeletion": True}]),
            'node "n1" must not set blockOwnerDeletion on an owner reference',
        ),
        (lambda: mirror(owners=[{**OWNER, "uid": "x"}]), 'node "n1" UID mismatch: expected uid of n1 got x'),
        (
            lambda: mirror(serviceAccountName="default"),
            'node "n1" can not create pods that reference a service account',
        ),
        (
            lambda: mirror(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
            'node "n1" can not create pods that reference secrets',
        ),
        (
            lambda: mirror(containers=[{"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}]}]),
            'node "n1" can not create pods that reference configmaps',
        ),
        (
            lambda: mirror(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "d"}}]),
            'node "n1" can not create pods that reference persistentvolumeclaims',
        ),
    ],
)
def test_a_node_makes_mirror_pods_of_its_own_alone(request_of: Any, words: str) -> None:
    assert why(by_node("pods", request_of()), nodes()) == words


# --- lease, token, certificate --------------------------------------------------------------------------


def test_a_node_holds_its_own_lease() -> None:
    lease = made(LEASES, "n1", namespace="kube-node-lease")
    pass_through(PLUGIN, by_node(LEASES, lease))
    pass_through(PLUGIN, by_node(LEASES, lease, lease))
    other = made(LEASES, "n2", namespace="kube-node-lease")
    words = "can only access node lease with the same name as the requesting node"
    assert why(by_node(LEASES, other)) == words
    assert why(by_node(LEASES, other, other)) == words
    elsewhere = made(LEASES, "n1", namespace="kube-system")
    assert why(by_node(LEASES, elsewhere)) == 'can only access leases in the "kube-node-lease" system namespace'


def token(**reference: str) -> Admission:
    account = made("serviceaccounts", "default", namespace="team")
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid of web", **reference}
    request = by_node("serviceaccounts", account, subresource="token")
    request.obj = made_token_request(bound if reference.get("kind") != "" else None)
    return request


def made_token_request(reference: dict[str, str] | None) -> Any:
    import msgspec

    from apiserver.api.authentication import TokenRequest

    return msgspec.convert({"spec": {"boundObjectRef": reference} if reference else {}}, TokenRequest)


def pods_of(*, local: str | None, committed: str | None) -> TwoViews:
    """The pod as it is bound here, and as it is bound in the cluster."""
    lookup = TwoViews()
    if local is not None:
        lookup.put("pods", pod(local))
    if committed is not None:
        lookup.commit("pods", pod(committed))
    return lookup


@pytest.mark.parametrize("local", [None, "", "n1"])
def test_a_node_gets_tokens_for_its_pods(local: str | None) -> None:
    lookup = pods_of(local=local, committed="n1")
    pass_through(PLUGIN, token(), lookup)
    assert lookup.asked["linearizable"] == (0 if local == "n1" else 1)


@pytest.mark.parametrize(
    ("reference", "bound", "words"),
    [
        ({"kind": ""}, "n1", "node requested token not bound to a pod"),
        ({"kind": "Secret"}, "n1", "node requested token not bound to a pod"),
        ({"name": ""}, "n1", "node requested token not bound to a pod"),
        ({"uid": ""}, "n1", "node requested token with a pod binding without a uid"),
        (
            {"uid": "old"},
            "n1",
            "the UID in the bound object reference (old) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        ),
        ({}, "n2", "node requested token bound to a pod scheduled on a different node"),
        ({}, "", "node requested token bound to a pod scheduled on a different node"),
    ],
)
def test_a_node_gets_no_other_tokens(reference: dict[str, str], bound: str, words: str) -> None:
    assert why(token(**reference), pods_of(local=bound, committed=bound)) == words


def test_a_token_for_a_pod_that_is_gone() -> None:
    error = refusal(PLUGIN, token(), TwoViews())
    assert (error.status_code, error.message) == (404, 'pods "web" not found')


def certificate_request(common_name: str, signer: str = "kubernetes.io/kubelet-serving") -> Any:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    key = ec.generate_private_key(ec.SECP256R1())
    pem = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    encoded = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    return made(REQUESTS, "csr", spec={"request": encoded, "signerName": signer})


@pytest.mark.parametrize("signer", ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client"])
def test_a_node_asks_for_certificates_in_its_own_name(signer: str) -> None:
    pass_through(PLUGIN, by_node(REQUESTS, certificate_request("system:node:n1", signer)))
    words = "can only create a node CSR with CN=system:node:n1"
    for name in ("system:node:n2", "alice"):
        assert why(by_node(REQUESTS, certificate_request(name, signer))) == words


def test_a_request_that_is_none_is_refused() -> None:
    broken = made(REQUESTS, "csr", spec={"request": "eA==", "signerName": "kubernetes.io/kubelet-serving"})
    assert why(by_node(REQUESTS, broken)).startswith("unable to parse csr: ")


# --- volumes that are its folders -----------------------------------------------------------------------


def folder(*finalizers: str, node: str = "n1", going: bool = True, **spec: Any) -> Any:
    metadata: dict[str, Any] = {"labels": {NODE_LABEL: node}, "finalizers": list(finalizers)}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return made("persistentvolumes", "pv", metadata=metadata, spec=spec)


def test_a_node_says_that_a_folder_is_made_and_that_it_is_gone() -> None:
    made_now = folder("a", FINALIZER, going=False), folder("a", going=False)
    gone = folder("a", "b"), folder("a", FINALIZER, "b")
    for new, old in (made_now, gone):
        pass_through(PLUGIN, by_node("persistentvolumes", new, old))


@pytest.mark.parametrize(
    ("new", "old", "words"),
    [
        (folder("a"), folder("a", FINALIZER, node="n2"), "that are its own folders"),
        (folder("a", going=False), folder("a", FINALIZER, going=False), "that are deleted"),
        (folder("a", FINALIZER), folder("a"), "that are deleted"),
        (folder(), folder("a", FINALIZER), "only change its finalizer"),
        (folder(FINALIZER, going=False), folder("a", going=False), "only change its finalizer"),
        (folder(), folder(FINALIZER, hostPath={"path": "/a"}), "only change its finalizer"),
        (folder(node="n2"), folder(FINALIZER), "only change its finalizer"),
    ],
)
def test_and_nothing_else_of_a_volume(new: Any, old: Any, words: str) -> None:
    assert words in why(by_node("persistentvolumes", new, old))


def test_a_node_makes_and_deletes_no_volumes() -> None:
    assert "only change its finalizer" in why(by_node("persistentvolumes", folder(FINALIZER)))
    old = folder(FINALIZER)
    assert "only change its finalizer" in why(by_node("persistentvolumes", None, old, operation="DELETE"))
    assert "only change its finalizer" in why(by_node("persistentvolumes", folder(), old, subresource="status"))
