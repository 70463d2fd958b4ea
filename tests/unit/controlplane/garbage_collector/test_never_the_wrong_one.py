"""Whatever watches say and whoever comes between: no object goes that has an owner, none stays that has none."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import config_map, lease, owner_of, pod
from garbage_world import (
    NOBODY,
    PARTS,
    before,
    delete,
    get,
    live_owner,
    names,
    owned,
    owners,
    watch_over,
)

from apiserver.api.coordination import Lease
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.pod import Pod
from apiserver.api.errors import Conflict, NotFound
from apiserver.api.meta import DeleteOptions, OwnerReference, Preconditions
from apiserver.client import Patch
from apiserver.client.requests import Request


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


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
def test_an_owner_that_comes_while_another_is_forgotten_is_kept(policy: str) -> None:
    async def body(world: World) -> None:
        gone, stays, third = (world.api.put(config_map(name)) for name in ("gone", "stays", "third"))
        world.put(owned("leaf", gone, stays))
        await world.settle()
        adopted: list[ConfigMap] = []

        def adopt(request: Request) -> None:
            if request.method == "PATCH" and request.path.endswith("/leaf") and not adopted:
                leaf = get(world, "leaf")
                leaf.metadata.owner_references.append(msgspec.convert(owner_of(third), OwnerReference))
                adopted.append(world.api.put(leaf))

        before(world, adopt)
        await delete(world, "gone", policy)
        await world.settle()
        assert adopted
        assert owners(world, "leaf") == ["stays", "third"]

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
