"""What was asked for and is not seen yet."""

from __future__ import annotations

import pytest
from controllers_world_objects import pod, replica_set

from apiserver.api.core.pod import Pod
from apiserver.client import Change
from controlplane.controllers.replicaset.expectations import (
    LOOK_AFTER_S,
    REST_S_MAX,
    REST_S_PER_REPLICA,
    Books,
    Expectations,
)
from controlplane.runtime import Request

WEB = Request("default", "web")


class Time:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def named(name: str, uid: str = "", *, ending: bool = False) -> Pod:
    metadata = {"uid": uid or name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {})
    return pod(name, metadata=metadata)


def nothing(name: str) -> Pod | None:
    return None


def test_a_creation_is_awaited_until_the_cache_shows_the_name() -> None:
    expectations = Expectations("u", Time())
    expectations.expect_creation("a")
    expectations.look(nothing)
    assert not expectations.fulfilled
    expectations.look(named)
    assert expectations.fulfilled


def test_a_creation_that_was_seen_and_is_gone_again_is_not_awaited() -> None:
    expectations = Expectations("u", Time())
    expectations.expect_creation("a")
    expectations.observe(Change("added", named("a")))
    expectations.look(nothing)
    assert expectations.fulfilled


def test_a_deletion_is_awaited_until_the_pod_is_gone_or_about_to_go() -> None:
    seen: list[Pod | None] = [None, named("a", ending=True), named("a", "another")]
    for found in seen:
        expectations = Expectations("u", Time())
        expectations.expect_deletion(named("a"))
        expectations.look(named)
        assert not expectations.fulfilled
        assert expectations.is_going(named("a"))
        expectations.look(lambda name, found=found: found)  # type: ignore[misc]
        assert expectations.fulfilled


def test_deletions_are_observed_by_uid() -> None:
    expectations = Expectations("u", Time())
    expectations.expect_deletion(named("a", "1"))
    expectations.observe(Change("deleted", named("a", "2")))
    expectations.observe(Change("updated", named("a", "1"), named("a", "1")))
    assert not expectations.fulfilled
    expectations.observe(Change("updated", named("a", "1", ending=True), named("a", "1")))
    assert expectations.fulfilled


def test_what_may_be_there_counts() -> None:
    expectations = Expectations("u", Time())
    expectations.expect_creation("a")
    expectations.expect_deletion(named("b"))
    assert expectations.uncounted == 1
    expectations.deleting["b"].unsure = True
    assert expectations.uncounted == 2


def test_the_oldest_says_when_the_api_is_asked() -> None:
    time = Time()
    expectations = Expectations("u", time)
    assert expectations.due_in_s() == LOOK_AFTER_S
    expectations.expect_creation("a")
    time.now_s += 10
    expectations.expect_creation("b")
    assert expectations.due_in_s() == LOOK_AFTER_S - 10
    assert not expectations.overdue(expectations.creating["a"])
    time.now_s += LOOK_AFTER_S - 10
    assert expectations.overdue(expectations.creating["a"])
    assert not expectations.overdue(expectations.creating["b"])
    expectations.await_on(expectations.creating["a"])
    assert expectations.due_in_s() == LOOK_AFTER_S - (LOOK_AFTER_S - 10)


def test_another_of_the_same_name_has_expectations_of_its_own() -> None:
    books = Books(Time())
    first = books.of(WEB, "1")
    first.expect_creation("a")
    assert books.of(WEB, "1") is first
    assert books.known(WEB, "2") is None
    assert books.of(WEB, "2").fulfilled
    books.close(WEB)
    assert books.known(WEB, "2") is None


def test_a_look_at_many_pods_is_followed_by_a_rest() -> None:
    time = Time()
    expectations = Expectations("u", time)
    owner = replica_set("web", 1000)
    owner.metadata.generation = 1
    assert expectations.rests_for_s(owner) == 0
    expectations.looked(owner)
    assert expectations.rests_for_s(owner) == pytest.approx(REST_S_PER_REPLICA * 1000)
    owner.metadata.generation = 2
    assert expectations.rests_for_s(owner) == 0
    owner.spec.replicas = 1_000_000
    expectations.looked(owner)
    assert expectations.rests_for_s(owner) == REST_S_MAX
    time.now_s += REST_S_MAX
    assert expectations.rests_for_s(owner) == 0
