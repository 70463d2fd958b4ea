"""ReplicaSets under faults, crashes and busy users: never a pod too many or too few, and they converge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import pod, replica_set
from workload_invariants import Rules, counts

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.api.errors import NotFound
from controlplane.controllers.claims import controller_of
from controlplane.controllers.replicaset import parts

NAMES = ("web", "api")


class User:
    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._pods = 0

    async def scale(self) -> None:
        number = self._random.randint(0, 8)
        name = self._random.choice(NAMES)
        await self._world.client.change(
            ReplicaSet, name, lambda found: setattr(found.spec, "replicas", number), namespace="default"
        )

    async def relabel_a_pod(self) -> None:
        await self._with_a_pod({"metadata": {"labels": {"app": self._random.choice((*NAMES, "debug"))}}})

    async def _with_a_pod(self, patch: object) -> None:
        pods = self._world.api.objects(Pod)
        if pods:
            await self._world.client.patch(Pod, self._random.choice(pods).metadata.name, patch, namespace="default")

    async def delete_a_pod(self) -> None:
        pods = self._world.api.objects(Pod)
        if pods:
            await self._world.client.delete(Pod, self._random.choice(pods).metadata.name, namespace="default")

    async def make_an_orphan(self) -> None:
        self._pods += 1
        name = self._random.choice(NAMES)
        await self._world.client.create(pod(f"lone-{self._pods}", labels={"app": name}))

    async def fail_pods(self) -> None:
        share = self._random.choice((0.0, 0.0, 0.3))
        chance = Random(self._random.random())
        self._world.nodes.outcome = lambda found: "failed" if chance.random() < share else "ready"
        self._world.nodes.look_again()

    async def replace(self) -> None:
        """Another ReplicaSet of the same name."""
        name = self._random.choice(NAMES)
        uid = self._world.api.get(ReplicaSet, name).metadata.uid  # type: ignore[union-attr]
        self._world.api.remove(ReplicaSet, name)
        for each in self._world.api.objects(Pod):  # as the garbage collector does
            owner = controller_of(each)
            if owner is not None and owner.uid == uid:
                self._world.api.remove(Pod, each.metadata.name)
        self._world.put(replica_set(name, self._random.randint(0, 8)))

    async def crash(self) -> None:
        if self._random.random() < 0.5:
            self._world.crash_after(self._random.randint(1, 12))
        else:
            await self._world.restart()

    async def break_watches(self) -> None:
        self._world.api.break_watches()

    async def wait(self) -> None:
        await self._world.sleep(self._random.choice((0.1, 1.0, 5.0, 30.0)))


async def live(user: User, random: Random, doings: tuple[Callable[[], Awaitable[None]], ...]) -> None:
    for _ in range(14):
        try:
            await random.choice(doings)()
        except NotFound:
            continue  # the pod has just gone
        await user.wait()


def check_converged(world: World) -> None:
    for name in NAMES:
        found = world.api.get(ReplicaSet, name)
        assert found is not None
        pods = [
            each
            for each in world.api.objects(Pod)
            if counts(each) and (owner := controller_of(each)) and owner.uid == found.metadata.uid
        ]
        wanted = found.spec.replicas or 0
        assert len(pods) == wanted
        assert all(each.metadata.labels == {"app": name} for each in pods)
        status = found.status
        assert (status.replicas, status.fully_labeled_replicas) == (wanted, wanted)
        assert (status.ready_replicas, status.available_replicas) == (wanted, wanted)
        assert status.observed_generation == found.metadata.generation
        assert status.conditions == []
    loose = [each for each in world.api.objects(Pod) if counts(each) and not controller_of(each)]
    assert [each.metadata.name for each in loose if each.metadata.labels["app"] in NAMES] == []


async def check_end(world: World) -> None:
    world.api.heal()
    world.nodes.outcome = lambda found: "ready"
    world.nodes.look_again()
    await world.settle()
    check_converged(world)
    before = len(world.written())
    await world.sleep(3600)
    assert world.written()[before:] == []


@seeds(60)
def test_sizes_pods_and_controllers_come_and_go(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        Rules(world).watch()
        world.put(*(replica_set(name, random.randint(0, 8)) for name in NAMES))
        user = User(world, random)
        doings = (user.scale, user.scale, user.crash, user.break_watches, user.replace, user.wait)
        await live(user, random, doings)
        await check_end(world)

    run_world(body, seed=seed, parts=[parts], nodes=2, faults=stormy(seed))


@seeds(30)
def test_pods_vanish_and_fail(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        Rules(world, availability=False).watch()
        world.put(*(replica_set(name, random.randint(0, 8)) for name in NAMES))
        user = User(world, random)
        doings = (user.scale, user.delete_a_pod, user.delete_a_pod, user.fail_pods, user.crash, user.break_watches)
        await live(user, random, doings)
        await check_end(world)

    run_world(body, seed=seed, parts=[parts], nodes=2, faults=stormy(seed))


@seeds(40)
def test_pods_change_hands(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        rules = Rules(world, changing_hands=True).watch()
        world.put(*(replica_set(name, random.randint(0, 8)) for name in NAMES))
        user = User(world, random)
        doings = (user.scale, user.relabel_a_pod, user.make_an_orphan, user.fail_pods, user.crash, user.wait)
        await live(user, random, doings)
        await check_end(world)
        assert rules.writes > 0

    run_world(body, seed=seed, parts=[parts], nodes=2, faults=stormy(seed))
