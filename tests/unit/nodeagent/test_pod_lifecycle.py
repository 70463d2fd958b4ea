"""Pods on a node: what starts, in which order, what starts again and when, and what is said of it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from agent_world import AgentWorld, run_story
from virtual_time import EPOCH_S

from apiserver.api.core.pod import Pod, PodCondition
from apiserver.client import Patch
from nodeagent.plain import NoVolumes
from nodeagent.podworker import PodWorker
from nodeagent.runtime.fake import FakeRuntime, Latency
from nodeagent.runtime.faults import Fault
from nodeagent.runtime.interface import PodKey


def test_a_pod_runs_and_says_so() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        status = world.status("a")
        assert [(each.type, each.status) for each in status.conditions] == [
            ("PodReadyToStartContainers", "True"),
            ("Initialized", "True"),
            ("Ready", "True"),
            ("ContainersReady", "True"),
            ("PodScheduled", "True"),
        ]
        assert (status.host_ip, status.pod_ip, status.qos_class) == ("100.64.0.1", "10.128.1.2", "BestEffort")
        assert status.start_time == "2026-01-01T00:00:00Z"
        container = world.container("a")
        assert container.ready
        assert container.started
        assert container.container_id.startswith("fake://")
        assert container.state.running is not None

    run_story(story)


def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What runtimes are asked from now on, in order."""
    asked: list[str] = []

    def counted(name: str) -> None:
        call = getattr(FakeRuntime, name)

        async def count(self: FakeRuntime, *arguments: Any, **more: Any) -> Any:
            asked.append(name)
            return await call(self, *arguments, **more)

        monkeypatch.setattr(FakeRuntime, name, count)

    for name in ("sandbox", "list_sandboxes", "list_containers"):
        counted(name)
    return asked


def test_a_pod_that_starts_at_once_costs_one_write_and_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = questions(monkeypatch)

    async def story(world: AgentWorld) -> None:
        before = world.nodes.writer.written
        asked.clear()
        await world.pod("a")
        await world.running("a")
        await asyncio.sleep(5)
        assert world.nodes.writer.written - before == 1
        assert asked[:2] == ["sandbox", "list_containers"]

    run_story(story, latency=Latency(sandbox_s=0.5, start_s=0.5))


