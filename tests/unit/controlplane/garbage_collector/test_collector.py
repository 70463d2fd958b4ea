"""Garbage collection: what has an owner lives, what has none any more does not, and finalizers mean what they say."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import config_map, lease, made, node, owner_of, pod, replica_set
from fake_api_verbs import ADMIN

from apiserver.api.apps import ReplicaSet
from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.event import Event
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Conflict, NotFound
from apiserver.api.kinds import kind_named
from apiserver.api.meta import DeleteOptions, OwnerReference, Preconditions, TopObject
from apiserver.auth.user import User
from apiserver.client import Patch
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from controlplane.controllers import garbage_collector

PARTS = [garbage_collector.parts]
NOBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}


def owned(name: str, *owners: TopObject, blocks: bool = True, namespace: str = "default", **metadata: Any) -> ConfigMap:
    references = [owner_of(each, controller=False, blocks=blocks) for each in owners]
    references += metadata.pop("references", [])
    return config_map(name, namespace=namespace, metadata={"ownerReferences": references, **metadata})


def names(world: World) -> set[str]:
    return {each.metadata.name for each in world.api.objects(ConfigMap, "default")} - {"kube-root-ca.crt"}


def get(world: World, name: str) -> ConfigMap:
    found = world.api.get(ConfigMap, name)
    assert found is not None
    return found


def owners(world: World, name: str) -> list[str]:
    return [each.name for each in get(world, name).metadata.owner_references]


async def delete(
    world: World, name: str, policy: str | None = "Background", type_: type[TopObject] = ConfigMap
) -> None:
    await world.client.delete(type_, name, options=DeleteOptions(propagation_policy=policy))


def written(world: World, *kinds: str) -> list[str]:
    return [f"{each.verb} {each.name}" for each in world.written() if each.kind in (kinds or ("ConfigMap",))]


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


def goes_last(world: World, *owners: str) -> None:
    """An owner that waits for its dependents goes after those that block it."""

    def look(verb: str, old: Any, new: Any) -> None:
        if verb == "delete" and old.metadata.name in owners:
            left = [each.metadata.name for each in everything(world) if refers(each, old.metadata.uid, blocks=True)]
            assert not left, f"{old.metadata.name} went before {left}"

    world.check(look)


def before(world: World, hook: Callable[[Request], None]) -> None:
    """The hook is called just before a request of the controllers takes effect."""
    do = world.api.do

    def watched(request: Request, client: str = "test", user: User = ADMIN) -> Response:
        if client == "controllers":
            hook(request)
        return do(request, client, user)

    world.api.do = watched  # type: ignore[method-assign]


def everything(world: World) -> list[TopObject]:
    return [*world.api.objects(ConfigMap), *world.api.objects(Pod), *world.api.objects(ReplicaSet)]


def refers(obj: TopObject, uid: str, *, blocks: bool = False) -> bool:
    return any(each.uid == uid and (each.block_owner_deletion or not blocks) for each in obj.metadata.owner_references)


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


# --- never the wrong one ----------------------------------------------------------------------------------


def live_owner(world: World, obj: TopObject, began: Collection[str] = ()) -> str:
    """The name of an owner that is there and does not wait for its dependents to go.

    `began`: UIDs of owners that waited once. Who changes his mind later does not stop what is on its way.
    """
    for each in obj.metadata.owner_references:
        kind = kind_named(each.api_version, each.kind)
        assert kind is not None
        type_: type[TopObject] = ConfigMap if each.kind == "ConfigMap" else ReplicaSet
        found = world.api.get(type_, each.name, obj.metadata.namespace)
        if found is None or found.metadata.uid != each.uid:
            continue
        if found.metadata.deletion_timestamp is None:
            return each.name
        if each.uid not in began and "foregroundDeletion" not in found.metadata.finalizers:
            return each.name
    return ""


def watch_over(world: World) -> None:
    """At each write of the collector."""
    began: set[str] = set()

    def look(verb: str, old: Any, new: Any) -> None:
        if new is not None and "foregroundDeletion" in new.metadata.finalizers:
            began.add(new.metadata.uid)
        if world.api.log[-1].by != "controllers" or old is None or not isinstance(old, ConfigMap | Pod | ReplicaSet):
            return
        if old.metadata.deletion_timestamp is None and (new is None or new.metadata.deletion_timestamp is not None):
            assert old.metadata.owner_references, f"{old.metadata.name} was deleted and belonged to nobody"
            assert not live_owner(world, old, began), f"{old.metadata.name} was deleted, and its owner lives"
        if verb == "delete":
            uid, finalizers = old.metadata.uid, old.metadata.finalizers
            if "orphan" in finalizers:
                assert not [each for each in everything(world) if refers(each, uid)]
            if "foregroundDeletion" in finalizers:
                assert not [each for each in everything(world) if refers(each, uid, blocks=True)]

    world.check(look)


class Family:
    """Objects that come, go, and belong to each other by chance."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.number = 0
        self.gone: list[ConfigMap] = []

    def alive(self) -> list[ConfigMap]:
        return [each for each in self.world.api.objects(ConfigMap, "default") if each.metadata.name.startswith("m")]

    def free(self) -> list[ConfigMap]:
        return [each for each in self.alive() if each.metadata.deletion_timestamp is None]

    def _parents(self) -> list[ConfigMap]:
        there = self.free()
        found = self.random.sample(there, min(len(there), self.random.choice((0, 1, 1, 2))))
        there_are = {each.metadata.uid for each in self.alive()}
        dead = [each for each in self.gone if each.metadata.uid not in there_are]
        if dead and self.random.random() < 0.15:
            found.append(self.random.choice(dead))  # never one that is about to go: it may have looked already
        return found

    def bear(self) -> None:
        known = {each.metadata.name for each in self.alive()}
        names = [f"m{number}" for number in range(16) if f"m{number}" not in known]
        if names:
            blocks = self.random.random() < 0.7
            self.world.put(owned(self.random.choice(names), *self._parents(), blocks=blocks))

    async def bury(self) -> None:
        if self.alive():
            one = self.random.choice(self.alive())
            self.gone.append(one)
            options = DeleteOptions(
                propagation_policy=self.random.choice(("Background", "Foreground", "Orphan", None)),
                preconditions=Preconditions(uid=one.metadata.uid),
            )
            await self.world.client.delete(ConfigMap, one.metadata.name, options=options)

    async def adopt(self) -> None:
        there = self.free()
        if len(there) > 1:
            child, parent = self.random.sample(there, 2)
            references = [*child.metadata.owner_references, owner_of(parent, controller=False)]
            meta = {"uid": child.metadata.uid, "ownerReferences": references}
            await self.world.client.patch(ConfigMap, child.metadata.name, {"metadata": meta}, Patch.MERGE)

    async def live(self) -> None:
        match self.random.randrange(8):
            case 0 | 1 | 2 | 3:
                self.bear()
            case 4 | 5:
                with suppress(NotFound, Conflict):  # the collector was faster
                    await self.bury()
            case 6:
                with suppress(NotFound, Conflict):
                    await self.adopt()
            case _:
                self.world.crash_after(1 + self.random.randrange(4))
        await self.world.sleep(self.random.choice((0, 0, 0.1, 1, 5)))


