"""Which pod comes next, which wait for what, and that none is forgotten or there twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import virtual_time
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from scheduler_objects import HandClock, Infos

from controlplane.scheduler.filters.reason import Reason, Remedy
from controlplane.scheduler.hints import NO_HINTS, ClusterEvent, Hints, hints_of
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.queue import (
    BACKOFF_LONGEST_S,
    EVENTS_MAX,
    SWEEP_S,
    UNSCHEDULABLE_MAX_S,
    Place,
    QueuedPod,
    SchedulingQueue,
)

TAINTED = hints_of([Reason("TaintToleration", "tainted", frozenset((Remedy.NODE_TAINT,)))])
UNTAINTED = ClusterEvent(kind=Remedy.NODE_TAINT)
NODE_ADDED = ClusterEvent(kind=Remedy.NODE_ADD)


def always(info: PodInfo, hints: Hints, event: ClusterEvent) -> bool:
    return True


class Bench:
    def __init__(self, helps: Callable[[PodInfo, Hints, ClusterEvent], bool] = always) -> None:
        self.clock = HandClock()
        self.info = Infos()
        self.queue = SchedulingQueue(self.clock, helps)

    def take(self) -> QueuedPod:
        self.queue.flush()
        found = self.queue.take()
        assert found is not None
        return found

    def names(self) -> list[str]:
        self.queue.flush()
        found = []
        while (queued := self.queue.take()) is not None:
            found.append(queued.info.name)
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- the order --------------------------------------------------------------------------------------------


def test_higher_priority_comes_first_and_then_who_waited_longest(bench: Bench) -> None:
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        bench.queue.put(bench.info(name, priority=priority))
        bench.clock.go_on(1)
    assert bench.names() == ["b", "d", "a", "c", "e"]


def test_a_pod_is_there_once_and_as_it_was_told_last(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.put(bench.info("a", priority=3))
    bench.queue.put(bench.info("b", priority=1))
    assert len(bench.queue) == 2
    assert bench.take().info.priority == 3
    assert bench.names() == ["b"]


def test_what_was_read_before_does_not_replace_what_is_newer(bench: Bench) -> None:
    old, new = bench.info("a", priority=1), bench.info("a", priority=2)
    bench.queue.put(new)
    bench.queue.put(old)
    assert bench.take().info.priority == 2


def test_who_is_being_decided_is_not_handed_out_again(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.take()
    bench.queue.put(bench.info("a", priority=7))
    assert bench.names() == []


def test_a_removed_pod_never_comes_and_nothing_said_of_it_matters(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    queued = bench.take()
    bench.queue.remove("a")
    bench.queue.unschedulable(queued, TAINTED)
    bench.queue.requeue(queued)
    bench.queue.binding(queued)
    bench.clock.go_on(UNSCHEDULABLE_MAX_S * 2)
    assert bench.names() == []
    assert len(bench.queue) == 0


# --- gates ------------------------------------------------------------------------------------------------


def test_gates_keep_a_pod_out_until_they_are_gone(bench: Bench) -> None:
    bench.queue.put(bench.info("a", gates=("wait",)))
    bench.queue.happened(UNTAINTED)
    bench.clock.go_on(UNSCHEDULABLE_MAX_S * 2)
    assert bench.names() == []
    assert bench.queue.count(Place.GATED) == 1
    bench.queue.put(bench.info("a"))
    assert bench.names() == ["a"]


# --- backoff ----------------------------------------------------------------------------------------------


def test_backoff_doubles_from_one_second_to_ten(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    waits = []
    for _ in range(6):
        queued = bench.take()
        bench.queue.requeue(queued)
        begin = bench.clock.now_s
        while bench.queue.count(Place.BACKOFF):
            bench.clock.go_on(0.5)
            bench.queue.flush()
        waits.append(bench.clock.now_s - begin)
    assert waits == [1, 2, 4, 8, BACKOFF_LONGEST_S, BACKOFF_LONGEST_S]


def test_a_pod_that_changed_under_its_binding_need_not_wait(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.requeue(bench.take(), at_once=True)
    assert bench.names() == ["a"]


# --- unschedulable ----------------------------------------------------------------------------------------


def test_only_an_event_that_may_help_moves_a_pod_and_its_backoff_counts_on(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.unschedulable(bench.take(), TAINTED)
    assert bench.queue.happened(NODE_ADDED) == 0
    bench.clock.go_on(5)
    assert bench.names() == []
    assert bench.queue.happened(UNTAINTED) == 1
    assert bench.names() == ["a"]


def test_an_event_soon_after_the_failure_leads_through_the_backoff(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.unschedulable(bench.take(), TAINTED)
    bench.queue.happened(UNTAINTED)
    assert bench.names() == []
    bench.clock.go_on(1)
    assert bench.names() == ["a"]


def test_an_event_that_weighs_nothing_moves_nobody() -> None:
    bench = Bench(lambda info, hints, event: info.name == "b")
    for name in ("a", "b"):
        bench.queue.put(bench.info(name, cpu={"a": "1", "b": "2"}[name]))
        bench.queue.unschedulable(bench.take(), TAINTED)
    bench.clock.go_on(5)
    bench.queue.happened(UNTAINTED)
    assert bench.names() == ["b"]


def test_pods_of_one_template_are_weighed_once() -> None:
    asked = []

    def helps(info: PodInfo, hints: Hints, event: ClusterEvent) -> bool:
        asked.append(info.name)
        return True

    bench = Bench(helps)
    for number in range(20):
        bench.queue.put(bench.info(f"p{number}"))
        bench.queue.unschedulable(bench.take(), TAINTED)
    assert bench.queue.happened(UNTAINTED) == 20
    assert len(asked) == 1


def test_what_happens_while_a_pod_is_decided_counts_for_it(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    queued = bench.take()
    bench.queue.happened(UNTAINTED)
    bench.queue.unschedulable(queued, TAINTED)
    assert bench.queue.count(Place.BACKOFF) == 1


def test_what_happened_before_a_decision_began_does_not(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.put(bench.info("other"))
    first = bench.take()
    bench.queue.happened(UNTAINTED)
    second = bench.take()
    bench.queue.unschedulable(second, TAINTED)
    assert bench.queue.count(Place.UNSCHEDULABLE) == 1
    bench.queue.unschedulable(first, TAINTED)
    assert bench.queue.count(Place.UNSCHEDULABLE) == 1


def test_more_events_than_are_kept_count_as_help(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    queued = bench.take()
    for _ in range(EVENTS_MAX + 1):
        bench.queue.happened(NODE_ADDED)
    bench.queue.unschedulable(queued, TAINTED)
    assert bench.queue.count(Place.BACKOFF) == 1


def test_a_pod_that_becomes_another_is_tried_again_and_one_whose_status_changes_is_not(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.unschedulable(bench.take(), TAINTED)
    bench.clock.go_on(5)
    bench.queue.put(bench.info("a"))
    assert bench.names() == []
    bench.queue.put(bench.info("a", tolerations=[{"operator": "Exists"}]))
    assert bench.names() == ["a"]


def test_a_pod_that_became_another_while_it_was_decided_is_tried_again(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    queued = bench.take()
    bench.queue.put(bench.info("a", tolerations=[{"operator": "Exists"}]))
    bench.queue.unschedulable(queued, TAINTED)
    assert bench.queue.count(Place.BACKOFF) == 1


def test_after_a_long_time_it_is_tried_again_whatever_was_missed(bench: Bench) -> None:
    bench.queue.put(bench.info("a"))
    bench.queue.unschedulable(bench.take(), NO_HINTS)
    bench.clock.go_on(UNSCHEDULABLE_MAX_S - 1)
    assert bench.names() == []
    bench.clock.go_on(SWEEP_S + 1)
    assert bench.names() == ["a"]


# --- waiting ----------------------------------------------------------------------------------------------


def test_pop_wakes_up_for_a_pod_a_backoff_and_the_sweep() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        info = Infos()
        queue = SchedulingQueue(loop.time, always)
        waiting = asyncio.ensure_future(queue.pop())
        await asyncio.sleep(3)
        assert not waiting.done()
        queue.put(info("a"))
        queue.requeue(await waiting)
        begin = loop.time()
        queue.unschedulable(await queue.pop(), NO_HINTS)
        assert loop.time() - begin == pytest.approx(1)
        begin = loop.time()
        await queue.pop()
        assert UNSCHEDULABLE_MAX_S <= loop.time() - begin <= UNSCHEDULABLE_MAX_S + 2 * SWEEP_S

    virtual_time.run(test())


def test_who_stops_waiting_takes_nothing_along() -> None:
    async def test() -> None:
        queue = SchedulingQueue(asyncio.get_running_loop().time, always)
        waiting = asyncio.ensure_future(queue.pop())
        await asyncio.sleep(0)
        queue.put(Infos()("a"))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await queue.pop()).info.name == "a"

    virtual_time.run(test())


# --- whatever happens -------------------------------------------------------------------------------------

KINDS = (Remedy.NODE_TAINT, Remedy.NODE_ADD, Remedy.POD_DELETE)
NAMES = st.sampled_from([f"p{number}" for number in range(6)])


class AnyOrder(RuleBasedStateMachine):
    """Nobody is lost or there twice; counts are true; nobody waits unschedulable for what happened since."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.known: set[str] = set()
        self.working: dict[str, QueuedPod] = {}
        self.missed: dict[str, set[Remedy]] = {}

    @rule(name=NAMES, priority=st.integers(0, 2), gated=st.booleans())
    def put(self, name: str, priority: int, gated: bool) -> None:
        self.bench.queue.put(self.bench.info(name, priority=priority, gates=("g",) if gated else ()))
        self.known.add(name)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.bench.queue.remove(name)
        self.known.discard(name)
        self.working.pop(name, None)
        self.missed.pop(name, None)

    @rule()
    def take(self) -> None:
        self.bench.queue.flush()
        queued = self.bench.queue.take()
        if queued is not None:
            assert queued.info.uid in self.known
            assert queued.info.uid not in self.working
            assert not queued.info.gates
            self.working[queued.info.uid] = queued
            self.missed[queued.info.uid] = set()

    @precondition(lambda self: self.working)
    @rule(data=st.data(), kinds=st.sets(st.sampled_from(KINDS)))
    def keep_out(self, data: st.DataObject, kinds: set[Remedy]) -> None:
        name = data.draw(st.sampled_from(sorted(self.working)))
        queued = self.working.pop(name)
        self.bench.queue.unschedulable(queued, hints_of([Reason("F", "why", frozenset(kinds))]))
        if self.missed.pop(name) & kinds:
            assert queued.place is not Place.UNSCHEDULABLE

    @precondition(lambda self: self.working)
    @rule(data=st.data(), at_once=st.booleans())
    def again(self, data: st.DataObject, at_once: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.working)))
        queued = self.working.pop(name)
        self.missed.pop(name)
        self.bench.queue.requeue(queued, at_once=at_once)

    @rule(kind=st.sampled_from(KINDS))
    def happened(self, kind: Remedy) -> None:
        self.bench.queue.happened(ClusterEvent(kind=kind))
        for missed in self.missed.values():
            missed.add(kind)
        for name in self.known - set(self.working):
            queued = self.bench.queue.find(name)
            assert queued is not None
            assert queued.place is not Place.UNSCHEDULABLE or kind not in queued.hints.kinds

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.clock.go_on(seconds)

    @invariant()
    def everybody_is_there(self) -> None:
        queue = self.bench.queue
        found = {name: queue.find(name) for name in self.known}
        assert len(queue) == len(self.known)
        for place in Place:
            if place is not Place.GONE:
                assert queue.count(place) == sum(each is not None and each.place is place for each in found.values())

    def teardown(self) -> None:
        """In the end each that is not gated comes."""
        for name, queued in self.working.items():
            self.bench.queue.requeue(queued)
            self.missed.pop(name)
        self.bench.clock.go_on(2 * UNSCHEDULABLE_MAX_S)
        gated = {name for name in self.known if (found := self.bench.queue.find(name)) and found.info.gates}
        assert set(self.bench.names()) == self.known - gated


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_in_any_order_nobody_is_lost = AnyOrder.TestCase
