"""Services that share what only one may have are told so, once."""

from __future__ import annotations

from controllers_world import World, run_world
from controllers_world_objects import service
from fake_api_store import storage_of

from apiserver.api.core.event import Event
from apiserver.storage import Transaction, encode, key_of
from controlplane.controllers import service_repair
from controlplane.runtime.options import Options

PARTS = [service_repair.parts]


def told(world: World) -> dict[str, tuple[str, str, int]]:
    """Service → reason, message, how often."""
    return {
        each.involved_object.name: (each.reason, each.message, each.count or 0) for each in world.api.objects(Event)
    }


def test_shared_addresses_and_ports_are_told_to_the_younger_one() -> None:
    async def body(world: World) -> None:
        first = world.api.put(service("first", type="NodePort"))
        await world.sleep(2)
        second = world.api.put(service("second", type="NodePort"))
        second.spec.cluster_ip = first.spec.cluster_ip
        second.spec.ports[0].node_port = first.spec.ports[0].node_port
        # as after a store that was restored in parts: the API would refuse it
        resource = world.api._stored(type(second))
        transaction = Transaction()
        transaction.put(key_of(resource, "default", "second"), encode(second))
        await storage_of(world.api.store).commit(transaction)
        await world.sleep(1000)
        address, port = first.spec.cluster_ip, first.spec.ports[0].node_port
        messages = {(each.reason, each.message) for each in world.api.objects(Event)}
        assert messages == {
            (
                "ClusterIPAlreadyAllocated",
                f"Cluster IP [IPv4]: {address} was assigned to multiple services; please recreate service",
            ),
            ("PortAlreadyAllocated", f"Port {port} was assigned to multiple services; please recreate service"),
        }
        assert all(each.involved_object.name == "second" for each in world.api.objects(Event))
        assert all(each.count == 1 for each in world.api.objects(Event))

    run_world(body, parts=PARTS)


def test_an_address_from_outside_is_told() -> None:
    async def body(world: World) -> None:
        world.put(service("far"))
        await world.sleep(300)
        reason, message, _ = told(world)["far"]
        assert reason == "ClusterIPOutOfRange"
        assert message.endswith("is not within any configured Service CIDR; please recreate service")

    run_world(body, parts=PARTS, options=Options(service_cidr="172.30.0.0/16"))


def test_services_that_are_well_are_told_nothing() -> None:
    async def body(world: World) -> None:
        world.put(service("a", type="NodePort"), service("b", type="NodePort"), service("c", clusterIP="None"))
        world.put(service("d", clusterIP="None"), service("e", type="ExternalName", externalName="example.com"))
        await world.sleep(1000)
        assert told(world) == {}

    run_world(body, parts=PARTS)
