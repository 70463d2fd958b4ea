"""Garbage collection: what has an owner lives, what has none any more does not, and finalizers mean what they say."""

from __future__ import annotations

import msgspec
import pytest
from controllers_world import World, run_world
from controllers_world_objects import config_map, made, namespace, node, owner_of, pod, replica_set
from fake_api_verbs import ADMIN
from garbage_world import (
    NOBODY,
    PARTS,
    delete,
    get,
    goes_last,
    names,
    owned,
    owners,
    written,
)

from apiserver.api.apps import ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume
from apiserver.api.core.pod import Pod
from apiserver.api.errors import InternalError
from apiserver.auth.user import User
from apiserver.client import Patch
from apiserver.client.requests import Request
from apiserver.client.responses import Response

# --- background -----------------------------------------------------------------------------------------


def test_dependents_follow_their_owner() -> None:
    async def body(world: World) -> None:
        top = world.api.put(config_map("top"))
        middle = world.api.put(owned("middle", top))
        world.put(owned("leaf", middle), config_map("other"))
        await world.settle()
        assert written(world) == []
        await delete(world, "top")
        await world.settle()
        assert names(world) == {"other"}

    run_world(body, parts=PARTS)


def test_many_dependents_follow_their_owner() -> None:
    async def body(world: World) -> None:
        top = world.api.put(config_map("top"))
        world.put(*(owned(f"leaf-{number}", top) for number in range(150)))
        await world.settle()
        await delete(world, "top", "Foreground")
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_a_kind_that_cannot_be_listed_keeps_nobody_from_the_others() -> None:
    async def body(world: World) -> None:
        do = world.api.do
        broken = Response(500, {}, msgspec.json.encode(InternalError("the disk is on fire").status()))

        def sometimes(request: Request, client: str = "test", user: User = ADMIN) -> Response:
            return broken if request.path.endswith("/secrets") else do(request, client, user)

        world.api.do = sometimes  # type: ignore[method-assign]
        await world.restart()
        top = world.api.put(config_map("top"))
        world.put(owned("leaf", top))
        await delete(world, "top")
        await world.sleep(120)
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_another_of_the_same_name_is_no_owner() -> None:
    async def body(world: World) -> None:
        first = world.api.put(config_map("top"))
        world.put(owned("leaf", first))
        await world.settle()
        world.api.remove(ConfigMap, "top")
        second = world.api.put(config_map("top"))
        world.put(owned("young", second))
        await world.settle()
        assert names(world) == {"top", "young"}

    run_world(body, parts=PARTS)


def test_one_owner_that_stays_is_enough() -> None:
    async def body(world: World) -> None:
        gone, stays = world.api.put(config_map("gone")), world.api.put(config_map("stays"))
        world.put(owned("leaf", gone, stays, references=[NOBODY]))
        await world.settle()
        assert owners(world, "leaf") == ["gone", "stays"]
        await delete(world, "gone")
        await world.settle()
        assert owners(world, "leaf") == ["stays"]
        await delete(world, "stays")
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_what_names_an_owner_that_never_was_is_collected() -> None:
    async def body(world: World) -> None:
        world.put(owned("leaf", references=[NOBODY]), owned("odd", references=[{**NOBODY, "name": ".."}]))
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_an_owner_of_a_kind_nobody_knows_is_never_gone() -> None:
    async def body(world: World) -> None:
        world.put(owned("leaf", references=[{**NOBODY, "apiVersion": "example.com/v1", "kind": "Gadget"}]))
        await world.sleep(3000)
        assert names(world) == {"leaf"}
        assert written(world) == []

    run_world(body, parts=PARTS)


def test_an_owner_in_another_form_is_the_same_owner() -> None:
    """v1alpha1 shows the objects of apps/v1."""

    async def body(world: World) -> None:
        owner = world.api.put(replica_set("web", 0))
        reference = {**owner_of(owner), "apiVersion": "v1alpha1"}
        world.put(pod("leaf", metadata={"ownerReferences": [reference]}))
        await world.settle()
        assert world.api.get(Pod, "leaf") is not None
        await delete(world, "web", type_=ReplicaSet)
        await world.settle()
        assert world.api.get(Pod, "leaf") is None

    run_world(body, parts=PARTS, nodes=1)


