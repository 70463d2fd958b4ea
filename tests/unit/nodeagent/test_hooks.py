"""Hooks: what runs when a container has started and before it is stopped, and how they share its grace period."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from life_world import LifeWorld, run_life

from apiserver.api.core.pod import Pod
from nodeagent.hooks import LifecycleHooks
from nodeagent.house import Parts
from nodeagent.runtime.fake import FakeRuntime, Latency
from nodeagent.runtime.faults import Fault
from nodeagent.runtime.interface import ExecResult, RuntimeFailure, TookTooLong


class Commands:
    """An executor. A command is its name and what it takes, as in `drain 5`; one that is called `fails` does, `breaks`
    is not run. `log` tells of what began, ended and was interrupted, and of signals."""

    def __init__(self) -> None:
        self.log: list[tuple[float, str]] = []

    async def exec_sync(
        self, container_id: str, command: Sequence[str], *, timeout_s: float, brief: bool = False
    ) -> ExecResult:
        name, takes_s = command[0], float(command[1])
        self.tell(f"{name} begins")
        if name == "breaks":
            raise RuntimeFailure("no such container")
        try:
            await asyncio.sleep(min(takes_s, timeout_s))
        except asyncio.CancelledError:
            self.tell(f"{name} is interrupted")
            raise
        if takes_s > timeout_s:
            self.tell(f"{name} is interrupted")
            raise TookTooLong("ExecSync took too long")
        self.tell(f"{name} ends")
        return ExecResult(stdout=b"", stderr=b"no such file", exit_code=int(name == "fails"))

    def tell(self, what: str) -> None:
        self.log.append((round(asyncio.get_running_loop().time(), 3), what))

    @property
    def told(self) -> list[str]:
        return [what for _, what in self.log]


class Signals(FakeRuntime):
    """Tells when a container is asked to end, and how long it has."""

    commands: Commands

    async def stop_container(self, container_id: str, *, grace_period_s: float, signal: str = "") -> None:
        found = [each for each in self.running if each.id == container_id]
        for each in found:
            self.commands.tell(f"{each.name} gets {signal or 'SIGTERM'} and {grace_period_s:g}s")
        await super().stop_container(container_id, grace_period_s=grace_period_s, signal=signal)


def with_hooks(story: Callable[[LifeWorld, Commands], Awaitable[None]], *, latency: Latency | None = None) -> None:
    commands = Commands()

    def change(parts: Parts, runtime: FakeRuntime) -> Parts:
        runtime.__class__ = Signals
        runtime.commands = commands  # type: ignore[attr-defined]  # not in its stubs
        return msgspec.structs.replace(parts, hooks=LifecycleHooks(commands, parts.events))

    run_life(lambda world: story(world, commands), change=change, latency=latency)


def container(name: str = "main", *, start: str = "", stop: str = "", **more: Any) -> dict[str, Any]:
    lifecycle = {}
    if start:
        lifecycle["postStart"] = {"exec": {"command": start.split()}}
    if stop:
        lifecycle["preStop"] = {"exec": {"command": stop.split()}}
    return {"name": name, "image": f"registry.test/{name}:1", "lifecycle": lifecycle, **more}


def test_the_next_container_waits_for_the_hook_of_the_one_before() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(start="warm 20"), container("other")])
        await world.until(lambda: commands.told == ["warm begins"])
        await asyncio.sleep(10)
        assert [each.name for each in world.containers("a")] == ["main"]
        await world.running("a")
        assert commands.told == ["warm begins", "warm ends"]

    with_hooks(story)


def test_a_container_whose_start_hook_fails_does_not_run() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(start="fails 1")])
        await world.until(lambda: world.waiting("a") == "CrashLoopBackOff")
        words = "PostStartHook failed: command 'fails 1' exited with 1: no such file"
        assert ("Warning", "FailedPostStartHook", words) in world.told("a")
        assert not world.containers("a")
        await world.until(lambda: world.container("a").restart_count == 3)

    with_hooks(story)


def test_who_does_not_want_to_wait_for_a_start_hook_deletes_the_pod() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(start="warm 5000")])
        await world.until(lambda: commands.told)
        await world.delete("a", grace_s=5)
        await world.until(lambda: not world.there("a"), within_s=8)
        assert commands.told[:2] == ["warm begins", "warm is interrupted"]

    with_hooks(story)


def test_the_stop_hook_comes_first_and_shares_the_grace_period() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(stop="drain 12")], terminationGracePeriodSeconds=30)
        await world.running("a")
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        assert commands.told == ["drain begins", "drain ends", "main gets SIGTERM and 18s"]

    with_hooks(story)


def test_a_stop_hook_that_takes_too_long_leaves_a_moment_for_the_signal() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(stop="drain 100")], terminationGracePeriodSeconds=10)
        await world.running("a")
        await world.delete("a")
        await world.until(lambda: not world.there("a"), within_s=15)
        assert commands.told == ["drain begins", "drain is interrupted", "main gets SIGTERM and 2s"]
        words = "PreStopHook failed: not done within 10s"
        await world.until(lambda: ("Warning", "FailedPreStopHook", words) in world.told("a"))

    with_hooks(story)


def test_a_stop_hook_that_fails_stops_nobody_from_stopping() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("fails", containers=[container(stop="fails 1")])
        await world.pod("breaks", containers=[container(stop="breaks 1")])
        await world.running("fails")
        await world.running("breaks")
        await world.delete("fails")
        await world.delete("breaks")
        await world.until(lambda: not world.there("fails") and not world.there("breaks"), within_s=10)
        await world.until(lambda: "FailedPreStopHook" in world.reasons("fails"))
        await world.until(lambda: "FailedPreStopHook" in world.reasons("breaks"))

    with_hooks(story)


def test_sidecars_stop_last_in_the_reverse_of_their_order_each_with_its_hook() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        first = container("first", stop="first 1", restartPolicy="Always")
        second = container("second", stop="second 1", restartPolicy="Always")
        mains = [container(stop="main 3"), container("other", stop="other 5")]
        await world.pod("a", initContainers=[first, second], containers=mains, terminationGracePeriodSeconds=20)
        await world.running("a")
        commands.log.clear()
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        began = commands.log[0][0]
        assert [(at - began, what) for at, what in commands.log] == [
            (0, "main begins"),
            (0, "other begins"),
            (3, "main ends"),
            (3, "main gets SIGTERM and 17s"),
            (5, "other ends"),
            (5, "other gets SIGTERM and 15s"),
            (5, "second begins"),
            (6, "second ends"),
            (6, "second gets SIGTERM and 14s"),
            (6, "first begins"),
            (7, "first ends"),
            (7, "first gets SIGTERM and 13s"),
        ]

    with_hooks(story)


def test_a_shorter_grace_period_interrupts_a_hook_and_it_does_not_run_again() -> None:
    """`kubectl delete --now` after a `kubectl delete`."""

    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(stop="drain 5000")], terminationGracePeriodSeconds=6000)
        await world.running("a")
        await world.delete("a")
        await asyncio.sleep(100)
        assert commands.told == ["drain begins"]
        await world.delete("a", grace_s=1)
        await world.until(lambda: not world.there("a"), within_s=5)
        assert commands.told == ["drain begins", "drain is interrupted", "main gets SIGTERM and 2s"]

    with_hooks(story)


def test_a_pod_that_is_gone_at_once_interrupts_a_hook_too() -> None:
    """`kubectl delete --force --grace-period=0`."""

    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(stop="drain 5000")], terminationGracePeriodSeconds=6000)
        await world.running("a")
        await world.delete("a")
        await asyncio.sleep(10)
        await world.delete("a", grace_s=0)
        await world.until(lambda: not world.containers("a"), within_s=5)
        assert "drain is interrupted" in commands.told
        assert commands.told.count("drain begins") == 1

    with_hooks(story)


def test_a_signal_of_the_pods_choice() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        by_quit = container("main") | {"lifecycle": {"stopSignal": "SIGQUIT"}}
        await world.pod("a", containers=[by_quit, container("other")], os={"name": "linux"})
        await world.running("a")
        assert world.container("a").stop_signal == "SIGQUIT"
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        assert commands.told == ["main gets SIGQUIT and 30s", "other gets SIGTERM and 30s"]

    with_hooks(story)


def test_a_pause_and_a_hook_that_says_nothing() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        pause = {"lifecycle": {"preStop": {"sleep": {"seconds": 7}}}}
        await world.pod("a", containers=[container() | pause])
        old = {"lifecycle": {"preStop": {"tcpSocket": {"port": 80}}}}
        await world.pod("b", containers=[container() | old])
        await world.running("a")
        await world.running("b")
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        assert commands.told == ["main gets SIGTERM and 23s"]
        await world.delete("b")
        await world.until(lambda: "FailedPreStopHook" in world.reasons("b"))
        await world.until(lambda: not world.there("b"))

    with_hooks(story)


def test_a_pause_is_no_longer_than_the_grace_period() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container() | {"lifecycle": {"preStop": {"sleep": {"seconds": 20}}}}])
        await world.running("a")
        await world.delete("a", grace_s=5)
        await world.until(lambda: not world.there("a"), within_s=8)
        assert commands.told == ["main gets SIGTERM and 2s"]

    with_hooks(story)


def test_a_container_that_is_replaced_has_its_stop_hook_too() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        await world.pod("a", containers=[container(stop="drain 1")])
        await world.running("a")
        containers = msgspec.to_builtins(world.get("a").spec.containers)
        containers[0]["image"] = "registry.test/main:2"
        await world.client.patch(Pod, "a", {"spec": {"containers": containers}}, namespace="default")
        await world.until(lambda: world.container("a").restart_count == 1)
        assert commands.told == ["drain begins", "drain ends", "main gets SIGTERM and 29s"]
        await world.until(lambda: world.ready("a"))
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        assert commands.told.count("drain ends") == 2, "each container has its own"

    with_hooks(story)


def test_a_finished_pod_has_nothing_to_stop() -> None:
    async def story(world: LifeWorld, commands: Commands) -> None:
        world.runtime.faults.add(lambda pod, labels: True, Fault.exits(code=0))
        await world.pod("a", restartPolicy="Never", containers=[container(stop="drain 1")])
        await world.until(lambda: world.phase("a") == "Succeeded")
        await world.delete("a")
        await world.until(lambda: not world.there("a"))
        assert not commands.told

    with_hooks(story)
