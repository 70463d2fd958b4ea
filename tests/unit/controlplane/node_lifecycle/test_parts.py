"""The rules alone, without a cluster: tolerations, heartbeats, zones, conditions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from controllers_world_objects import lease, made, node, pod

from apiserver.api.core.node import Node, Taint
from apiserver.api.core.scheduling import Toleration
from apiserver.api.tolerations import tolerated_s, tolerates
from controlplane.controllers.node_lifecycle.conditions import when_silent
from controlplane.controllers.node_lifecycle.heartbeats import Heartbeats
from controlplane.controllers.node_lifecycle.taints import with_taints
from controlplane.controllers.node_lifecycle.zones import Bucket, Count, Rates, Zones, ZoneState
from controlplane.controllers.status_writes import disrupted

GONE = Taint(key="gone", value="yes", effect="NoExecute")
NOW = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("toleration", "does"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gone", "operator": "Exists"}, True),
        ({"key": "gone", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "gone", "value": "yes"}, True),
        ({"key": "gone", "value": "yes", "operator": "Equal", "effect": "NoExecute"}, True),
        ({"key": "gone", "value": "no"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"value": "yes"}, False),
    ],
)
def test_what_a_toleration_matches(toleration: dict[str, Any], does: bool) -> None:
    assert tolerates(msgspec.convert(toleration, Toleration), GONE) is does


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([], 0.0), ([None], None), ([60], 60.0), ([60, 20], 20.0), ([None, 60], 60.0), ([-5], 0.0)],
)
def test_how_long_a_pod_may_stay(seconds: list[int | None], expected: float | None) -> None:
    tolerations = [Toleration(key="gone", operator="Exists", toleration_seconds=each) for each in seconds]
    assert tolerated_s(tolerations, [GONE]) == expected
    assert tolerated_s(tolerations, []) is None


def test_one_taint_that_is_not_tolerated_is_enough() -> None:
    assert tolerated_s([Toleration(key="gone", operator="Exists")], [GONE, Taint(key="b", effect="NoExecute")]) == 0.0


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def version(obj: Any, number: int, *, uid: str = "u") -> Any:
    obj.metadata.resource_version, obj.metadata.uid = str(number), uid
    return obj


def seen(time: Time) -> Heartbeats:
    heartbeats = Heartbeats(time, gap_s=15.0)
    heartbeats.begin_round()
    heartbeats.saw(version(node("a"), 1), version(lease("a", "a"), 2))
    return heartbeats


def rounds(heartbeats: Heartbeats, time: Time, seconds: float, *objects: Any) -> None:
    end = time.now + seconds
    while time.now < end:
        time.now += 5
        heartbeats.begin_round()
        heartbeats.saw(*objects)


def test_silence_is_counted_from_the_last_news() -> None:
    time = Time()
    heartbeats = seen(time)
    same = (version(node("a"), 1), version(lease("a", "a"), 2))
    rounds(heartbeats, time, 30, *same)
    assert heartbeats.silent_s("a") == 30
    heartbeats.saw(same[0], version(lease("a", "a"), 3))
    assert heartbeats.silent_s("a") == 0
    rounds(heartbeats, time, 20, *same)  # an old one again
    assert heartbeats.silent_s("a") == 20
    assert heartbeats.silent_s("unknown") == 0


def test_the_heartbeat_of_the_ready_condition_counts_and_nothing_else_of_a_node() -> None:
    time = Time()
    heartbeats = seen(time)
    rounds(heartbeats, time, 20, version(node("a", labels={"changed": "yes"}), 5), None)
    assert heartbeats.silent_s("a") == 20
    beating = node("a")
    beating.status.conditions[0].last_heartbeat_time = NOW
    heartbeats.saw(version(beating, 6), None)
    assert heartbeats.silent_s("a") == 0


def test_another_node_of_the_same_name_begins_anew() -> None:
    time = Time()
    heartbeats = seen(time)
    rounds(heartbeats, time, 30, version(node("a"), 1), None)
    heartbeats.saw(version(node("a"), 9, uid="other"), None)
    assert heartbeats.silent_s("a") == 0


def test_after_a_pause_nobody_was_silent() -> None:
    time = Time()
    heartbeats = seen(time)
    time.now += 16
    assert heartbeats.silent_s("a") == heartbeats.watching_s() == 0
    assert heartbeats.begin_round()
    assert heartbeats.silent_s("a") == 0
    time.now += 15
    assert heartbeats.silent_s("a") == heartbeats.watching_s() == 15


def test_nodes_that_are_gone_are_forgotten() -> None:
    time = Time()
    heartbeats = seen(time)
    heartbeats.keep(())
    time.now += 10
    assert heartbeats.silent_s("a") == 0


@pytest.mark.parametrize(
    ("alive", "lost", "state"),
    [
        (0, 0, ZoneState.NORMAL),
        (3, 0, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL),
        (1, 2, ZoneState.NORMAL),  # two are too few
        (2, 3, ZoneState.PARTIAL),
        (9, 11, ZoneState.PARTIAL),
        (10, 11, ZoneState.NORMAL),
    ],
)
def test_the_state_of_a_zone(alive: int, lost: int, state: ZoneState) -> None:
    assert Count(alive, lost).state(0.55) is state


def test_the_rate_of_a_zone() -> None:
    rates = Rates()
    assert rates.of(ZoneState.NORMAL, 1000) == rates.of(ZoneState.FULL, 3) == 0.1
    assert rates.of(ZoneState.PARTIAL, 51) == 0.01
    assert rates.of(ZoneState.PARTIAL, 50) == 0.0


def test_a_bucket_gives_one_and_then_its_rate() -> None:
    time = Time()
    bucket = Bucket(time, 0.1)
    assert [bucket.take(), bucket.take()] == [True, False]
    time.now += 9.9
    assert not bucket.take()
    time.now += 0.2
    assert [bucket.take(), bucket.take()] == [True, False]
    time.now += 1000
    bucket.set_rate(0.0)
    assert not bucket.take()
    bucket.set_rate(0.1)
    assert [bucket.take(), bucket.take()] == [True, False]  # what was saved up is no more than one


def test_no_zone_is_given_up_while_nobody_is_alive() -> None:
    zones = Zones(Time(), Rates())
    lost, alive = node("a", ready=False, zone="x"), node("b", zone="y")
    assert not zones.may_give_up(lost)  # nobody has looked
    zones.update([lost, alive], lambda _: False)
    assert zones.may_give_up(lost)
    assert not zones.may_give_up(lost)
    zones = Zones(Time(), Rates())
    zones.update([lost, alive], lambda _: True)
    assert (zones.holding, zones.disrupted) == (True, False)
    assert not zones.may_give_up(lost)
    assert not zones.update([lost], lambda _: False)
    assert zones.disrupted
    assert zones.update([lost, alive], lambda _: False)
    assert not zones.update([], lambda _: False)
    assert not zones.disrupted


def test_conditions_that_say_unknown_already_are_left_alone() -> None:
    lost = when_silent(made(Node, "a"), NOW)
    assert lost is not None
    assert {each.type for each in lost} == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    again = made(Node, "a", status={"conditions": msgspec.to_builtins(lost)})
    assert when_silent(again, "2027-01-01T00:00:00Z") is None


def test_taints_that_are_there_keep_the_moment_they_came() -> None:
    there = with_taints([GONE], no_schedule=["a"], no_execute="b", now=NOW)
    assert there is not None
    assert there[0] is GONE
    assert with_taints(there, no_schedule=["a"], no_execute="b", now="2027-01-01T00:00:00Z") is None


def test_a_pod_that_is_told_twice_keeps_the_first_moment() -> None:
    conditions = disrupted(pod("a"), "One", "first", NOW)
    assert conditions is not None
    told = pod("a", status={"conditions": msgspec.to_builtins(conditions)})
    assert disrupted(told, "One", "first", "2027-01-01T00:00:00Z") is None
    other = disrupted(told, "Two", "second", "2027-01-01T00:00:00Z")
    assert other is not None
    assert [(each.reason, each.last_transition_time) for each in other] == [("Two", NOW)]