def test_after_a_second_sandbox_the_runtime_is_asked_for_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the first counts: how often containers started, and who still has to go."""
    asked = questions(monkeypatch)

    async def story(world: AgentWorld) -> None:
        pod = await world.pod("a")
        await world.running("a")
        world.runtime.kill_sandbox(pod.metadata.uid)
        asked.clear()
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        assert "sandbox" not in asked

    run_story(story)


def test_while_it_starts_it_is_pending() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.waiting("a") == "ContainerCreating")
        assert world.phase("a") == "Pending"
        assert world.condition("a", "PodReadyToStartContainers") == "False"
        assert world.condition("a", "Ready") == "False"
        await world.running("a")

    run_story(story, latency=Latency(sandbox_s=2, pull_s=5, start_s=1))


def test_what_ends_again_and_again_waits_longer_and_longer() -> None:
    starts: dict[int, float] = {}

    def ninth(world: AgentWorld) -> bool:
        starts.update({each.attempt: each.started_at - EPOCH_S for each in world.containers("a")})
        return len(starts) == 9

    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=3))
        await world.pod("a")
        await world.until(lambda: ninth(world), within_s=3600)
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        container = world.container("a")
        uid = world.get("a").metadata.uid
        assert container.state.waiting is not None
        words = f"back-off 5m0s restarting failed container=main pod=a_default({uid})"
        assert container.state.waiting.message == words
        assert container.last_state.terminated is not None
        assert (container.last_state.terminated.exit_code, container.last_state.terminated.reason) == (3, "Error")
        assert (world.phase("a"), world.ready("a"), container.restart_count) == ("Running", False, 8)

    run_story(story)
    waits = [round(starts[number + 1] - starts[number] - 1) for number in range(8)]
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_what_ran_well_for_long_starts_again_at_once() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault.exits(after_s=1))
        await world.pod("a")
        await world.until(lambda: world.container("a").restart_count == 3)
        world.nodes.faults.remove(rule)
        await world.until(lambda: world.ready("a"))
        await asyncio.sleep(1300)
        world.runtime.kill_container(world.containers("a")[0].id)
        assert await world.until(lambda: world.container("a").restart_count == 4) < 1

    run_story(story)


@pytest.mark.parametrize(
    ("policy", "code", "phase", "restarts"),
    [("Never", 0, "Succeeded", 0), ("Never", 4, "Failed", 0), ("OnFailure", 0, "Succeeded", 0)],
)
def test_what_is_not_to_start_again_ends_the_pod(policy: str, code: int, phase: str, restarts: int) -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=code))
        await world.pod("a", restartPolicy=policy)
        await world.until(lambda: world.phase("a") == phase)
        container = world.container("a")
        assert container.state.terminated is not None
        assert (container.state.terminated.exit_code, container.restart_count) == (code, restarts)
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        assert next(each for each in world.status("a").conditions if each.type == "Ready").reason == reason
        assert not [each for each in await world.runtime.list_sandboxes() if each.ready]
        await asyncio.sleep(700)
        assert world.phase("a") == phase

    run_story(story)


def test_on_failure_starts_again_until_it_ends_well() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=1))
        await world.pod("a", restartPolicy="OnFailure")
        await world.until(lambda: world.container("a").restart_count == 2)
        world.nodes.faults.remove(rule)
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=0))
        await world.until(lambda: world.phase("a") == "Succeeded")

    run_story(story)


def test_of_what_ended_only_the_last_is_kept() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1))
        await world.pod("a")
        await world.until(lambda: world.container("a").restart_count == 6)
        assert len(await world.runtime.list_containers()) <= 2

    run_story(story)


def test_out_of_memory_is_called_so() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.runs_out_of_memory(after_s=5))
        await world.pod("a")
        await world.until(lambda: world.container("a").restart_count == 1)
        ended = world.container("a").last_state.terminated
        assert ended is not None
        assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)

    run_story(story)


def test_the_annotation_of_a_pod_is_a_fault_too() -> None:
    async def story(world: AgentWorld) -> None:
        pod = await world.pod("a", restartPolicy="Never")
        assert pod.metadata.annotations == {}
        body = {
            "metadata": {
                "name": "b",
                "namespace": "default",
                "annotations": {"kmini.local/fault": "exit after=2 code=9"},
            },
            "spec": {"nodeName": "node-1", "restartPolicy": "Never", "containers": [{"name": "main", "image": "i"}]},
        }
        await world.client.create(msgspec.convert(body, Pod))
        await world.until(lambda: world.phase("b") == "Failed")
        ended = world.container("b").state.terminated
        assert ended is not None
        assert ended.exit_code == 9
        assert world.phase("a") == "Running"

    run_story(story)


INIT = [
    {"name": "first", "image": "i"},
    {
        "name": "sidecar",
        "image": "i",
        "restartPolicy": "Always",
        "startupProbe": {"exec": {"command": ["true"]}, "initialDelaySeconds": 3},
    },
    {"name": "second", "image": "i"},
]


def test_init_containers_come_one_after_another_and_sidecars_stay() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", initContainers=INIT)
        await world.until(lambda: world.waiting("a") == "PodInitializing")
        assert world.condition("a", "Initialized") == "False"
        await world.running("a")
        await world.until(lambda: world.ready("a"))
        assert [each.name for each in world.containers("a")] == ["sidecar", "main"]
        started = {each.name: each.started_at for each in await world.runtime.list_containers()}
        assert started["first"] + 5 <= started["sidecar"]
        assert started["sidecar"] + 3 <= started["second"]
        assert started["second"] + 5 <= started["main"]
        first = world.container("a", "first")
        assert first.state.terminated is not None
        assert (first.state.terminated.reason, first.ready, first.restart_count) == ("Completed", True, 0)
        world.runtime.kill_container(next(each.id for each in world.containers("a") if each.name == "sidecar"))
        await world.until(lambda: world.container("a", "sidecar").restart_count == 1)
        assert world.container("a").restart_count == 0

    run_story(story, latency=Latency(init_s=5))


def test_an_init_container_that_fails_is_tried_again() -> None:
    async def story(world: AgentWorld) -> None:
        rule = world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=1, container="first"))
        await world.pod("a", initContainers=INIT[:1])
        await world.until(lambda: world.container("a", "first").restart_count == 2)
        assert (world.phase("a"), world.waiting("a")) == ("Pending", "PodInitializing")
        await world.until(lambda: world.waiting("a", "first") == "CrashLoopBackOff")
        world.nodes.faults.remove(rule)
        await world.running("a")

    run_story(story, latency=Latency(init_s=1))


def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=1, container="second"))
        await world.pod("a", initContainers=INIT, restartPolicy="Never")
        await world.until(lambda: world.phase("a") == "Failed")
        assert not world.containers("a")
        assert world.container("a").state.running is None

    run_story(story, latency=Latency(init_s=1))


def test_sidecars_end_when_the_others_have() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=20, code=0, container="main"))
        await world.pod("a", initContainers=[INIT[1]], restartPolicy="Never")
        await world.running("a")
        await world.until(lambda: world.phase("a") == "Succeeded")
        assert not world.containers("a")

    run_story(story)


def test_a_pod_is_stopped_at_its_deadline() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", activeDeadlineSeconds=60)
        took_s = await world.until(lambda: world.phase("a") == "Failed")
        assert 60 <= took_s < 62
        status = world.status("a")
        words = "Pod was active on the node longer than the specified deadline"
        assert (status.reason, status.message) == ("DeadlineExceeded", words)
        assert not world.containers("a")

    run_story(story)


def test_a_container_whose_image_was_changed_starts_anew() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        patch = {"spec": {"containers": [{"name": "main", "image": "registry.test/main:2"}]}}
        await world.client.patch(Pod, "a", patch, Patch.STRATEGIC, namespace="default")
        await world.until(lambda: world.container("a").image == "registry.test/main:2" and world.ready("a"))
        assert world.container("a").restart_count == 1

    run_story(story)


def test_readiness_comes_with_the_probe() -> None:
    async def story(world: AgentWorld) -> None:
        probe = {"httpGet": {"port": 80}, "initialDelaySeconds": 20}
        await world.pod("a", containers=[{"name": "main", "image": "i", "readinessProbe": probe}])
        await world.running("a")
        ready = next(each for each in world.status("a").conditions if each.type == "Ready")
        assert (ready.status, ready.reason) == ("False", "ContainersNotReady")
        assert ready.message == "containers with unready status: [main]"
        took_s = await world.until(lambda: world.ready("a"))
        assert 18 < took_s < 22

    run_story(story)


def test_never_ready_until_the_fault_is_taken_back() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.until(lambda: world.ready("a"))
        rule = world.nodes.fail("default/a", Fault.never_ready())
        await world.until(lambda: not world.ready("a"), within_s=2)
        assert world.phase("a") == "Running"
        world.nodes.faults.remove(rule)
        await world.until(lambda: world.ready("a"), within_s=2)

    run_story(story)


def test_readiness_gates_are_opened_by_others() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", readinessGates=[{"conditionType": "test.local/open"}])
        await world.running("a")
        ready = next(each for each in world.status("a").conditions if each.type == "Ready")
        assert ready.reason == "ReadinessGatesNotReady"
        assert world.condition("a", "ContainersReady") == "True"

        def open_gate(pod: Pod) -> None:
            pod.status.conditions.append(PodCondition(type="test.local/open", status="True"))

        await world.client.change(Pod, "a", open_gate, namespace="default", subresource="status")
        await world.until(lambda: world.ready("a"))
        assert world.condition("a", "test.local/open") == "True"

    run_story(story)


def test_a_sandbox_that_dies_is_made_anew_with_its_init_containers() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a", initContainers=INIT[:1])
        await world.running("a")
        world.runtime.kill_sandbox(world.get("a").metadata.uid)
        await world.until(lambda: world.container("a").restart_count == 1 and world.ready("a"))
        assert world.container("a", "first").restart_count == 1
        assert len([each for each in await world.runtime.list_sandboxes() if each.ready]) == 1

    run_story(story, latency=Latency(init_s=1))


def test_an_end_that_was_written_is_not_taken_back_by_a_step_that_comes_before_its_echo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def release(_self: NoVolumes, _pod: PodKey) -> None:
        await asyncio.sleep(1)  # long enough for a status to be written

    monkeypatch.setattr(NoVolumes, "release", release)

    async def story(world: AgentWorld) -> None:
        await world.pod("a", restartPolicy="Never")
        await world.running("a")
        monkeypatch.setattr(PodWorker, "update", lambda *_, **__: None)  # the API's watch is late
        world.runtime.kill_container(world.containers("a")[0].id, code=0)
        await world.until(lambda: world.phase("a") == "Succeeded")
        written = world.nodes.writer.written
        agent = world.nodes._places["node-1"].agent
        assert agent is not None
        for worker in agent._workers.values():
            worker.wake()
        await asyncio.sleep(5)
        assert world.phase("a") == "Succeeded"
        assert world.nodes.writer.written == written

    run_story(story)
