"""A world with Deployments and ReplicaSets at work, and short words for what is asked of it again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controllers_world import World, run_world

from apiserver.api.apps import Deployment, DeploymentCondition, ReplicaSet
from apiserver.api.core.event import Event
from apiserver.api.core.pod import Pod
from controlplane.controllers.deployment import parts as deployment_parts
from controlplane.controllers.deployment.revisions import revision_of
from controlplane.controllers.replicaset import parts as replicaset_parts

BOTH = [deployment_parts, replicaset_parts]
WEB = "web"


def run(body: Callable[[World], Any], **settings: Any) -> None:
    run_world(body, **{"parts": BOTH, "nodes": 3, **settings})


def found(world: World) -> Deployment:
    there = world.api.get(Deployment, WEB)
    assert there is not None
    return there


async def change(world: World, how: Callable[[Deployment], object]) -> None:
    await world.client.change(Deployment, WEB, how, namespace="default")


async def set_image(world: World, image: str) -> None:
    await change(world, lambda each: setattr(each.spec.template.spec.containers[0], "image", image))


async def resize(world: World, replicas: int) -> None:
    await change(world, lambda each: setattr(each.spec, "replicas", replicas))


def sets(world: World) -> dict[int, ReplicaSet]:
    """By revision."""
    return {revision_of(each): each for each in world.api.objects(ReplicaSet)}


def sizes(world: World) -> dict[int, int | None]:
    return {revision: each.spec.replicas for revision, each in sets(world).items()}


def condition(world: World, type_: str = "Progressing") -> DeploymentCondition | None:
    return next((each for each in found(world).status.conditions if each.type == type_), None)


def reason(world: World, type_: str = "Progressing") -> str:
    known = condition(world, type_)
    return "" if known is None else known.reason


def told(world: World, about: str = "ScalingReplicaSet") -> set[str]:
    return {each.message for each in world.api.objects(Event) if each.reason == about}


def never_ready(*images: str) -> Callable[[Pod], Any]:
    return lambda pod: "running" if pod.spec.containers[0].image in images else "ready"
