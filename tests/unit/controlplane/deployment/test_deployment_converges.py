"""Deployments under faults, crashes and users who change their minds: they converge, and stray nowhere on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import msgspec
import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import deployment
from workload_invariants import Rules, counts, is_available

from apiserver.api.apps import Deployment, ReplicaSet, RollingUpdateDeployment
from apiserver.api.core.pod import Pod
from controlplane.controllers.claims import controller_of
from controlplane.controllers.deployment import parts as deployment_parts
from controlplane.controllers.deployment.revisions import revision_of
from controlplane.controllers.deployment.template_hash import same_template, without_hash
from controlplane.controllers.replicaset import parts as replicaset_parts

BOTH = [deployment_parts, replicaset_parts]
WEB = "web"
IMAGES = ("app:1", "app:2", "app:3", "app:4")
BOUNDS = (1, 2, 3, "10%", "25%", "50%", "100%")


class User:
    """Somebody who does this and that to one Deployment, by the seed."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random

    async def _change(self, change: Callable[[Deployment], object]) -> None:
        await self._world.client.change(Deployment, WEB, change, namespace="default")

    async def set_image(self) -> None:
        image = self._random.choice(IMAGES)

        def change(found: Deployment) -> None:
            found.spec.template.spec.containers[0].image = image

        await self._change(change)

    async def scale(self) -> None:
        number = self._random.randint(0, 9)
        await self._change(lambda found: setattr(found.spec, "replicas", number))

    async def set_bounds(self) -> None:
        surge, unavailable = self._random.choice((0, *BOUNDS)), self._random.choice(BOUNDS)

        def change(found: Deployment) -> None:
            if found.spec.strategy.type == "RollingUpdate":
                found.spec.strategy.rolling_update = RollingUpdateDeployment(
                    max_surge=surge, max_unavailable=unavailable
                )

        await self._change(change)

    async def pause_or_resume(self) -> None:
        await self._change(lambda found: setattr(found.spec, "paused", not found.spec.paused))

    async def restart(self) -> None:
        when = str(self._random.random())

        def change(found: Deployment) -> None:
            found.spec.template.metadata.annotations["kubectl.kubernetes.io/restartedAt"] = when

        await self._change(change)

    async def undo(self) -> None:
        """As kubectl rollout undo does."""
        known = [each for each in self._world.api.objects(ReplicaSet) if controller_of(each)]
        if known:
            template = without_hash(self._random.choice(known).spec.template)
            await self._change(lambda found: setattr(found.spec, "template", msgspec.convert(template, type(template))))

    async def delete_a_pod(self) -> None:
        pods = self._world.api.objects(Pod)
        if pods:
            await self._world.client.delete(Pod, self._random.choice(pods).metadata.name, namespace="default")

    async def crash(self) -> None:
        if self._random.random() < 0.5:
            self._world.crash_after(self._random.randint(1, 12))
        else:
            await self._world.restart()

    async def break_watches(self) -> None:
        self._world.api.break_watches()

    async def wait(self) -> None:
        await self._world.sleep(self._random.choice((0.1, 1.0, 5.0, 30.0)))


async def live(user: User, random: Random, steps: int, *, also: tuple[Callable[[], Awaitable[None]], ...] = ()) -> None:
    doings = (
        user.set_image, user.set_image, user.scale, user.set_bounds, user.pause_or_resume, user.restart, user.undo,
        user.crash, user.break_watches, user.wait, user.wait, *also,
    )  # fmt: skip
    for _ in range(steps):
        await random.choice(doings)()
        await user.wait()


async def heal(world: World) -> None:
    world.api.heal()
    await world.client.change(Deployment, WEB, lambda found: setattr(found.spec, "paused", False), namespace="default")
    await world.settle()


def check_converged(world: World) -> None:
    found = world.api.get(Deployment, WEB)
    assert found is not None
    wanted = found.spec.replicas or 0
    status = found.status
    numbers = (status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas)
    assert numbers == (wanted,) * 4
    assert (status.unavailable_replicas, status.observed_generation) == (0, found.metadata.generation)
    sets = world.api.objects(ReplicaSet)
    new = [each for each in sets if same_template(each.spec.template, found.spec.template)]
    assert len(new) == 1
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == str(revision_of(new[0]))
    assert revision_of(new[0]) == max(map(revision_of, sets))
    assert [each.spec.replicas for each in sets if each is not new[0]] == [0] * (len(sets) - 1)
    assert len(sets) <= 1 + (found.spec.revision_history_limit or 0)
    pods = [pod for pod in world.api.objects(Pod) if counts(pod)]
    assert len(pods) == wanted
    assert {owner.uid for pod in pods if (owner := controller_of(pod))} <= {new[0].metadata.uid}
    assert all(is_available(pod, found.spec.min_ready_seconds) for pod in pods)
    conditions = {each.type: (each.status, each.reason) for each in status.conditions}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }


async def check_idle(world: World) -> None:
    before = len(world.written())
    await world.sleep(3600)
    assert world.written()[before:] == []


def some_deployment(random: Random, **spec: Any) -> Deployment:
    rolling = {"maxSurge": random.choice((0, *BOUNDS)), "maxUnavailable": random.choice(BOUNDS)}
    strategy = spec.pop("strategy", {"type": "RollingUpdate", "rollingUpdate": rolling})
    limit = random.choice((0, 1, 2, 10))
    return deployment(WEB, random.randint(0, 9), strategy=strategy, revisionHistoryLimit=limit, **spec)


@seeds(60)
def test_a_rolling_update_never_strays_and_converges(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        Rules(world, WEB).watch()
        world.put(some_deployment(random))
        await live(User(world, random), random, 10)
        await heal(world)
        check_converged(world)
        await check_idle(world)

    run_world(body, seed=seed, parts=BOTH, nodes=2, faults=stormy(seed))


@seeds(20)
def test_pods_that_vanish_are_replaced_during_a_roll_out(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        user = User(world, random)
        Rules(world, WEB, availability=False, surge=False).watch()
        world.put(some_deployment(random, minReadySeconds=random.choice((0, 5))))
        await live(user, random, 10, also=(user.delete_a_pod, user.delete_a_pod))
        await heal(world)
        check_converged(world)
        await check_idle(world)

    run_world(body, seed=seed, parts=BOTH, nodes=2, faults=stormy(seed))


@seeds(20)
def test_recreate_never_has_two_templates_side_by_side(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(seed)
        Rules(world, WEB).watch()
        world.put(some_deployment(random, strategy={"type": "Recreate"}))
        await live(User(world, random), random, 10)
        await heal(world)
        check_converged(world)
        await check_idle(world)

    run_world(body, seed=seed, parts=BOTH, nodes=2, faults=stormy(seed))


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Recreate"])
def test_a_crash_after_any_write_of_a_roll_out_loses_nothing(strategy: str) -> None:
    """Each write in turn is the last one before the controllers die."""
    writes = 1
    while crashed_after(writes, strategy):
        writes += 1
    assert writes > 10


def crashed_after(writes: int, strategy: str) -> bool:
    """Whether a roll-out has so many writes."""
    restarts = []

    async def body(world: World) -> None:
        Rules(world, WEB).watch()
        world.put(deployment(WEB, 3, strategy={"type": strategy}))
        await world.settle()
        world.crash_after(writes)
        await User(world, Random(1)).set_image()
        await world.settle()
        restarts.append(world.restarts)
        world.api.revive()
        check_converged(world)

    run_world(body, seed=writes, parts=BOTH, nodes=2)
    return restarts[0] > 0