def test_an_owner_in_another_namespace_is_none_and_an_event_says_so() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(config_map("top", namespace="kube-system"))
        world.put(owned("leaf", owner))
        await world.settle()
        assert names(world) == set()
        [event] = [each for each in world.api.objects(Event) if each.reason == "OwnerRefInvalidNamespace"]
        uid = owner.metadata.uid
        assert event.message == (
            f'ownerRef [v1/ConfigMap, namespace: default, name: top, uid: {uid}] does not exist in namespace "default"'
        )
        assert (event.type, event.involved_object.kind, event.involved_object.name) == ("Warning", "ConfigMap", "leaf")

    run_world(body, parts=PARTS)


def test_what_is_in_no_namespace_is_not_collected_for_an_owner_in_one() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(config_map("top"))
        values = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
        world.put(made(PersistentVolume, "disk", {"ownerReferences": [owner_of(owner)]}, spec=values))
        await delete(world, "top")
        await world.sleep(3000)
        assert world.api.get(PersistentVolume, "disk") is not None
        assert any(each.reason == "OwnerRefInvalidNamespace" for each in world.api.objects(Event))

    run_world(body, parts=PARTS)


def test_owners_of_cluster_scope_have_dependents_anywhere() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(node("n"))
        world.put(
            owned("leaf", owner), made(Lease, "l", {"namespace": "default", "ownerReferences": [owner_of(owner)]})
        )
        await world.settle()
        assert names(world) == {"leaf"}
        await delete(world, "n", type_=Node)
        await world.settle()
        assert names(world) == set()
        assert world.api.get(Lease, "l") is None

    run_world(body, parts=PARTS)


def test_pods_keep_their_grace() -> None:
    async def body(world: World) -> None:
        world.nodes.stop_s = (5.0, 5.0)
        owner = world.api.put(replica_set("web", 0))
        world.put(pod("leaf", node_name="node-1", metadata={"ownerReferences": [owner_of(owner)]}))
        await world.settle()
        await delete(world, "web", type_=ReplicaSet)
        await world.sleep(2)
        found = world.api.get(Pod, "leaf")
        assert found is not None
        assert found.metadata.deletion_grace_period_seconds == 30
        await world.settle()
        assert world.api.get(Pod, "leaf") is None

    run_world(body, parts=PARTS, nodes=1)


# --- foreground -----------------------------------------------------------------------------------------


def test_in_the_foreground_the_owner_goes_last() -> None:
    async def body(world: World) -> None:
        goes_last(world, "top", "middle")
        top = world.api.put(config_map("top"))
        middle = world.api.put(owned("middle", top))
        world.put(owned("leaf", middle), owned("slow", middle, finalizers=["example.com/slow"]))
        world.put(owned("free", top, blocks=False))
        await world.settle()
        await delete(world, "top", "Foreground")
        await world.settle()
        assert names(world) == {"top", "middle", "slow"}
        assert "foregroundDeletion" in get(world, "middle").metadata.finalizers
        await world.client.patch(ConfigMap, "slow", {"metadata": {"finalizers": None}}, Patch.MERGE)
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_in_the_foreground_without_dependents() -> None:
    async def body(world: World) -> None:
        world.put(config_map("top"))
        await delete(world, "top", "Foreground")
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_a_dependent_in_another_namespace_holds_nobody_up() -> None:
    """One of its finalizers is for ever; who knows a UID could keep what he has no right to."""

    async def body(world: World) -> None:
        owner = world.api.put(config_map("owner"))
        world.put(namespace("other"), owned("stranger", owner, namespace="other", finalizers=["example.com/stays"]))
        await world.settle()
        await delete(world, "owner", "Foreground")
        await world.sleep(60)
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_a_dependent_with_another_owner_outlives_the_foreground() -> None:
    async def body(world: World) -> None:
        top, other = world.api.put(config_map("top")), world.api.put(config_map("other"))
        world.put(owned("leaf", top, other))
        await world.settle()
        await delete(world, "top", "Foreground")
        await world.settle()
        assert names(world) == {"other", "leaf"}
        assert owners(world, "leaf") == ["other"]

    run_world(body, parts=PARTS)


