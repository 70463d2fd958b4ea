"""The Node and its pulse: registered once, written when something changed, renewed every ten seconds."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from agent_world import NODES, AgentWorld, run_story
from virtual_time import EPOCH_S, now_s

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node, NodeCondition, NodeStatus
from apiserver.api.meta import ObjectMeta
from apiserver.api.times import parse_time
from nodeagent.machine import Machine, simulated, this_machine
from nodeagent.node import (
    allocatable_of,
    missing_of,
    new_node,
    node_labels,
    node_status,
    same_but_for_heartbeat,
    status_patch,
)
from nodeagent.runtime.interface import Health, Image, Version


def the_node(world: AgentWorld, name: str = "node-1") -> Node:
    found = world.api.get(Node, name)
    assert found is not None
    return found


def condition(node: Node, kind: str) -> NodeCondition:
    return next(each for each in node.status.conditions if each.type == kind)


def test_a_registered_node_shows_what_it_is() -> None:
    async def story(world: AgentWorld) -> None:
        node = the_node(world, "node-2")
        assert node.metadata.labels == {
            "beta.kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/hostname": "node-2",
            "kubernetes.io/os": "linux",
            "zone": "z2",
        }
        assert node.status.capacity == {"cpu": "4", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        assert node.status.allocatable == node.status.capacity
        assert [(each.type, each.status, each.reason) for each in node.status.conditions] == [
            ("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID"),
            ("Ready", "True", "KubeletReady"),
        ]
        assert [(each.type, each.address) for each in node.status.addresses] == [
            ("InternalIP", "100.64.0.2"),
            ("Hostname", "node-2"),
        ]
        assert node.status.node_info.container_runtime_version == "fake://1.0.0"
        assert node.status.daemon_endpoints.kubelet_endpoint.port == 0, "nobody listens for a simulated node"

    run_story(story, count=2, capacity={"cpu": "4"}, labels=lambda number: {"zone": f"z{number}"})


def test_the_lease_is_renewed_every_ten_seconds_and_goes_with_the_node() -> None:
    renewals: list[float] = []

    async def story(world: AgentWorld) -> None:
        def see(verb: str, old: object, new: object) -> None:
            if isinstance(new, Lease) and new.metadata.name == "node-1" and new.spec.renew_time:
                renewals.append(parse_time(new.spec.renew_time).timestamp() - EPOCH_S)

        world.api.on_write.append(see)
        await asyncio.sleep(300)
        lease = world.api.get(Lease, "node-1", "kube-node-lease")
        assert lease is not None
        assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("node-1", 40)
        assert lease.metadata.owner_references[0].uid == the_node(world).metadata.uid

    run_story(story)
    waits = [later - earlier for earlier, later in pairwise(renewals[1:])]
    assert len(renewals) >= 29
    assert all(9.5 < wait <= 10.01 for wait in waits)


def test_many_nodes_do_not_beat_at_once() -> None:
    moments: list[float] = []

    async def story(world: AgentWorld) -> None:
        await asyncio.sleep(20)
        world.api.on_write.append(
            lambda verb, old, new: moments.append(asyncio.get_running_loop().time()) if isinstance(new, Lease) else None
        )
        await asyncio.sleep(10)

    run_story(story, count=100)
    per_second = [sum(second <= moment - min(moments) < second + 1 for moment in moments) for second in range(10)]
    assert 90 <= len(moments) <= 120
    assert max(per_second) < 30


def test_an_idle_node_writes_nothing_but_its_lease_and_a_report_every_five_minutes() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        await asyncio.sleep(60)
        before = len(world.api.log)
        first = condition(the_node(world), "Ready")
        await asyncio.sleep(900)
        written = [each for each in world.api.log[before:] if each.by == NODES]
        kinds = {each.kind for each in written}
        reports = [each for each in written if each.kind != "Lease"]
        assert kinds == {"Lease", "Node"}
        assert 2 <= len(reports) <= 3
        last = condition(the_node(world), "Ready")
        assert last.last_transition_time == first.last_transition_time
        assert last.last_heartbeat_time != first.last_heartbeat_time

    run_story(story)


def test_what_others_say_of_the_node_stays_and_what_they_say_in_its_place_is_put_right() -> None:
    async def story(world: AgentWorld) -> None:
        def touch(node: Node) -> None:
            node.status.conditions.append(NodeCondition(type="NetworkUnavailable", status="False"))
            condition(node, "Ready").status = "Unknown"

        await world.client.change(Node, "node-1", touch, subresource="status")
        await world.until(lambda: condition(the_node(world), "Ready").status == "True", within_s=15)
        assert condition(the_node(world), "NetworkUnavailable").status == "False"

    run_story(story)


def test_a_node_that_is_there_already_is_brought_up_to_date() -> None:
    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        patch = {"metadata": {"labels": {"kubernetes.io/os": "other", "mine": "yes"}}, "spec": {"unschedulable": True}}
        await world.client.patch(Node, "node-1", patch)
        uid = the_node(world).metadata.uid
        await world.nodes.start_node("node-1")
        await world.until(lambda: the_node(world).metadata.labels["kubernetes.io/os"] == "linux")
        node = the_node(world)
        assert (node.metadata.uid, node.metadata.labels["mine"], node.spec.unschedulable) == (uid, "yes", True)

    run_story(story)


def test_a_deleted_node_comes_back_with_a_restart_of_its_agent_only() -> None:
    async def story(world: AgentWorld) -> None:
        await world.until(lambda: world.api.get(Lease, "node-1", "kube-node-lease"))
        await world.client.delete(Node, "node-1")
        await world.client.delete(Lease, "node-1", namespace="kube-node-lease")
        await asyncio.sleep(600)
        assert world.api.get(Node, "node-1") is None
        assert world.api.get(Lease, "node-1", "kube-node-lease") is None, "collected with its Node, and made again"
        await world.nodes.stop_node("node-1")
        await world.nodes.start_node("node-1")
        await world.until(lambda: world.api.get(Node, "node-1"))

    run_story(story)


def test_a_node_that_somebody_made_anew_is_looked_after() -> None:
    """As when people put back what they had saved: it was given up with all its pods, while its agent was well."""

    async def story(world: AgentWorld) -> None:
        await world.until(lambda: world.api.get(Lease, "node-1", "kube-node-lease"))
        await world.client.delete(Node, "node-1")
        await asyncio.sleep(30)
        made = await world.client.create(Node(metadata=ObjectMeta(name="node-1", labels={"disk": "ssd"})))
        await world.until(lambda: the_node(world).status.conditions, within_s=5)
        assert condition(the_node(world), "Ready").status == "True"
        assert {"disk", "kubernetes.io/hostname"} <= the_node(world).metadata.labels.keys()
        await asyncio.sleep(15)
        lease = world.api.get(Lease, "node-1", "kube-node-lease")
        assert lease is not None
        assert [each.uid for each in lease.metadata.owner_references] == [made.metadata.uid]
        assert parse_time(lease.spec.renew_time or "").timestamp() > now_s() - 11
        await world.pod("a", nodeSelector={"disk": "ssd"})
        await world.running("a")

    run_story(story)


def test_the_node_of_a_machine_that_came_in_our_place_is_not_ours() -> None:
    async def story(world: AgentWorld) -> None:
        await world.client.delete(Node, "node-1")
        other = Node(metadata=ObjectMeta(name="node-1"))
        other.status.node_info.machine_id = "another"
        made = await world.client.create(other)
        await asyncio.sleep(60)
        assert the_node(world).metadata.resource_version == made.metadata.resource_version

    run_story(story)


def test_the_network_of_pods_is_the_one_that_the_node_was_given() -> None:
    async def story(world: AgentWorld) -> None:
        patch = {"spec": {"podCIDR": "10.9.8.0/24", "podCIDRs": ["10.9.8.0/24"]}}
        await world.client.patch(Node, "node-1", patch)
        await asyncio.sleep(15)
        await world.pod("a")
        await world.running("a")
        assert world.status("a").pod_ip == "10.9.8.2"

    run_story(story)


def test_a_network_that_came_before_the_answer_to_the_registration_is_not_missed() -> None:
    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        await world.client.delete(Node, "node-1")
        world.api.faults.of, world.api.faults.latency_s = (NODES,), (2.0, 2.0)
        await world.nodes.start_node("node-1")
        await world.until(lambda: world.api.get(Node, "node-1"))
        patch = {"spec": {"podCIDR": "10.9.8.0/24", "podCIDRs": ["10.9.8.0/24"]}}
        await world.client.patch(Node, "node-1", patch)
        await asyncio.sleep(10)
        world.api.heal()
        await world.pod("a")
        await world.running("a")
        assert world.status("a").pod_ip == "10.9.8.2"

    run_story(story)


def test_images_are_reported() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        await asyncio.sleep(15)
        assert ["registry.test/main:1"] in [each.names for each in the_node(world).status.images]

    run_story(story)


def test_registration_waits_for_the_api() -> None:
    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        await world.client.delete(Node, "node-1")
        world.api.faults.of, world.api.faults.refused = (NODES,), 1.0
        await world.nodes.start_node("node-1")
        await asyncio.sleep(120)
        assert world.api.get(Node, "node-1") is None
        world.api.heal()
        await world.until(lambda: world.api.get(Node, "node-1"), within_s=30)

    run_story(story)


# --- pure ---------------------------------------------------------------------------------------------

MACHINE = simulated("n", "192.0.2.1", capacity={"cpu": "2", "memory": "1Gi"}, labels={})


def status_of(machine: Machine, *, images: tuple[Image, ...] = (), ready: bool = True, now: str = "1") -> NodeStatus:
    version = Version(name="fake", version="1")
    health = Health(ready=ready, message="" if ready else "why")
    return node_status(machine, runtime=version, agent_version="v1", health=health, images=images, now=now)


def test_what_is_reserved_is_not_for_pods() -> None:
    machine = msgspec.structs.replace(MACHINE, reserved={"cpu": "500m", "memory": "2Gi"})
    assert allocatable_of(machine) == {"cpu": "1500m", "memory": "0"}


def test_a_heartbeat_alone_is_no_change() -> None:
    assert same_but_for_heartbeat(status_of(MACHINE, now="1"), status_of(MACHINE, now="1"))
    assert not same_but_for_heartbeat(status_of(MACHINE), status_of(MACHINE, ready=False))


def test_a_patch_says_what_changed_and_what_is_gone() -> None:
    smaller = msgspec.structs.replace(MACHINE, capacity={"cpu": "2"})
    image = Image(id="sha256:1", names=("a",), size_bytes=5)
    known, now = status_of(MACHINE, images=(image,)), status_of(smaller)
    assert status_patch(known, now) == {
        "capacity": {"cpu": "2", "memory": None},
        "allocatable": {"cpu": "2", "memory": None},
        "images": None,
    }
    assert status_patch(known, known) == {}


def test_of_each_family_the_first_address_counts() -> None:
    machine = msgspec.structs.replace(MACHINE, addresses=("192.0.2.1", "fd00::1", "192.0.2.2"))
    assert [each.address for each in status_of(machine).addresses] == ["192.0.2.1", "fd00::1", "n"]


def test_this_machine_has_a_name_and_something_to_give(tmp_path: Path) -> None:
    machine = this_machine(addresses=("192.0.2.1",), labels={"mine": "1"}, folder=tmp_path, node_port=10250)
    assert int(machine.capacity["cpu"]) >= 1
    assert machine.capacity["memory"].endswith("Ki")
    assert node_labels("n", machine)["mine"] == "1"
    assert machine.info.kernel_version


@pytest.mark.parametrize("count", [0, 10_001])
def test_how_many_nodes_there_can_be(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 10000"):
        run_story(_nothing, count=count)


async def _nothing(world: AgentWorld) -> None:
    return


def test_a_node_that_is_there_is_told_what_is_new_of_its_machine() -> None:
    machine = simulated("n", "192.0.2.1", capacity={}, labels={"zone": "z2"})
    machine = msgspec.structs.replace(machine, annotations={"kmini.io/volumes": "/data"})
    node = new_node("n", machine, NodeStatus())
    assert missing_of(node, "n", machine) == {}
    node.metadata.labels = {**node.metadata.labels, "zone": "z1", "theirs": "x"}
    assert missing_of(node, "n", machine) == {"labels": {"zone": "z2"}}
    node.metadata.annotations = {"theirs": "y"}
    found = missing_of(node, "n", machine)
    assert found == {"labels": {"zone": "z2"}, "annotations": {"kmini.io/volumes": "/data"}}
