"""The queue of events and the virtual runtime: time, pauses, death, blocking work."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raftstore.sim.runtime import DiskSpeed, ProcessKilled, VirtualClock, VirtualRuntime
from raftstore.sim.schedule import Schedule


@dataclass
class Machine:
    schedule: Schedule = field(default_factory=Schedule)
    rate: float = 1.0
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    killed: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.schedule, rate=self.rate, offset_s=1234.5)
        self.disk = DiskSpeed(random.Random(3), median_s=0.01)
        self.runtime = VirtualRuntime(
            self.schedule,
            rng=random.Random(1),
            clock=self.clock,
            disk_speed=self.disk,
            on_error=lambda context, error: self.errors.append((context, error)),
            on_killed=self._on_killed,
        )

    def _on_killed(self) -> None:
        self.killed.append(self.schedule.now_s)
        self.runtime.die()


def test_events_of_one_instant_run_in_the_order_they_were_made() -> None:
    schedule = Schedule()
    seen: list[int] = []
    for number in range(5):
        schedule.at(1.0, lambda n=number: seen.append(n))  # type: ignore[misc]
    schedule.at(0.5, lambda: seen.append(-1))
    schedule.run(until_s=2.0)
    assert seen == [-1, 0, 1, 2, 3, 4]
    assert schedule.now_s == 2.0


def test_a_run_ends_when_it_is_told_to_or_spins() -> None:
    schedule = Schedule()

    def again() -> None:
        schedule.at(schedule.now_s, again)

    again()
    assert not schedule.run(until_s=1.0, events_max=100)
    assert schedule.run(until_s=1.0, stop=lambda: schedule.events_run >= 150, events_max=1000)
    assert schedule.now_s == 0.0


def test_equal_traces_have_equal_hashes_and_others_not() -> None:
    def hash_of(*lines: str) -> str:
        schedule = Schedule()
        for line in lines:
            schedule.trace(line)
        return schedule.trace_hash()

    assert hash_of("a", "b") == hash_of("a", "b")
    assert len({hash_of("a", "b"), hash_of("b", "a"), hash_of("ab"), hash_of()}) == 4


@given(
    st.floats(min_value=0.5, max_value=2.0),
    st.floats(min_value=0.0, max_value=1e6),
    st.lists(st.floats(min_value=0.0, max_value=100.0), min_size=1, max_size=10),
)
def test_a_timer_never_fires_early_on_its_own_clock(rate: float, start_s: float, delays_s: list[float]) -> None:
    machine = Machine(schedule=Schedule(), rate=rate)
    machine.schedule.run(until_s=start_s)
    fired: list[tuple[float, float]] = []
    for delay_s in delays_s:
        when = machine.runtime.now() + delay_s
        machine.runtime.call_at(when, lambda w=when: fired.append((w, machine.runtime.now())))  # type: ignore[misc]
    machine.schedule.run(until_s=start_s + 1000)
    assert len(fired) == len(delays_s)
    assert all(when <= now <= when + 1e-6 for when, now in fired)


def test_a_cancelled_timer_is_silent_even_when_it_was_due_in_a_pause() -> None:
    machine = Machine()
    fired: list[str] = []
    timer = machine.runtime.call_at(machine.runtime.now() + 1, lambda: fired.append("timer"))
    machine.runtime.pause()
    machine.schedule.run(until_s=2.0)
    timer.cancel()
    machine.runtime.resume()
    machine.schedule.run(until_s=3.0)
    assert fired == []


def test_a_paused_process_does_everything_later_in_order() -> None:
    machine = Machine()
    seen: list[str] = []
    machine.runtime.call_at(machine.runtime.now() + 1, lambda: seen.append("timer"))
    machine.schedule.at(0.5, machine.runtime.pause)
    machine.schedule.at(0.7, lambda: machine.runtime.dispatch(lambda: seen.append("message")))
    machine.schedule.run(until_s=5.0)
    assert seen == []
    machine.runtime.resume()
    machine.schedule.run(until_s=5.0)
    assert seen == ["message", "timer"]


def test_a_stopped_process_sees_its_clock_jump_and_a_suspended_machine_does_not() -> None:
    stopped, suspended = Machine(), Machine()
    for machine, freeze in ((stopped, False), (suspended, True)):
        fired: list[float] = []
        machine.runtime.call_at(machine.runtime.now() + 1, lambda m=machine, f=fired: f.append(m.schedule.now_s))  # type: ignore[misc]
        machine.schedule.run(until_s=0.5)
        machine.runtime.pause(freeze_clock=freeze)
        machine.schedule.run(until_s=10.5)
        machine.runtime.resume()
        assert machine.runtime.now() == pytest.approx(1235.0 if freeze else 1245.0)
        machine.schedule.run(until_s=20.0)
        assert fired == [pytest.approx(11.0 if freeze else 10.5)]


def test_works_of_a_lane_run_one_at_a_time_and_lanes_do_not_wait_for_each_other() -> None:
    machine = Machine()
    log: list[str] = []

    def work(name: str) -> Callable[[], str]:
        return lambda: log.append(f"run {name}") or name  # type: ignore[func-returns-value]

    for name in ("a", "b"):
        machine.runtime.run_blocking("journal", work(name), lambda result, error: log.append(f"done {result}"))
    machine.disk.stalled_until_s = 100.0
    machine.schedule.run(until_s=50.0)
    assert log[:2] == ["run a", "done a"]
    machine.schedule.run(until_s=200.0)
    assert log == ["run a", "done a", "run b", "done b"]


def test_an_error_of_blocking_work_goes_to_its_callback_and_one_of_a_callback_to_report() -> None:
    machine = Machine()
    outcomes: list[BaseException | None] = []

    def fail() -> None:
        raise OSError(28, "full")

    machine.runtime.run_blocking("journal", fail, lambda result, error: outcomes.append(error))
    machine.runtime.call_soon(fail)
    machine.schedule.run(until_s=5.0)
    assert isinstance(outcomes[0], OSError)
    assert [context for context, _ in machine.errors] == ["callback"]


def test_a_dead_process_does_nothing_more_but_work_in_flight_may_end_in_the_kernel() -> None:
    ended = 0
    for seed in range(40):
        machine = Machine()
        machine.disk._rng = random.Random(seed)
        log: list[str] = []
        for name in ("first", "second"):
            machine.runtime.run_blocking("journal", partial(log.append, name), lambda *_: pytest.fail("told"))
        machine.runtime.call_soon(lambda: pytest.fail("called"))
        machine.runtime.die()
        machine.schedule.run(until_s=5.0)
        assert log in ([], ["first"])
        ended += len(log)
    assert 0 < ended < 40


def test_a_process_killed_inside_a_callback_is_reported_dead_at_that_instant() -> None:
    machine = Machine()

    def at_failpoint() -> None:
        raise ProcessKilled

    machine.runtime.call_at(machine.runtime.now() + 2, at_failpoint)
    machine.schedule.run(until_s=5.0)
    assert machine.killed == [pytest.approx(2.0)]
    assert machine.errors == []
