"""All controllers and the scheduler at once, on a cluster whose people and machines do as they please.

While it lasts: no node is ever over-committed, no pod bound twice, no two Services have one address. Once faults end
and all nodes are back, everything is as declared, and nobody writes any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import config_map, deployment, namespace, node, owner_of, service
from scheduler_invariants import SchedulingRules

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.endpoints import Endpoints
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.api.errors import AlreadyExists, Conflict, Forbidden, NotFound
from apiserver.api.meta import DeleteOptions, TopObject
from apiserver.client.pods import evict
from controlplane.controllers import makers

NODES = 4
STEPS = 40
NAMES = ("red", "green", "blue")
SPACES = ("default", "team")
POLICIES = ("Background", "Foreground", "Orphan")


class People:
    """Each method is one thing that somebody does; what the API refuses is not done."""

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random

    async def act(self) -> None:
        what: Callable[[], Awaitable[object]] = self._random.choice(
            (self._deploy, self._deploy, self._scale, self._set_image, self._expose, self._delete, self._drop_pod,
             self._evict, self._team, self._cordon, self._machine, self._owned)
        )  # fmt: skip
        with contextlib.suppress(NotFound, AlreadyExists, Forbidden, Conflict):
            await what()

    def _space(self) -> str:
        return self._random.choice(SPACES)

    def _name(self) -> str:
        return self._random.choice(NAMES)

    async def _deploy(self) -> None:
        strategy = self._random.choice(({"type": "Recreate"}, {"type": "RollingUpdate"}))
        await self._world.client.create(
            deployment(
                self._name(),
                self._random.randint(0, 5),
                strategy=strategy,
                pod={"cpu": "200m"},
                namespace=self._space(),
            )
        )

    async def _change(self, spec: dict[str, Any]) -> None:
        await self._world.client.patch(Deployment, self._name(), {"spec": spec}, namespace=self._space())

    async def _scale(self) -> None:
        await self._change({"replicas": self._random.randint(0, 6)})

    async def _set_image(self) -> None:
        labels = {"release": str(self._random.randint(1, 3))}
        await self._change({"template": {"metadata": {"labels": labels}}})

    async def _expose(self) -> None:
        name = self._name()
        await self._world.client.create(service(name, {"app": name}, namespace=self._space()))

    async def _delete(self) -> None:
        policy = self._random.choice(POLICIES)
        type_: type[TopObject] = self._random.choice((Deployment, Deployment, Service))
        options = DeleteOptions(propagation_policy=policy if type_ is Deployment else None)
        await self._world.client.delete(type_, self._name(), options=options, namespace=self._space())

    def _some_pod(self) -> Pod | None:
        pods = self._world.api.objects(Pod)
        return self._random.choice(pods) if pods else None

    async def _drop_pod(self) -> None:
        pod = self._some_pod()
        if pod is not None:
            options = DeleteOptions(grace_period_seconds=self._random.choice((None, 0, 5)))
            await self._world.client.delete(Pod, pod.metadata.name, namespace=pod.metadata.namespace, options=options)

    async def _evict(self) -> None:
        pod = self._some_pod()
        if pod is not None:
            await evict(self._world.client, pod.metadata.name, namespace=pod.metadata.namespace)

    async def _team(self) -> None:
        if self._random.random() < 0.5:
            await self._world.client.delete(Namespace, "team")
        else:
            await self._world.client.create(namespace("team"))

    async def _cordon(self) -> None:
        spec = {"unschedulable": self._random.choice((True, False))}
        await self._world.client.patch(Node, self._machine_name(), {"spec": spec})

    def _machine_name(self) -> str:
        return f"node-{self._random.randint(1, NODES)}"

    async def _machine(self) -> None:
        name, nodes = self._machine_name(), self._world.nodes
        match self._random.randint(0, 2):
            case 0:
                nodes.silence(name)
            case 1:
                nodes.speak(name)
            case _:
                await self._world.client.delete(Node, name)

    async def _owned(self) -> None:
        """Something of a Deployment's, of a kind that nobody but the garbage collector looks at."""
        space = self._space()
        owner = self._world.api.get(Deployment, self._name(), space)
        if owner is not None:
            metadata = {"ownerReferences": [owner_of(owner, controller=False)]}
            await self._world.client.create(config_map(f"of-{owner.metadata.name}", namespace=space, metadata=metadata))


