"""A world with ReplicaSets at work, and short words for what is asked of it again and again."""

from __future__ import annotations

from collections.abc import Callable

from controllers_world import World, run_world
from workload_invariants import counts

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from controlplane.controllers.claims import controller_of
from controlplane.controllers.replicaset import parts
from controlplane.runtime import Request

WEB = "web"
LABELS = {"app": WEB}


def active(world: World) -> list[Pod]:
    return [each for each in world.api.objects(Pod) if counts(each)]


def mine(world: World) -> list[Pod]:
    return [each for each in active(world) if controller_of(each)]


def found(world: World) -> ReplicaSet:
    there = world.api.get(ReplicaSet, WEB)
    assert there is not None
    return there


def events(world: World) -> set[tuple[str, str, str]]:
    return {(each.type, each.reason, each.message) for each in world.api.objects(Event)}


async def change(world: World, how: Callable[[ReplicaSet], object]) -> None:
    await world.client.change(ReplicaSet, WEB, how, namespace="default")


async def resize(world: World, replicas: int) -> None:
    await change(world, lambda each: setattr(each.spec, "replicas", replicas))


def run(body: Callable[[World], object], **settings: object) -> None:
    run_world(body, parts=[parts], **{"nodes": 2, **settings})  # type: ignore[arg-type]


def poke(world: World) -> None:
    """Wakes the controller up without a reason."""
    assert world.term is not None
    for queue in world.term.context.queues.values():
        queue.add(Request("default", WEB))
