"""Controllers that make things, and those that take them away, in one cluster: a namespace goes all the same."""

from __future__ import annotations

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import deployment, namespace, service

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.endpoints import Endpoints
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.meta import DeleteOptions
from controlplane.controllers import (
    deployment as deployments,
)
from controlplane.controllers import (
    endpoint_slices,
    endpoints,
    garbage_collector,
    replicaset,
)
from controlplane.controllers import (
    namespace as namespaces,
)

PARTS = [
    deployments.parts,
    replicaset.parts,
    garbage_collector.parts,
    namespaces.parts,
    endpoints.parts,
    endpoint_slices.parts,
]
KINDS = (Deployment, ReplicaSet, Pod, Service, Endpoints, EndpointSlice)


def left(world: World, name: str) -> list[str]:
    return [f"{type_.__name__} {each.metadata.name}" for type_ in KINDS for each in world.api.objects(type_, name)]


@seeds(15)
def test_a_namespace_goes_while_it_rolls(seed: int) -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        world.put(deployment("web", 4, namespace="team"), service("web", {"app": "web"}, namespace="team"))
        await world.sleep(world.random.uniform(0, 8))
        change = {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}
        await world.client.patch(Deployment, "web", change, namespace="team")
        await world.sleep(world.random.uniform(0, 3))
        await world.client.delete(Namespace, "team")
        world.crash_after(1 + world.random.randrange(10))
        await world.settle()
        assert world.api.get(Namespace, "team") is None
        assert left(world, "team") == []

    run_world(body, seed=seed, parts=PARTS, nodes=2, faults=stormy(seed))


@seeds(15)
def test_a_deployment_goes_by_each_policy(seed: int) -> None:
    async def body(world: World) -> None:
        world.put(deployment("web", 3), service("web", {"app": "web"}))
        await world.settle()
        policy = world.random.choice(("Background", "Foreground", "Orphan"))
        await world.client.delete(Deployment, "web", options=DeleteOptions(propagation_policy=policy))
        world.crash_after(1 + world.random.randrange(5))
        await world.settle()
        assert world.api.objects(Deployment) == []
        kept = 3 if policy == "Orphan" else 0
        assert len(world.api.objects(Pod)) == kept
        assert len(world.api.objects(ReplicaSet)) == kept // 3
        [slice_] = world.api.objects(EndpointSlice)
        assert len(slice_.endpoints) == kept

    run_world(body, seed=seed, parts=PARTS, nodes=2, faults=stormy(seed))