def one_address_each(world: World) -> Callable[[str, Any, Any], None]:
    def look(verb: str, old: Any, new: Any) -> None:
        if isinstance(new, Service):
            addresses = [each.spec.cluster_ip for each in world.api.objects(Service)]
            assert len(addresses) == len(set(addresses)), addresses

    return look


def ready(pod: Pod) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


def as_declared(world: World) -> None:
    """What must be true of a cluster that has come to rest. Orphans of a Deployment are nobody's business."""
    spaces = {each.metadata.name for each in world.api.objects(Namespace)}
    assert not [each for each in world.api.objects(Namespace) if each.metadata.deletion_timestamp]
    for kind in (Deployment, ReplicaSet, Pod, Service, ConfigMap, Endpoints, EndpointSlice):
        for each in world.api.objects(kind):
            assert each.metadata.namespace in spaces
            assert each.metadata.deletion_timestamp is None, f"{kind.__name__} {each.metadata.name} does not go"
    for each in world.api.objects(Deployment):
        wanted, status = each.spec.replicas or 0, each.status
        assert status.observed_generation == each.metadata.generation, each.metadata.name
        found = (status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas)
        assert found == (wanted,) * 4, f"{each.metadata.name}: {found}, wanted {wanted}"
    uids = {each.metadata.uid for kind in (Deployment, ReplicaSet, Service) for each in world.api.objects(kind)}
    for type_ in (ReplicaSet, Pod, ConfigMap, EndpointSlice):
        for obj in world.api.objects(type_):
            owners = [each.uid for each in obj.metadata.owner_references]
            assert not owners or set(owners) & uids, f"{type_.__name__} {obj.metadata.name} outlives its owners"
    for each in world.api.objects(Service):
        endpoints_are_ready_pods(world, each)


def endpoints_are_ready_pods(world: World, of: Service) -> None:
    space, selector = of.metadata.namespace, of.spec.selector
    wanted = {
        each.status.pod_ip
        for each in world.api.objects(Pod, space)
        if selector.items() <= each.metadata.labels.items() and ready(each)
    }
    slices = [
        each
        for each in world.api.objects(EndpointSlice, space)
        if each.metadata.labels.get("kubernetes.io/service-name") == of.metadata.name
    ]
    assert {address for each in slices for endpoint in each.endpoints for address in endpoint.addresses} == wanted
    endpoints = world.api.get(Endpoints, of.metadata.name, space)
    assert endpoints is not None
    assert {address.ip for subset in endpoints.subsets for address in subset.addresses} == wanted


async def all_is_well(world: World) -> None:
    """Faults end; every node is there, speaks, and takes pods."""
    world.api.heal()
    for number in range(1, NODES + 1):
        name = f"node-{number}"
        if world.api.get(Node, name) is None:
            world.put(node(name))
        await world.client.patch(Node, name, {"spec": {"unschedulable": False}})
        world.nodes.speak(name)


@seeds(20)
def test_whatever_happens_in_the_end_all_is_as_declared_and_nobody_writes(seed: int) -> None:
    async def body(world: World) -> None:
        random = Random(f"people {seed}")
        rules, people = SchedulingRules(world.api), People(world, random)
        world.check(rules.written)
        world.check(one_address_each(world))
        await world.client.create(namespace("team"))
        for _ in range(STEPS):
            await people.act()
            if random.random() < 0.1:
                world.crash_after(random.randint(1, 20))
            await asyncio.sleep(random.choice((0.0, 0.5, 3.0, 20.0, 60.0)))
            world.raise_failures()
        await all_is_well(world)
        await world.settle(quiet_s=400, limit_s=6000)
        rules.all_that_fits_is_bound()
        as_declared(world)
        began_s = asyncio.get_running_loop().time()
        await world.sleep(1800)
        written = world.written(began_s)
        assert not written, written[:5]

    run_world(
        body,
        seed=seed,
        parts=list(makers().values()),
        nodes=NODES,
        binds=False,
        leases=True,
        faults=stormy(seed),
    )