@seeds(60)
def test_what_has_an_owner_lives_and_what_has_none_does_not(seed: int) -> None:
    async def body(world: World) -> None:
        watch_over(world)
        family = Family(world)
        for _ in range(60):
            await family.live()
        await world.settle(limit_s=7200)
        for each in family.alive():
            assert each.metadata.deletion_timestamp is None, f"{each.metadata.name} does not end"
            if each.metadata.owner_references:
                assert live_owner(world, each), f"{each.metadata.name} belongs to nobody and lives"

    run_world(body, seed=seed, parts=PARTS, faults=stormy(seed))


def test_an_owner_that_is_only_not_seen_is_no_reason() -> None:
    """The watch of the owners stands still; the API has them."""

    async def body(world: World) -> None:
        watch_over(world)
        await world.settle()
        world.api.faults.watch_lag_s = (300.0, 300.0)
        owner = world.api.put(config_map("top"))
        await world.sleep(0.1)
        world.api.faults.watch_lag_s = (0.0, 0.0)
        world.put(pod("leaf", metadata={"ownerReferences": [owner_of(owner)]}))
        await world.sleep(120)
        assert world.api.get(Pod, "leaf") is not None

    run_world(body, parts=PARTS, nodes=1)


def test_one_that_was_adopted_meanwhile_lives() -> None:
    """The collector has read the object, and before it deletes it somebody makes it his own."""

    async def body(world: World) -> None:
        watch_over(world)
        world.put(config_map("savior"))
        await world.settle()
        world.put(owned("leaf", references=[NOBODY]))
        adopted: list[ConfigMap] = []

        def adopt(request: Request) -> None:
            if request.method == "DELETE" and not adopted:
                leaf, savior = get(world, "leaf"), get(world, "savior")
                reference = msgspec.convert(owner_of(savior, controller=False), OwnerReference)
                leaf.metadata.owner_references.append(reference)
                adopted.append(world.api.put(leaf))

        before(world, adopt)
        await world.settle()
        assert adopted
        assert names(world) == {"leaf", "savior"}
        assert owners(world, "leaf") == ["savior"]

    run_world(body, parts=PARTS)


