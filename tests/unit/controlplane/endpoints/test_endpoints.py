"""Endpoints and EndpointSlices say what the pods of a Service are; nobody else's are touched."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world import World, run_world, seeds, stormy
from controllers_world_objects import made, namespace, node, pod, service

from apiserver.api.core.endpoints import EndpointAddress, Endpoints, EndpointSubset
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointSlice
from apiserver.api.meta import ObjectMeta
from controlplane.controllers import endpoint_slices, endpoint_wakes, endpoints
from controlplane.controllers.endpoint_slices import MANAGER
from controlplane.controllers.slice_writing import MANAGED_BY

PARTS = [endpoints.parts, endpoint_slices.parts]
WEB = {"app": "web"}
ZONE = "topology.kubernetes.io/zone"


def running(name: str, address: str, *, ready: bool = True, node_name: str = "node-1", **more: Any) -> Pod:
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return pod(name, labels=more.pop("labels", WEB), node_name=node_name, status=more.pop("status", status), **more)


def slices(world: World, name: str = "web", namespace: str = "default") -> list[EndpointSlice]:
    return [
        each
        for each in world.api.objects(EndpointSlice, namespace)
        if each.metadata.labels.get("kubernetes.io/service-name") == name
    ]


def listed(world: World, name: str = "web") -> dict[str, Endpoint]:
    """Pod → endpoint, of all slices."""
    found = {}
    for slice_ in slices(world, name):
        for each in slice_.endpoints:
            assert each.target_ref is not None
            assert each.target_ref.name not in found, "an endpoint twice"
            found[each.target_ref.name] = each
    return found


def addresses(world: World, name: str = "web") -> tuple[list[str], list[str]]:
    """Ready, not ready."""
    found = world.api.get(Endpoints, name)
    assert found is not None
    ready = [each.ip for subset in found.subsets for each in subset.addresses]
    return sorted(ready), sorted(each.ip for subset in found.subsets for each in subset.not_ready_addresses)


def test_ready_pods_are_found_by_their_service() -> None:
    async def body(world: World) -> None:
        world.nodes.outcome = lambda pod: "waiting"
        world.put(node("node-1", zone="east"), service("web", WEB, metadata={"labels": {"team": "blue"}}))
        world.put(running("a", "10.0.0.1"), running("b", "10.0.0.2", ready=False))
        world.put(running("c", "10.0.0.3", labels={"app": "db"}))
        await world.settle()
        assert addresses(world) == (["10.0.0.1"], ["10.0.0.2"])
        found = listed(world)
        assert set(found) == {"a", "b"}
        a, b = found["a"], found["b"]
        assert a.addresses == ["10.0.0.1"]
        assert (a.node_name, a.zone, a.hostname) == ("node-1", "east", None)
        assert a.target_ref is not None
        assert (a.target_ref.kind, a.target_ref.namespace) == ("Pod", "default")
        assert (a.conditions.ready, a.conditions.serving, a.conditions.terminating) == (True, True, False)
        assert (b.conditions.ready, b.conditions.serving) == (False, False)
        [slice_] = slices(world)
        owner = slice_.metadata.owner_references[0]
        web = world.api.get(Service, "web")
        assert web is not None
        assert (owner.uid, owner.controller, slice_.address_type) == (web.metadata.uid, True, "IPv4")
        assert slice_.metadata.labels["team"] == "blue"
        assert slice_.metadata.labels[MANAGED_BY] == MANAGER
        assert [(each.port, each.protocol) for each in slice_.ports] == [(80, "TCP")]

    run_world(body, parts=PARTS, binds=False)


def test_a_pod_that_ends_is_serving_but_not_ready() -> None:
    async def body(world: World) -> None:
        world.nodes.stop_s = (600.0, 600.0)
        world.put(node("node-1"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        await world.client.delete(Pod, "a")
        await world.sleep(5)
        a = listed(world)["a"]
        assert (a.conditions.ready, a.conditions.serving, a.conditions.terminating) == (False, True, True)
        assert addresses(world) == ([], [])
        await world.sleep(700)
        assert listed(world) == {}
        assert len(slices(world)) == 1

    run_world(body, parts=PARTS, binds=False)


def test_addresses_that_are_not_ready_are_published_when_asked_for() -> None:
    async def body(world: World) -> None:
        world.nodes.outcome = lambda pod: "waiting"
        world.put(node("node-1"), service("web", WEB, publishNotReadyAddresses=True))
        world.put(running("a", "10.0.0.1", ready=False))
        await world.settle()
        assert addresses(world) == (["10.0.0.1"], [])
        conditions = listed(world)["a"].conditions
        assert (conditions.ready, conditions.serving) == (True, False)

    run_world(body, parts=PARTS, binds=False)


def test_pods_that_have_ended_or_have_no_address_are_left_out() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB))
        done = {"phase": "Succeeded", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]}
        world.put(running("done", "", status=done), pod("waits", labels=WEB))
        await world.settle()
        assert listed(world) == {}
        assert addresses(world) == ([], [])

    run_world(body, parts=PARTS, binds=False)


def test_ports_by_name_are_those_of_each_pod() -> None:
    async def body(world: World) -> None:
        ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "extra", "port": 81, "targetPort": "no"}]
        world.put(node("node-1"), service("web", WEB, ports=ports))
        for name, number in (("a", 8080), ("b", 9090)):
            containers = [{"name": "app", "image": "app:1", "ports": [{"name": "web", "containerPort": number}]}]
            world.put(running(name, f"10.0.0.{number % 7}", containers=containers))
        world.put(running("c", "10.0.1.1"))
        await world.settle()
        found = {
            each.target_ref.name: [(port.name, port.port) for port in slice_.ports]
            for slice_ in slices(world)
            for each in slice_.endpoints
            if each.target_ref
        }
        assert found == {"a": [("http", 8080)], "b": [("http", 9090)], "c": []}
        assert len(addresses(world)[0]) == 2

    run_world(body, parts=PARTS, binds=False)


def test_headless_services_name_their_pods() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB, clusterIP="None", ports=[]))
        world.put(running("a", "10.0.0.1", hostname="first", subdomain="web"))
        world.put(running("b", "10.0.0.2", hostname="second", subdomain="other"))
        await world.settle()
        found = listed(world)
        assert (found["a"].hostname, found["b"].hostname) == ("first", None)
        assert slices(world)[0].metadata.labels["service.kubernetes.io/headless"] == ""
        assert addresses(world)[0] == ["10.0.0.1", "10.0.0.2"]
        there = world.api.get(Endpoints, "web")
        assert there is not None
        assert [each.hostname for each in there.subsets[0].addresses] == ["first", ""]
        assert there.metadata.labels["service.kubernetes.io/headless"] == ""

    run_world(body, parts=PARTS, binds=False)


def test_what_others_look_after_is_left_alone() -> None:
    async def body(world: World) -> None:
        world.put(service("own", {}), service("outside", WEB, type="ExternalName", externalName="example.com"))
        theirs = {"labels": {"kubernetes.io/service-name": "own", MANAGED_BY: "somebody.example.com"}}
        world.put(made(EndpointSlice, "own-1", theirs, addressType="IPv4", endpoints=[], ports=[]))
        world.put(made(Endpoints, "own", {}, subsets=[{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 1}]}]))
        world.put(made(Endpoints, "alone", {}, subsets=[]), running("a", "10.0.0.1"))
        await world.settle()
        assert not world.written()

    run_world(body, parts=PARTS, binds=False)


def test_endpoints_go_with_their_service() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB), service("own", {}), running("a", "10.0.0.1"))
        world.put(made(Endpoints, "own", {}, subsets=[]), made(Endpoints, "alone", {}, subsets=[]))
        await world.settle()
        await world.client.delete(Service, "web")
        await world.client.delete(Service, "own")
        await world.settle()
        assert [each.metadata.name for each in world.api.objects(Endpoints, "default")] == ["alone"]

    run_world(body, parts=PARTS, binds=False)


def test_endpoints_of_a_service_that_was_made_anew_stay() -> None:
    """The cache knows of the deletion only; the API is asked before anything is removed."""

    async def body(world: World) -> None:
        removed = []
        world.check(lambda verb, old, new: removed.append(old) if verb == "delete" else None)
        world.put(node("node-1"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        world.api.faults.watch_lag_s = (0.5, 0.5)
        await world.client.delete(Service, "web")
        await world.sleep(0.45)
        await world.client.create(service("web", WEB))
        await world.settle()
        assert not any(isinstance(each, Endpoints) for each in removed)
        assert addresses(world) == (["10.0.0.1"], [])

    run_world(body, parts=PARTS, binds=False)


def test_slices_of_a_service_that_had_the_name_before_are_replaced() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        before = slices(world)[0].metadata.uid
        await world.client.delete(Service, "web")
        await world.client.create(service("web", WEB))
        await world.settle()
        [slice_] = slices(world)
        assert slice_.metadata.uid != before
        assert set(listed(world)) == {"a"}

    run_world(body, parts=PARTS, binds=False)


def test_addresses_that_do_not_fit_into_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "ADDRESSES_MAX", 100)

    async def body(world: World) -> None:
        world.nodes.outcome = lambda pod: "waiting"
        world.put(node("node-1"), service("web", WEB))
        world.put(*(running(f"p{n}", f"10.1.0.{n + 1}", ready=n % 10 != 0) for n in range(110)))
        await world.settle()
        there = world.api.get(Endpoints, "web")
        assert there is not None
        assert there.metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"
        ready, not_ready = addresses(world)
        assert (len(ready), len(not_ready)) == (99, 1)
        assert sorted(len(each.endpoints) for each in slices(world)) == [10, 100]
        await world.client.delete_collection(Pod, labels={"app": "web"})
        await world.settle()
        there = world.api.get(Endpoints, "web")
        assert there is not None
        assert "endpoints.kubernetes.io/over-capacity" not in there.metadata.annotations

    run_world(body, parts=PARTS, binds=False)


def test_ready_addresses_come_before_all_others() -> None:
    def group(name: str, ready: int, others: int) -> EndpointSubset:
        return EndpointSubset(
            addresses=[EndpointAddress(ip=f"{name}{n}") for n in range(ready)],
            not_ready_addresses=[EndpointAddress(ip=f"{name}n{n}") for n in range(others)],
        )

    cut = endpoints.truncated([group("a", 2, 2), group("b", 2, 2)], addresses_max=5)
    assert [(len(each.addresses), len(each.not_ready_addresses)) for each in cut] == [(2, 1), (2, 0)]
    cut = endpoints.truncated([group("a", 2, 2), group("b", 2, 2)], addresses_max=2)
    assert [(len(each.addresses), len(each.not_ready_addresses)) for each in cut] == [(2, 0)]
    assert endpoints.ADDRESSES_MAX == 1000


def test_a_burst_costs_few_writes() -> None:
    """A hundred pods that become ready within two seconds: at most a write per tenth of a second and object."""

    async def body(world: World) -> None:
        world.nodes.start_s = (1.0, 3.0)
        world.put(service("web", WEB))
        world.put(*(pod(f"p{number}", labels=WEB, node_name="node-1") for number in range(100)))
        await world.settle()
        assert len(listed(world)) == 100
        assert len(world.written()) <= 2 * 22

    run_world(body, parts=PARTS, nodes=1, binds=False)


def test_an_idle_cluster_costs_no_writes_and_drift_is_mended() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        before = len(world.written())
        await world.restart()
        await world.sleep(600)
        assert len(world.written()) == before
        await world.client.patch(EndpointSlice, slices(world)[0].metadata.name, {"endpoints": []})
        await world.client.patch(Endpoints, "web", {"subsets": None})
        await world.settle()
        assert set(listed(world)) == {"a"}
        assert addresses(world) == (["10.0.0.1"], [])

    run_world(body, parts=PARTS, binds=False)


def test_zones_follow_the_node() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1", zone="east"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        await world.client.patch(Node, "node-1", {"metadata": {"labels": {ZONE: "west"}}})
        await world.settle()
        assert listed(world)["a"].zone == "west"
        await world.client.delete(Node, "node-1")
        await world.settle()
        assert listed(world) == {}

    run_world(body, parts=PARTS, binds=False)


def test_in_a_namespace_that_goes_nothing_is_made_and_nothing_fails() -> None:
    async def body(world: World) -> None:
        await world.client.create(namespace("team"))
        world.api.faults.watch_lag_s = (2.0, 2.0)
        await world.client.create(service("web", WEB, namespace="team"))
        await world.client.delete(Namespace, "team")
        await world.settle()
        assert not world.api.objects(EndpointSlice, "team")

    run_world(body, parts=PARTS, binds=False)


def expected(world: World, name: str) -> dict[str, tuple[str, bool, bool]]:
    """Pod → address, serving, terminating."""
    found_service = world.api.get(Service, name)
    if found_service is None:
        return {}
    return {
        each.metadata.name: (
            each.status.pod_ip,
            any(condition.type == "Ready" and condition.status == "True" for condition in each.status.conditions),
            each.metadata.deletion_timestamp is not None,
        )
        for each in world.api.objects(Pod, "default")
        if found_service.spec.selector.items() <= each.metadata.labels.items()
        and each.status.pod_ip
        and each.status.phase not in ("Succeeded", "Failed")
    }


async def disturb(world: World) -> None:
    random = world.random
    name = f"p{random.randrange(12)}"
    match random.randrange(7):
        case 0 | 1 | 2:
            if world.api.get(Pod, name) is None:
                world.put(pod(name, labels={"app": random.choice(("web", "db"))}, node_name="node-1"))
        case 3:
            if world.api.get(Pod, name) is not None:
                await world.client.delete(Pod, name)
        case 4:
            if world.api.get(Pod, name) is not None:
                change = {"metadata": {"labels": {"app": random.choice(("web", "db"))}}}
                await world.client.patch(Pod, name, change)
        case 5:
            if world.api.get(Service, "db") is None:
                world.put(service("db", {"app": "db"}))
            else:
                await world.client.delete(Service, "db")
        case _:
            world.crash_after(1 + random.randrange(3))
    await world.sleep(random.uniform(0, 3))


@seeds(40)
def test_endpoints_become_what_the_pods_are(seed: int) -> None:
    async def body(world: World) -> None:
        world.put(service("web", WEB), service("db", {"app": "db"}))
        for _ in range(40):
            await disturb(world)
        await world.settle()
        for name in ("web", "db"):
            found = listed(world, name) if world.api.get(Service, name) else {}
            conditions = {
                pod: (each.addresses[0], bool(each.conditions.serving), bool(each.conditions.terminating))
                for pod, each in found.items()
            }
            assert conditions == expected(world, name)
        wanted = sorted(address for address, serving, ends in expected(world, "web").values() if serving and not ends)
        assert addresses(world)[0] == wanted

    run_world(body, seed=seed, parts=PARTS, nodes=1, binds=False, faults=stormy(seed))


def test_a_controller_that_is_behind_makes_no_slice_twice() -> None:
    async def body(world: World) -> None:
        world.put(node("node-1"))
        await world.settle()
        world.api.faults.watch_lag_s = (3.0, 3.0)
        world.put(service("web", WEB), running("a", "10.0.0.1"))
        await world.sleep(1)
        world.put(running("b", "10.0.0.2"))
        await world.settle()
        made_ones = [each for each in world.written() if each.kind == "EndpointSlice" and each.verb == "create"]
        assert len(made_ones) == 1
        assert set(listed(world)) == {"a", "b"}

    run_world(body, parts=PARTS, binds=False)


def test_pods_are_found_by_more_labels_than_have_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_wakes, "KEYS_MAX", 1)

    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB), service("db", {"tier": "db", "zone": "x"}))
        world.put(running("a", "10.0.0.1"), running("b", "10.0.0.2", labels={"tier": "db", "zone": "x"}))
        world.put(running("c", "10.0.0.3", labels={"tier": "db"}), running("d", "10.0.0.4", labels={}))
        await world.settle()
        assert (set(listed(world)), set(listed(world, "db"))) == ({"a"}, {"b"})

    run_world(body, parts=PARTS, binds=False)


def test_metadata_of_others_stays_in_place() -> None:
    """Whoever annotates a slice keeps his annotation when it is changed."""

    async def body(world: World) -> None:
        world.put(node("node-1"), service("web", WEB), running("a", "10.0.0.1"))
        await world.settle()
        name = slices(world)[0].metadata.name
        await world.client.patch(EndpointSlice, name, {"metadata": {"annotations": {"example.com/note": "x"}}})
        world.put(running("b", "10.0.0.2"))
        await world.settle()
        meta: ObjectMeta = slices(world)[0].metadata
        assert meta.annotations == {"example.com/note": "x"}
        assert set(listed(world)) == {"a", "b"}

    run_world(body, parts=PARTS, binds=False)
