"""Pods that go: with their grace, without, while they start, and when somebody else has their name already."""

from __future__ import annotations

import asyncio

from agent_world import NODES, AgentWorld, run_story

from apiserver.api.core.pod import Pod
from nodeagent.runtime.fake import Latency
from nodeagent.runtime.faults import Fault


async def nothing_left(world: AgentWorld) -> None:
    await world.until(lambda: not world.nodes.running_containers, within_s=60)
    await asyncio.sleep(1)
    for node in world.nodes.names:
        runtime = world.nodes.runtime(node)
        assert list(await runtime.list_sandboxes()) == []
        assert list(await runtime.list_containers()) == []


def test_a_pod_ends_by_itself_and_goes() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        await world.delete("a")
        took_s = await world.until(lambda: not world.there("a"))
        assert 3 <= took_s < 5
        await nothing_left(world)

    run_story(story, latency=Latency(stop_s=3))


def test_the_object_stays_until_nothing_runs() -> None:
    last: list[Pod] = []

    async def story(world: AgentWorld) -> None:
        def see(verb: str, old: object, new: object) -> None:
            if verb == "delete" and isinstance(old, Pod):
                assert not world.containers("a"), "the object went while a container ran"
                last.append(old)

        world.api.on_write.append(see)
        await world.pod("a")
        await world.running("a")
        await world.delete("a")
        await world.until(lambda: not world.there("a"))

    run_story(story, latency=Latency(stop_s=3))
    assert last[0].status.phase == "Succeeded"
    assert last[0].status.container_statuses[0].state.terminated is not None


def test_who_does_not_listen_is_killed_when_the_grace_is_over() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.deaf())
        await world.pod("a", terminationGracePeriodSeconds=7)
        await world.running("a")
        await world.delete("a")
        assert 7 <= await world.until(lambda: not world.there("a")) < 9
        await nothing_left(world)

    run_story(story)


def test_a_second_deletion_can_shorten_the_grace() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.deaf())
        await world.pod("a", terminationGracePeriodSeconds=300)
        await world.running("a")
        await world.delete("a")
        await asyncio.sleep(10)
        assert world.there("a")
        await world.delete("a", grace_s=15)
        assert 4 <= await world.until(lambda: not world.there("a")) < 7

    run_story(story)


def test_forced_deletion_leaves_nothing_behind() -> None:
    """The object goes at once; containers get the grace that the pod asks for, as from the kubelet."""

    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.deaf())
        await world.pod("a", terminationGracePeriodSeconds=5)
        await world.running("a")
        await world.delete("a", grace_s=0)
        assert not world.there("a")
        assert 4 < await world.until(lambda: not world.containers("a")) < 6
        await nothing_left(world)

    run_story(story)


def test_sidecars_go_last_and_in_reverse() -> None:
    ended: list[str] = []

    async def story(world: AgentWorld) -> None:
        sidecars = [{"name": name, "image": "i", "restartPolicy": "Always"} for name in ("one", "two")]
        await world.pod("a", initContainers=sidecars)
        await world.until(lambda: world.ready("a"))
        await world.delete("a")

        def look() -> bool:
            running = {each.name for each in world.containers("a")}
            ended.extend(name for name in ("one", "two", "main") if name not in running and name not in ended)
            return not world.there("a")

        await world.until(look)

    run_story(story, latency=Latency(stop_s=2))
    assert ended == ["main", "two", "one"]


def test_a_pod_that_still_pulls_goes_at_once() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await asyncio.sleep(5)
        await world.delete("a")
        assert await world.until(lambda: not world.there("a")) < 2
        await nothing_left(world)

    run_story(story, latency=Latency(pull_s=600))


def test_another_pod_of_the_same_name_is_another_pod() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "old"}, Fault.deaf())
        old = await world.pod("a", labels={"app": "old"}, terminationGracePeriodSeconds=20)
        await world.running("a")
        await world.delete("a", grace_s=0)
        new = await world.pod("a", labels={"app": "new"})
        await world.running("a")
        await nothing_of(world, old.metadata.uid)
        assert [each.pod.uid for each in world.containers("a")] == [new.metadata.uid]
        assert world.ready("a")

    run_story(story)


def test_the_name_was_reused_while_the_node_was_away() -> None:
    async def story(world: AgentWorld) -> None:
        old = await world.pod("a")
        await world.running("a")
        await world.nodes.stop_node("node-1")
        await world.delete("a", grace_s=0)
        new = await world.pod("a")
        await asyncio.sleep(30)
        assert [each.pod.uid for each in world.containers("a")] == [old.metadata.uid]
        await world.nodes.start_node("node-1")
        await world.running("a")
        await nothing_of(world, old.metadata.uid)
        assert [each.pod.uid for each in world.containers("a")] == [new.metadata.uid]

    run_story(story)


async def nothing_of(world: AgentWorld, uid: str) -> None:
    await world.until(lambda: uid not in [each.pod.uid for each in world.runtime.running], within_s=60)
    await asyncio.sleep(1)
    assert list(await world.runtime.list_sandboxes(pod_uid=uid)) == []


def test_a_pod_that_ended_goes_when_it_is_deleted() -> None:
    async def story(world: AgentWorld) -> None:
        world.nodes.fail({"app": "a"}, Fault.exits(after_s=1, code=0))
        await world.pod("a", restartPolicy="Never")
        await world.until(lambda: world.phase("a") == "Succeeded")
        await world.delete("a")
        assert not world.there("a")
        await nothing_left(world)

    run_story(story)


def test_a_deletion_that_nobody_saw_is_done_after_a_restart() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        await world.nodes.stop_node("node-1")
        await world.delete("a")
        await asyncio.sleep(10)
        assert world.there("a")
        await world.nodes.start_node("node-1")
        await world.until(lambda: not world.there("a"), within_s=10)
        await nothing_left(world)

    run_story(story)


def test_finalizers_keep_the_object_and_nothing_else() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        await world.client.patch(Pod, "a", {"metadata": {"finalizers": ["test.local/keep"]}}, namespace="default")
        await world.delete("a")
        await world.until(lambda: not world.containers("a"))
        await asyncio.sleep(60)
        assert world.there("a")
        writes = world.api.requests
        await asyncio.sleep(600)
        assert world.api.requests - writes < 300, "the agent asks again and again"
        await world.client.patch(Pod, "a", {"metadata": {"finalizers": None}}, namespace="default")
        await world.until(lambda: not world.there("a"))
        await nothing_left(world)

    run_story(story)


def test_while_the_api_is_away_the_deletion_waits_and_then_happens() -> None:
    async def story(world: AgentWorld) -> None:
        await world.pod("a")
        await world.running("a")
        world.api.faults.of = (NODES,)
        world.api.faults.refused = 1.0
        world.api.break_watches()
        await world.delete("a")
        await asyncio.sleep(120)
        assert world.there("a")
        world.api.heal()
        await world.until(lambda: not world.there("a"), within_s=60)
        await nothing_left(world)

    run_story(story)
