"""The node's own word on pods that came past the scheduler: reasons and messages are the kubelet's."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from agent_world import AgentWorld, run_story

from apiserver.api.core.pod import Pod
from nodeagent.admission import check
from nodeagent.runtime.faults import Fault


def make(name: str = "a", **spec: Any) -> Pod:
    body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "i"}]} | spec}
    return msgspec.convert(body, Pod)


def asking(**requests: str) -> list[dict[str, Any]]:
    return [{"name": "main", "image": "i", "resources": {"requests": requests}}]


def listening(port: int, protocol: str = "TCP", host_ip: str = "") -> list[dict[str, Any]]:
    entry = {"containerPort": 80, "hostPort": port, "protocol": protocol, "hostIP": host_ip}
    return [{"name": "main", "image": "i", "ports": [entry]}]


ALLOCATABLE: dict[str, str | int | float] = {"cpu": "2", "memory": "1Gi", "pods": "3"}


@pytest.mark.parametrize(
    ("pod", "others", "reason", "message"),
    [
        (make(), [make("b")], "", ""),
        (
            make(containers=asking(cpu="1500m")),
            [make("b", containers=asking(cpu="600m"))],
            "OutOfcpu",
            "Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
        ),
        (
            make(containers=asking(memory="2Gi")),
            [],
            "OutOfmemory",
            "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
        ),
        (
            make(securityContext={"supplementalGroupsPolicy": "Strict"}),
            [],
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node",
        ),
        (
            make(os={"name": "windows"}),
            [],
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        ),
        (make(os={"name": "linux"}, securityContext={"supplementalGroupsPolicy": "Merge"}), [], "", ""),
        (
            make(securityContext={"sysctls": [{"name": "vm.swappiness", "value": "0"}]}),
            [],
            "SysctlForbidden",
            'forbidden sysctl: "vm.swappiness" not allowlisted',
        ),
        (
            make(),
            [make("b"), make("c"), make("d")],
            "OutOfpods",
            "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3",
        ),
        (
            make(containers=asking(**{"test.local/gpu": "1"})),
            [],
            "OutOftest.local/gpu",
            "Node didn't have enough resource: test.local/gpu, requested: 1, used: 0, capacity: 0",
        ),
        (
            make(nodeSelector={"disk": "ssd"}),
            [],
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (make(nodeSelector={"disk": "hdd"}), [], "", ""),
        (
            make(containers=listening(8080)),
            [make("b", containers=listening(8080))],
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
        (make(containers=listening(8080)), [make("b", containers=listening(8080, "UDP"))], "", ""),
        (
            make(containers=listening(8080, host_ip="10.0.0.1")),
            [make("b", containers=listening(8080, host_ip="10.0.0.2"))],
            "",
            "",
        ),
        (
            make(containers=listening(8080, host_ip="10.0.0.1")),
            [make("b", containers=listening(8080, host_ip="0.0.0.0"))],
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
    ],
)
def test_what_is_refused(pod: Pod, others: list[Pod], reason: str, message: str) -> None:
    found = check(pod, others, ALLOCATABLE, {"disk": "hdd"})
    assert (found.reason if found else "") == reason
    assert (found.message if found else "") == (f"Pod was rejected: {message}" if message else "")


def test_a_refused_pod_is_failed_for_good_and_never_runs() -> None:
    async def story(world: AgentWorld) -> None:
        world.api.on_write.clear()
        await world.pod("big", containers=asking(cpu="7"))
        await world.running("big")
        # what the API server's own record would refuse is put there past it
        pod = make("late", containers=asking(cpu="2"), nodeName="node-1")
        world.api.put(pod)
        await world.until(lambda: world.phase("late") == "Failed")
        status = world.status("late")
        words = "Node didn't have enough resource: cpu, requested: 2000, used: 7000, capacity: 8000"
        assert (status.reason, status.message) == ("OutOfcpu", f"Pod was rejected: {words}")
        assert status.container_statuses == []
        assert status.start_time
        await world.delete("big")
        await world.until(lambda: not world.there("big"))
        await asyncio.sleep(60)
        assert world.phase("late") == "Failed"
        assert not world.containers("late")
        await world.nodes.stop_node("node-1")
        await world.nodes.start_node("node-1")
        await asyncio.sleep(60)
        assert world.phase("late") == "Failed"
        assert not world.containers("late")
        await world.delete("late")
        await world.until(lambda: not world.there("late"))

    run_story(story)


def test_who_runs_keeps_its_place_over_a_restart() -> None:
    """The older pod is not in the runtime yet: it must not push out the younger one, which runs."""

    async def story(world: AgentWorld) -> None:
        await world.nodes.stop_node("node-1")
        older = make("older", containers=asking(cpu="5"), nodeName="node-1")
        older.metadata.creation_timestamp = "2020-01-01T00:00:00Z"
        await world.nodes.start_node("node-1")
        await world.pod("younger", containers=asking(cpu="5"))
        await world.running("younger")
        await world.nodes.stop_node("node-1")
        world.api.put(older)
        await world.nodes.start_node("node-1")
        await world.until(lambda: world.phase("older") == "Failed")
        assert world.ready("younger")

    run_story(story)


def test_who_runs_stays_when_the_node_shrinks() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", containers=asking(cpu="5"))
        await world.running("a")
        before = world.containers("a")
        await world.nodes.stop_node("node-1")
        world.nodes._capacity["cpu"] = "1"
        await world.nodes.start_node("node-1")
        await asyncio.sleep(60)
        assert world.containers("a") == before
        assert world.phase("a") == "Running"

    run_story(story)


def test_who_is_gone_from_the_api_takes_no_place() -> None:
    """The API server has given its room away already, though its containers still end."""

    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "old"}, Fault.deaf())
        await world.pod("a", labels={"app": "old"}, containers=asking(cpu="7"))
        await world.running("a")
        await world.delete("a", grace_s=0)
        await world.pod("b", containers=asking(cpu="7"))
        await world.running("b")

    run_story(story)