@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_a_circle_ends(policy: str) -> None:
    async def body(world: World) -> None:
        one = world.api.put(config_map("one"))
        two = world.api.put(owned("two", one))
        three = world.api.put(owned("three", two))
        reference = owner_of(three, controller=False)
        await world.client.patch(ConfigMap, "one", {"metadata": {"ownerReferences": [reference]}}, Patch.MERGE)
        await world.settle()
        assert names(world) == {"one", "two", "three"}
        await delete(world, "two", policy)
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)


def test_a_dependent_that_was_not_seen_yet_goes_before_its_owner() -> None:
    """The watch of pods is far behind that of their ReplicaSet: the API is asked before the finalizer goes."""

    async def body(world: World) -> None:
        goes_last(world, "web", "top")
        owner, top = world.api.put(replica_set("web", 0)), world.api.put(config_map("top"))
        await world.settle()
        world.api.faults.watch_lag_s = (5.0, 5.0)
        labels = {"app": "web"}
        world.put(pod("leaf", node_name="node-1", labels=labels, metadata={"ownerReferences": [owner_of(owner)]}))
        world.put(pod("young", node_name="node-1", metadata={"ownerReferences": [owner_of(top)]}))
        await world.sleep(0.1)
        world.api.faults.watch_lag_s = (0.0, 0.0)
        await delete(world, "web", "Foreground", type_=ReplicaSet)
        await delete(world, "top", "Foreground")
        await world.settle()
        assert not world.api.objects(Pod)
        assert names(world) == set()

    run_world(body, parts=PARTS, nodes=1)


# --- orphans --------------------------------------------------------------------------------------------


def test_orphans_live_on() -> None:
    async def body(world: World) -> None:
        top, other = world.api.put(config_map("top")), world.api.put(config_map("other"))
        world.put(owned("leaf", top), owned("both", top, other))
        await world.settle()
        await delete(world, "top", "Orphan")
        await world.settle()
        assert names(world) == {"leaf", "both", "other"}
        assert (owners(world, "leaf"), owners(world, "both")) == ([], ["other"])

    run_world(body, parts=PARTS)


def test_orphans_that_were_not_seen_yet_live_on() -> None:
    async def body(world: World) -> None:
        owner, top = world.api.put(replica_set("web", 0)), world.api.put(config_map("top"))
        await world.settle()
        world.api.faults.watch_lag_s = (5.0, 5.0)
        world.put(pod("leaf", labels={"app": "web"}, metadata={"ownerReferences": [owner_of(owner)]}))
        world.put(pod("young", metadata={"ownerReferences": [owner_of(top)]}))
        await world.sleep(0.1)
        world.api.faults.watch_lag_s = (0.0, 0.0)
        await delete(world, "web", "Orphan", type_=ReplicaSet)
        await delete(world, "top", "Orphan")
        await world.settle()
        assert names(world) == set()
        assert {each.metadata.name for each in world.api.objects(Pod)} == {"leaf", "young"}
        assert world.api.get(ReplicaSet, "web") is None

    run_world(body, parts=PARTS, nodes=1)


def test_orphans_whose_labels_are_others_by_now_live_on() -> None:
    async def body(world: World) -> None:
        owner = world.api.put(replica_set("web", 0))
        world.put(pod("leaf", labels={"app": "debug"}, metadata={"ownerReferences": [owner_of(owner)]}))
        await world.settle()
        await delete(world, "web", "Orphan", type_=ReplicaSet)
        await world.settle()
        found = world.api.get(Pod, "leaf")
        assert found is not None
        assert found.metadata.owner_references == []

    run_world(body, parts=PARTS, nodes=1)
