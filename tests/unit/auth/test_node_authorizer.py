"""What a node may do: its own things, what its pods use, and nothing of its neighbours."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.api.core.persistent_volumes import PersistentVolume
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ServiceUnavailable
from apiserver.api.node_folders import NODE_LABEL, label_of
from apiserver.auth.node_authorizer import NodeAuthorizer, node_name
from apiserver.auth.node_graph import NodeGraph, PodUses, VolumeUses, pod_uses, volume_uses
from apiserver.auth.user import Attributes, Decision, User

NODE = User(name="system:node:n1", groups=("system:nodes", "system:authenticated"))

USES = {
    "serviceAccountName": "web",
    "imagePullSecrets": [{"name": "pull"}],
    "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "init-secret"}}]}],
    "containers": [
        {
            "name": "c",
            "envFrom": [{"configMapRef": {"name": "env-map"}}],
            "env": [
                {"name": "A", "value": "plain"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "key-secret", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "key-map", "key": "k"}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
        }
    ],
    "volumes": [
        {"name": "v1", "secret": {"secretName": "volume-secret"}},
        {"name": "v2", "configMap": {"name": "volume-map"}},
        {"name": "v3", "persistentVolumeClaim": {"claimName": "data"}},
        {
            "name": "v4",
            "projected": {
                "sources": [
                    {"secret": {"name": "projected-secret"}},
                    {"configMap": {"name": "kube-root-ca.crt"}},
                    {"serviceAccountToken": {"path": "token"}},
                ]
            },
        },
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "v5", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
        {"name": "v6", "cephfs": {"monitors": [], "secretRef": {"name": "ceph-secret"}}},
        {"name": "v7", "azureFile": {"secretName": "azure-secret", "shareName": "s"}},
        {"name": "v8", "emptyDir": {}},
    ],
}


def pod(spec: dict[str, Any] | None = None, *, node: str = "n1", annotations: dict[str, str] | None = None) -> Pod:
    meta = {"name": "web-1", "namespace": "shop", "annotations": annotations or {}}
    return msgspec.convert({"metadata": meta, "spec": {**(USES if spec is None else spec), "nodeName": node}}, Pod)


def volume(claim: str = "data", **source: Any) -> PersistentVolume:
    reference = {"claimRef": {"namespace": "shop", "name": claim}} if claim else {}
    return msgspec.convert({"metadata": {"name": "pv-1"}, "spec": {**reference, **source}}, PersistentVolume)


class World:
    """`late`: what the graph learns only when the authorizer waits."""

    def __init__(self, *pods: Pod) -> None:
        self.graph = NodeGraph()
        for each in pods:
            self.graph.pod_changed("shop", each.metadata.name, pod_uses(each))
        self.late: Pod | None = None
        self.waits = 0
        self.leaderless = False

    async def linearize(self) -> None:
        self.waits += 1
        if self.leaderless:
            raise ServiceUnavailable("no leader")
        if self.late is not None:
            self.graph.pod_changed("shop", self.late.metadata.name, pod_uses(self.late))

    def ask(
        self,
        verb: str,
        resource: str,
        name: str = "",
        *,
        group: str = "",
        namespace: str = "shop",
        selector: str = "",
        who: User = NODE,
    ) -> Decision:
        plural, _, subresource = resource.partition("/")
        asked = Attributes(verb, group, "v1", plural, subresource, namespace, name, "", selector)
        return asyncio.run(NodeAuthorizer(self.graph, self.linearize).authorize(who, asked))


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (
            "secrets",
            "pull init-secret key-secret volume-secret projected-secret csi-secret ceph-secret azure-secret",
        ),
        ("configmaps", "env-map key-map volume-map kube-root-ca.crt"),
        ("persistentvolumeclaims", "data web-1-scratch"),
    ],
)
def test_a_node_reads_one_by_one_what_its_pods_use(resource: str, names: str) -> None:
    world = World(pod())
    for name in names.split():
        for verb in ("get", "list", "watch"):
            assert world.ask(verb, resource, name).allowed, name
        assert not world.ask("update", resource, name).allowed
        assert not world.ask("get", resource, name, namespace="other").allowed
        assert not world.ask("get", f"{resource}/status", name).allowed
    refused = world.ask("get", resource, "another")
    assert refused.reason == "no relationship found between node 'n1' and this object"
    assert world.ask("list", resource).reason == "can only read a single object of this type, by its name"
    assert not world.ask("get", resource, names.split()[0], namespace="").allowed


def test_what_pods_elsewhere_or_nowhere_use_is_not_for_this_node() -> None:
    for node in ("n2", ""):
        assert not World(pod(node=node)).ask("get", "secrets", "volume-secret").allowed


def test_a_mirror_pod_opens_nothing() -> None:
    world = World(pod(annotations={"kubernetes.io/config.mirror": "x"}))
    assert not world.ask("get", "secrets", "volume-secret").allowed
    assert world.ask("get", "pods", "web-1").allowed


def test_a_pod_that_goes_takes_its_secrets_with_it() -> None:
    world = World(pod())
    assert world.ask("get", "secrets", "volume-secret").allowed
    world.graph.pod_changed("shop", "web-1", None)
    assert not world.ask("get", "secrets", "volume-secret").allowed
    assert (world.graph._nodes, world.graph._node_of) == ({}, {})


def test_volumes_of_claims_and_their_secrets() -> None:
    world = World(pod())
    source: Any = {
        "csi": {
            "driver": "d",
            "volumeHandle": "h",
            "nodeStageSecretRef": {"namespace": "storage", "name": "stage"},
            "controllerPublishSecretRef": {"namespace": "storage", "name": "controller"},
        },
        "rbd": {"monitors": [], "image": "i", "secretRef": {"name": "rbd"}},
        "azureFile": {"secretName": "azure", "shareName": "s", "secretNamespace": "storage"},
    }
    world.graph.volume_changed("", "pv-1", volume_uses(volume(**source)))
    assert world.ask("get", "persistentvolumes", "pv-1", namespace="").allowed
    assert not world.ask("get", "persistentvolumes", "pv-2", namespace="").allowed
    assert world.ask("get", "secrets", "stage", namespace="storage").allowed
    assert world.ask("get", "secrets", "azure", namespace="storage").allowed
    assert world.ask("get", "secrets", "rbd").allowed  # in the claim's namespace
    assert not world.ask("get", "secrets", "controller", namespace="storage").allowed
    world.graph.volume_changed("", "pv-1", volume_uses(volume("unused", **source)))
    assert not world.ask("get", "secrets", "stage", namespace="storage").allowed
    assert not world.ask("get", "persistentvolumes", "pv-1", namespace="").allowed
    world.graph.volume_changed("", "pv-1", volume_uses(volume("")))
    assert not world.ask("get", "persistentvolumes", "pv-1", namespace="").allowed
    world.graph.volume_changed("", "pv-1", None)
    assert (world.graph._volumes, world.graph._volumes_by_secret) == ({}, {})


# --- a replica that lags --------------------------------------------------------------------------------------


def test_a_binding_that_this_replica_has_not_applied_is_waited_for() -> None:
    world = World()
    world.late = pod()
    assert world.ask("get", "secrets", "volume-secret").allowed
    assert world.waits == 1
    assert world.ask("get", "secrets", "volume-secret").allowed
    assert world.waits == 1  # a relation that is known costs no wait


def test_without_a_leader_a_miss_is_no_refusal() -> None:
    world = World(pod())
    world.leaderless = True
    assert world.ask("get", "secrets", "volume-secret").allowed
    with pytest.raises(ServiceUnavailable):
        world.ask("get", "secrets", "another")


def test_what_is_wrong_in_form_is_refused_without_a_wait() -> None:
    world = World(pod())
    world.ask("list", "secrets")
    world.ask("delete", "secrets", "volume-secret")
    world.ask("create", "serviceaccounts", "web")
    assert world.waits == 0


# --- pods -----------------------------------------------------------------------------------------------------


def test_its_pods_and_no_others() -> None:
    world = World(pod())
    for verb in ("get", "list", "watch", "delete"):
        assert world.ask(verb, "pods", "web-1").allowed, verb
        assert not world.ask(verb, "pods", "web-2").allowed, verb
        assert not world.ask(verb, "pods", "web-1", who=node("n2")).allowed, verb
    for verb in ("update", "patch"):
        assert world.ask(verb, "pods/status", "web-1").allowed
        assert not world.ask(verb, "pods/status", "web-2").allowed
        assert not world.ask(verb, "pods", "web-1").allowed
    for resource in ("pods", "pods/binding", "pods/eviction", "pods/exec"):
        assert not world.ask("create", resource, "web-1").allowed
    assert not world.ask("deletecollection", "pods").allowed


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("spec.nodeName=n2", False),
        ("spec.nodeName!=n2", False),
        ("status.phase=Running", False),
        ("", False),
        ("spec.nodeName", False),
    ],
)
def test_pods_are_watched_by_node(selector: str, allowed: bool) -> None:
    for verb in ("list", "watch"):
        assert World().ask(verb, "pods", namespace="", selector=selector).allowed is allowed


# --- the rest -------------------------------------------------------------------------------------------------


def node(name: str) -> User:
    return User(name=f"system:node:{name}", groups=("system:nodes",))


def test_tokens_for_the_accounts_of_its_pods() -> None:
    world = World(pod())
    assert world.ask("create", "serviceaccounts/token", "web").allowed
    assert not world.ask("create", "serviceaccounts/token", "admin").allowed
    assert not world.ask("create", "serviceaccounts/token", "web", namespace="kube-system").allowed
    assert not world.ask("create", "serviceaccounts/token", "web", who=node("n2")).allowed
    assert not world.ask("get", "serviceaccounts", "web").allowed


def test_its_own_node_and_lease() -> None:
    world = World()
    for resource in ("nodes", "nodes/status"):
        for verb in ("update", "patch"):
            assert world.ask(verb, resource, "n1", namespace="").allowed
            assert not world.ask(verb, resource, "n2", namespace="").allowed
    assert world.ask("create", "nodes", namespace="").allowed
    assert world.ask("watch", "nodes", namespace="").allowed
    assert not world.ask("delete", "nodes", "n1", namespace="").allowed
    lease: Any = {"group": "coordination.k8s.io", "namespace": "kube-node-lease"}
    for verb in ("get", "update", "patch", "delete", "create"):
        assert world.ask(verb, "leases", "n1", **lease).allowed
        assert not world.ask(verb, "leases", "n2", **lease).allowed
    assert world.ask("create", "leases", **lease).allowed
    assert not world.ask("list", "leases", **lease).allowed
    assert not world.ask("get", "leases", "n1", group="coordination.k8s.io", namespace="kube-system").allowed


@pytest.mark.parametrize(
    ("verb", "group", "resource", "allowed"),
    [
        ("watch", "", "services", True),
        ("list", "discovery.k8s.io", "endpointslices", True),
        ("update", "", "services", False),
        ("create", "", "events", True),
        ("patch", "events.k8s.io", "events", True),
        ("delete", "", "events", False),
        ("create", "certificates.k8s.io", "certificatesigningrequests", True),
        ("update", "certificates.k8s.io", "certificatesigningrequests/approval", False),
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient", True),
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient", False),
        ("create", "authentication.k8s.io", "tokenreviews", True),
        ("create", "authorization.k8s.io", "subjectaccessreviews", True),
        ("get", "apps", "deployments", False),
        ("get", "rbac.authorization.k8s.io", "clusterroles", False),
        ("list", "", "namespaces", False),
    ],
)
def test_what_all_nodes_may(verb: str, group: str, resource: str, allowed: bool) -> None:
    assert World().ask(verb, resource, group=group, namespace="shop").allowed is allowed


@pytest.mark.parametrize(
    ("who", "name"),
    [
        (NODE, "n1"),
        (User(name="system:node:n1", groups=("dev",)), ""),
        (User(name="jane", groups=("system:nodes",)), ""),
        (User(name="system:node:", groups=("system:nodes",)), ""),
    ],
)
def test_who_is_a_node(who: User, name: str) -> None:
    assert node_name(who) == name
    assert World(pod()).ask("get", "secrets", "volume-secret", who=who).allowed is bool(name)


def test_paths_are_none_of_its_business() -> None:
    asked = Attributes(verb="get", path="/metrics")
    assert not asyncio.run(NodeAuthorizer(NodeGraph(), World().linearize).authorize(NODE, asked)).allowed


# --- the graph against a plain list ---------------------------------------------------------------------------

PODS = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["p", "q"]))
POD_STATES = st.one_of(
    st.none(),
    st.builds(
        PodUses,
        st.sampled_from(["", "n1", "n2"]),
        st.lists(st.sampled_from(["secrets/s", "secrets/t", "persistentvolumeclaims/c"]), max_size=2).map(tuple),
    ),
)
VOLUME_STATES = st.one_of(
    st.none(),
    st.builds(VolumeUses, st.sampled_from(["", "a/c", "b/c"]), st.sampled_from([(), ("a/t",), ("b/s", "a/s")])),
)
GRAPH_CHANGES = st.one_of(st.tuples(PODS, POD_STATES), st.tuples(st.sampled_from(["v", "w"]), VOLUME_STATES))


@settings(max_examples=200, deadline=None)
@given(st.lists(GRAPH_CHANGES, max_size=20))
def test_the_graph_is_what_its_last_states_say(changes: list[tuple[Any, Any]]) -> None:
    graph = NodeGraph()
    pods: dict[tuple[str, str], PodUses] = {}
    volumes: dict[str, VolumeUses] = {}
    for place, state in changes:
        held: dict[Any, Any] = volumes if isinstance(place, str) else pods
        held.pop(place, None)
        if state is not None:
            held[place] = state
        if isinstance(place, str):
            graph.volume_changed("", place, state)
        else:
            graph.pod_changed(place[0], place[1], state)
    for node_ in ("n1", "n2"):
        used = {
            (where, reference)
            for (where, _), uses in pods.items()
            if uses.node == node_
            for reference in uses.references
        }
        claimed = {
            name
            for name, uses in volumes.items()
            if tuple(uses.claim.split("/"))
            in {(where, reference.split("/")[1]) for where, reference in used if reference.startswith("persistent")}
        }
        for where in ("a", "b"):
            for secret in ("s", "t"):
                expected = (where, f"secrets/{secret}") in used or any(
                    f"{where}/{secret}" in volumes[name].secrets for name in claimed
                )
                assert graph.needs(node_, "secrets", where, secret) is expected
            for name in ("p", "q"):
                uses = pods.get((where, name))
                assert graph.runs_pod(node_, where, name) is (uses is not None and uses.node == node_)
        for name in ("v", "w"):
            assert graph.needs_volume(node_, name) is (name in claimed)


# --- volumes that are folders of the node -----------------------------------------------------------------


def folder(node: str, claim: str = "gone") -> PersistentVolume:
    found = volume(claim)
    found.metadata.labels = {NODE_LABEL: label_of(node)}
    return found


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("kmini.io/node=n1", True),
        ("kmini.io/node in (n1),a=b", True),
        ("kmini.io/node=n2", False),
        ("kmini.io/node in (n1,n2)", False),
        ("kmini.io/node!=n2", False),
        ("kmini.io/node", False),
        ("other=n1", False),
        ("", False),
        ("=", False),
    ],
)
def test_volumes_are_watched_by_node(selector: str, allowed: bool) -> None:
    for verb in ("list", "watch"):
        asked = Attributes(verb, "", "v1", "persistentvolumes", label_selector=selector)
        world = World()
        assert asyncio.run(NodeAuthorizer(world.graph, world.linearize).authorize(NODE, asked)).allowed is allowed


def test_finalizers_of_its_own_folders_and_of_no_others() -> None:
    world = World(pod())
    assert not world.ask("patch", "persistentvolumes", "pv-1", namespace="").allowed
    world.graph.volume_changed("", "pv-1", volume_uses(folder("n1")))
    assert world.ask("patch", "persistentvolumes", "pv-1", namespace="").allowed
    for verb in ("update", "delete", "create"):
        assert not world.ask(verb, "persistentvolumes", "pv-1", namespace="").allowed
    assert not world.ask("patch", "persistentvolumes/status", "pv-1", namespace="").allowed
    assert not world.ask("deletecollection", "persistentvolumes", namespace="").allowed
    world.graph.volume_changed("", "pv-1", volume_uses(folder("n2", "data")))
    assert world.ask("get", "persistentvolumes", "pv-1", namespace="").allowed
    assert not world.ask("patch", "persistentvolumes", "pv-1", namespace="").allowed
    world.graph.volume_changed("", "pv-1", volume_uses(volume()))
    assert not world.ask("patch", "persistentvolumes", "pv-1", namespace="").allowed