def test_another_of_the_same_name_is_never_deleted_in_its_stead() -> None:
    """Between the look and the deletion the object goes and another comes."""

    async def body(world: World) -> None:
        watch_over(world)
        await world.settle()
        world.put(owned("leaf", references=[NOBODY]))
        replaced: list[ConfigMap] = []

        def replace(request: Request) -> None:
            if request.method == "DELETE" and not replaced:
                world.api.remove(ConfigMap, "leaf")
                replaced.append(world.api.put(config_map("leaf")))

        before(world, replace)
        await world.settle()
        assert replaced
        assert names(world) == {"leaf"}

    run_world(body, parts=PARTS)


def test_who_says_orphan_after_foreground_is_heard() -> None:
    """The graph still believes that the owner waits for its dependents to go: the API is asked."""

    async def body(world: World) -> None:
        watch_over(world)
        top = world.api.put(config_map("top"))
        world.put(owned("slow", top, finalizers=["example.com/slow"]))
        await world.settle()
        await delete(world, "top", "Foreground")
        await world.settle()
        world.api.faults.watch_lag_s = (60.0, 60.0)
        await delete(world, "top", "Orphan")
        await world.sleep(1)
        world.api.faults.watch_lag_s = (0.0, 0.0)
        world.put(pod("young", metadata={"ownerReferences": [owner_of(top)]}))
        await world.settle(quiet_s=200)
        young = world.api.get(Pod, "young")
        assert young is not None
        assert young.metadata.owner_references == []

    run_world(body, parts=PARTS, nodes=1)


def test_an_owner_that_no_watch_tells_of_is_asked_for_again() -> None:
    """Leases of nodes are not watched, and an owner may come and go between two lists of its kind."""

    async def body(world: World) -> None:
        owner = world.api.put(lease("n", "n"))
        world.put(pod("leaf", namespace="kube-node-lease", metadata={"ownerReferences": [owner_of(owner)]}))
        await world.settle()
        assert world.api.get(Pod, "leaf", "kube-node-lease") is not None
        world.api.remove(Lease, "n", "kube-node-lease")
        await world.sleep(60)
        assert world.api.get(Pod, "leaf", "kube-node-lease") is None

    run_world(body, parts=PARTS, nodes=1)


def test_what_is_gone_already_is_no_failure() -> None:
    async def body(world: World) -> None:
        world.put(owned("leaf", references=[NOBODY]))
        with pytest.raises(NotFound):
            await delete(world, "nobody")
        await world.settle()
        assert names(world) == set()

    run_world(body, parts=PARTS)
