"""Rates from counters, and how often they are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import now_s, run

from apiserver.api.errors import InternalError, ServiceUnavailable
from nodeagent.runtime.interface import Container, ContainerPhase, PodKey, Unavailable, Usage
from nodeagent.server.machine_usage import MachineUsage, machine_usage
from nodeagent.server.rates import SHORTEST_S, nano_cores
from nodeagent.server.stats import AGAIN_S, FRESH_S, OLD_S, Stats

SECOND = 1_000_000_000
POD = PodKey(namespace="default", name="web", uid="u1")


class Machine:
    """Its CPUs and containers count as virtual time goes by: `busy` is how many CPUs each keeps busy."""

    def __init__(self) -> None:
        self.looks = 0
        self.busy = 0.5
        self.containers: dict[str, tuple[Container, float]] = {}
        self.failure: Exception | None = None

    def add(self, name: str, *, busy: float, container_id: str = "", pod: PodKey = POD) -> None:
        container = Container(
            id=container_id or name,
            sandbox_id="s",
            pod=pod,
            name=name,
            attempt=0,
            image="",
            image_id="",
            phase=ContainerPhase.RUNNING,
            created_at=now_s(),
            started_at=now_s(),
        )
        self.containers[container.id] = (container, busy)

    def look(self, _folder: Path) -> MachineUsage:
        self.looks += 1
        if isinstance(self.failure, OSError):
            raise self.failure
        return MachineUsage(
            cpu_ns=round(now_s() * self.busy * SECOND),
            booted_at=1000.0,
            memory_available=5,
            memory_used=7,
            memory_working_set=6,
            memory_rss=3,
            disk_bytes=100,
            disk_free=40,
            inodes=10,
            inodes_free=4,
        )

    async def list_containers(self, *, pod_uid: str = "") -> list[Container]:
        if isinstance(self.failure, Unavailable):
            raise self.failure
        return [container for container, _ in self.containers.values()]

    async def usage(self) -> list[Usage]:
        return [
            Usage(
                pod=each.pod,
                container=each.name,
                container_id=each.id,
                at=now_s(),
                cpu_ns=round((now_s() - each.started_at) * busy * SECOND),
                memory_working_set=100,
                memory_rss=50,
            )
            for each, busy in self.containers.values()
        ]


def story(told: Callable[[Machine, Stats], Awaitable[None]], *, real: bool = True) -> None:
    async def main() -> None:
        machine = Machine()
        stats = Stats(
            "n1",
            machine,  # type: ignore[arg-type]  # only what is asked for here
            machine if real else None,  # type: ignore[arg-type]  # only what is asked for here
            list,
            Path("/"),
            wall=now_s,
            look=machine.look,
        )
        await told(machine, stats)

    run(main())


def test_who_asks_first_waits_for_a_second_look() -> None:
    async def told(machine: Machine, stats: Stats) -> None:
        machine.add("a", busy=0.25)
        machine.add("b", busy=1.0)
        await asyncio.sleep(100)
        began = now_s()
        summary = await stats.summary()
        assert now_s() - began == pytest.approx(AGAIN_S, abs=0.1)
        assert summary.node.cpu is not None
        assert summary.node.cpu.usage_nano_cores == pytest.approx(SECOND / 2, rel=0.01)
        (pod,) = summary.pods
        rates = {each.name: each.cpu.usage_nano_cores for each in pod.containers if each.cpu}
        assert rates == {"a": pytest.approx(SECOND / 4, rel=0.01), "b": pytest.approx(SECOND, rel=0.01)}
        assert pod.cpu is not None
        assert pod.cpu.usage_nano_cores == pytest.approx(SECOND * 1.25, rel=0.01)
        assert pod.memory is not None
        assert pod.memory.working_set_bytes == 200
        assert summary.window_seconds == pytest.approx(AGAIN_S, abs=0.1)

    story(told)


def test_many_who_ask_cost_one_look() -> None:
    async def told(machine: Machine, stats: Stats) -> None:
        found = await asyncio.gather(*(stats.summary() for _ in range(20)))
        assert all(each is found[0] for each in found)
        assert machine.looks == 2
        await asyncio.sleep(FRESH_S - AGAIN_S)
        await stats.summary()
        assert machine.looks == 2
        await asyncio.sleep(FRESH_S)
        later = await stats.summary()
        assert machine.looks == 3, "the last look is the first of the two"
        assert later.window_seconds > FRESH_S
        await asyncio.sleep(OLD_S + 1)
        fresh = await stats.summary()
        assert machine.looks == 5
        assert fresh.window_seconds == pytest.approx(AGAIN_S, abs=0.1), "a rate of the last minutes is none of now"

    story(told)


def test_a_container_that_began_in_between_is_measured_from_its_start() -> None:
    async def told(machine: Machine, stats: Stats) -> None:
        await stats.summary()
        await asyncio.sleep(10)
        machine.add("new", busy=0.5)
        await asyncio.sleep(10)
        (pod,) = (await stats.summary()).pods
        assert pod.containers[0].cpu is not None
        assert pod.containers[0].cpu.usage_nano_cores == pytest.approx(SECOND / 2, rel=0.01)
        machine.containers.clear()
        machine.add("new", busy=0.25, container_id="second")
        await asyncio.sleep(10)
        (pod,) = (await stats.summary()).pods
        assert pod.containers[0].cpu is not None
        assert pod.containers[0].cpu.usage_nano_cores == pytest.approx(SECOND / 4, rel=0.01), "another one"

    story(told)


def test_simulated_containers_use_nothing() -> None:
    async def told(machine: Machine, stats: Stats) -> None:
        machine.add("a", busy=1.0)
        (pod,) = (await stats.summary()).pods
        assert pod.cpu is not None
        assert (pod.cpu.usage_nano_cores, pod.cpu.usage_core_nano_seconds) == (0, 0)

    story(told, real=False)


def test_who_cannot_be_asked() -> None:
    async def told(machine: Machine, stats: Stats) -> None:
        machine.failure = Unavailable("nobody there")
        with pytest.raises(ServiceUnavailable, match="nobody there"):
            await stats.summary()
        machine.failure = FileNotFoundError("/proc/stat")
        with pytest.raises(InternalError):
            await stats.summary()
        machine.failure = None
        await stats.summary()

    story(told)


@given(st.integers(-(10**18), 10**18), st.floats(-1e6, 1e6))
def test_a_rate_is_none_or_at_least_zero(counted: int, seconds: float) -> None:
    found = nano_cores(counted, seconds)
    assert (found is None) == (counted < 0 or seconds < SHORTEST_S)
    assert found is None or found >= 0


def test_the_machine_says_what_it_uses(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 1 1 1\nbtime 1700000000\n")
    memory = "MemTotal: 1000 kB\nMemFree: 300 kB\nAnonPages: 200 kB\nInactive(file): 100 kB\nHugePages_Total: 0\n"
    (tmp_path / "meminfo").write_text(memory)
    found = machine_usage(tmp_path, proc=tmp_path)
    assert found.cpu_ns == (100 + 20 + 30 + 6 + 7 + 8) * 10_000_000, "neither idle, nor guests a second time"
    assert (found.booted_at, found.memory_used, found.memory_rss) == (1.7e9, 700 * 1024, 200 * 1024)
    assert (found.memory_working_set, found.memory_available) == (600 * 1024, 400 * 1024)
    assert 0 < found.disk_free < found.disk_bytes


def test_this_machine() -> None:
    first, second = machine_usage(Path("/")), machine_usage(Path("/"))
    assert 0 < first.cpu_ns <= second.cpu_ns
    assert 0 < first.memory_working_set <= first.memory_used
