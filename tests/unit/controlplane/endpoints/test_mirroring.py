"""Endpoints of Services without a selector have slices that say the same; no others are mirrored."""

from __future__ import annotations

from typing import Any

from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import made, service

from apiserver.api.core.endpoints import Endpoints
from apiserver.api.core.service import Service
from apiserver.api.discovery import EndpointSlice
from apiserver.client import Patch
from controlplane.controllers import endpoint_slice_mirroring, endpoint_slices, endpoints, garbage_collector
from controlplane.controllers.endpoint_slice_mirroring import MANAGER
from controlplane.controllers.slice_writing import MANAGED_BY

PARTS = [endpoint_slice_mirroring.parts, endpoint_slices.parts, endpoints.parts, garbage_collector.parts]


def own(name: str, *subsets: Any, **metadata: Any) -> Endpoints:
    return made(Endpoints, name, metadata, subsets=list(subsets))


def subset(*addresses: str, port: int = 80, waiting: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "addresses": [{"ip": each} for each in addresses],
        "notReadyAddresses": [{"ip": each} for each in waiting],
        "ports": [{"port": port}],
    }


def mirrored(world: World) -> set[tuple[str, str, int, bool]]:
    """Type, address, port, ready."""
    return {
        (slice_.address_type, each.addresses[0], slice_.ports[0].port or 0, bool(each.conditions.ready))
        for slice_ in world.api.objects(EndpointSlice)
        if slice_.metadata.labels.get(MANAGED_BY) == MANAGER
        for each in slice_.endpoints
    }


def test_slices_say_what_the_endpoints_say() -> None:
    async def body(world: World) -> None:
        world.put(service("db", {}))
        there = own(
            "db",
            subset("192.0.2.1", "2001:db8::1", waiting=("192.0.2.2",)),
            subset("192.0.2.3", port=81),
            labels={"team": "blue"},
            annotations={"note": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        )
        there = world.api.put(there)
        await world.settle()
        assert mirrored(world) == {
            ("IPv4", "192.0.2.1", 80, True),
            ("IPv6", "2001:db8::1", 80, True),
            ("IPv4", "192.0.2.2", 80, False),
            ("IPv4", "192.0.2.3", 81, True),
        }
        one = world.api.objects(EndpointSlice)[0].metadata
        assert one.labels == {"team": "blue", "kubernetes.io/service-name": "db", MANAGED_BY: MANAGER}
        assert one.annotations == {"note": "x"}
        assert [each.uid for each in one.owner_references] == [there.metadata.uid]
        await world.client.patch(Endpoints, "db", {"subsets": [subset("192.0.2.9")]}, Patch.MERGE)
        await world.settle()
        assert mirrored(world) == {("IPv4", "192.0.2.9", 80, True)}
        await world.client.delete(Endpoints, "db")
        await world.settle()
        assert world.api.objects(EndpointSlice) == []

    run_world(body, parts=PARTS)


def test_what_is_not_mirrored() -> None:
    async def body(world: World) -> None:
        world.put(service("db", {}), service("elected", {}), service("web", {"app": "web"}))
        world.put(own("db", subset("192.0.2.1"), labels={"endpointslice.kubernetes.io/skip-mirror": "true"}))
        leader = {"control-plane.alpha.kubernetes.io/leader": "{}"}
        world.put(own("elected", subset("192.0.2.1"), annotations=leader), own("alone", subset("192.0.2.1")))
        await world.settle()
        assert mirrored(world) == set()

    run_world(body, parts=PARTS)


def test_a_service_that_gets_a_selector_is_mirrored_no_more() -> None:
    async def body(world: World) -> None:
        world.put(service("db", {}), own("db", subset("192.0.2.1")))
        await world.settle()
        assert mirrored(world)
        await world.client.patch(Service, "db", {"spec": {"selector": {"app": "db"}}}, Patch.MERGE)
        await world.settle()
        assert mirrored(world) == set()

    run_world(body, parts=PARTS)


@seeds(20)
def test_they_say_the_same_in_the_end(seed: int) -> None:
    async def body(world: World) -> None:
        random = world.random
        for _ in range(25):
            match random.randrange(5):
                case 0 if world.api.get(Service, "db"):
                    await world.client.delete(Service, "db")
                case 0 | 1 if world.api.get(Service, "db") is None:
                    world.put(service("db", {}))
                case 2:
                    world.crash_after(1 + random.randrange(3))
                case _:
                    addresses = {f"192.0.2.{random.randrange(1, 9)}" for _ in range(random.randrange(1, 5))}
                    world.put(own("db", subset(*sorted(addresses), port=random.choice((80, 81)))))
            await world.sleep(random.uniform(0, 2))
        await world.settle()
        there = world.api.get(Endpoints, "db") if world.api.get(Service, "db") else None
        subsets = [] if there is None else there.subsets
        assert mirrored(world) == {
            ("IPv4", address.ip, each.ports[0].port, True) for each in subsets for address in each.addresses
        }

    run_world(body, seed=seed, parts=PARTS, faults=stormy(seed))
