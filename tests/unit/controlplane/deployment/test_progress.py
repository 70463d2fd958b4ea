"""What the status of a Deployment says, and when a roll-out counts as failed: no I/O."""

from __future__ import annotations

from typing import Any

import pytest
from deployment_views import rolling, sized, view, wish

from apiserver.api.apps import DeploymentCondition, DeploymentStatus, ReplicaSetCondition
from apiserver.api.times import now_text
from controlplane.controllers.deployment import conditions as said
from controlplane.controllers.deployment.progress import next_look_s, rollout_status
from controlplane.controllers.deployment.status import status_of
from controlplane.controllers.deployment.view import View
from controlplane.runtime.clock import Clock

NOW = 1_800_000_000.0
CLOCK = Clock(wall=lambda: NOW, monotonic=lambda: 0.0)
NOW_TEXT = now_text(lambda: NOW)


def ago(seconds: float) -> str:
    return now_text(lambda: NOW - seconds)


def progressing(reason: str, status: str = "True", *, age_s: float = 10, message: str = "") -> DeploymentCondition:
    moment = ago(age_s)
    return DeploymentCondition(
        type="Progressing", status=status, reason=reason, message=message,
        last_update_time=moment, last_transition_time=moment,
    )  # fmt: skip


def before(found: View, condition: DeploymentCondition | None = None, **counts: Any) -> View:
    """The Deployment's status as it was written last."""
    conditions = [] if condition is None else [condition]
    found.deployment.status = DeploymentStatus(conditions=conditions, **counts)
    return found


def shown(status: DeploymentStatus, type_: str = "Progressing") -> tuple[str, str, str] | None:
    known = said.find(status.conditions, type_)
    return None if known is None else (known.status, known.reason, known.message)


# --- counts ---------------------------------------------------------------------------------------------


def test_counts_are_sums_over_the_replica_sets() -> None:
    owner = wish(10)
    owner.metadata.generation = 4
    owner.status.collision_count = 2
    status = status_of(view(owner, sized("new", 4, 1, ready=2), sized("a", 5, 4), sized("b", 2, 2, pods=3)), NOW_TEXT)
    assert (status.observed_generation, status.collision_count) == (4, 2)
    assert (status.replicas, status.updated_replicas) == (12, 4)
    assert (status.ready_replicas, status.available_replicas) == (8, 7)
    assert status.unavailable_replicas == 4


def test_more_available_than_wished_for_is_none_unavailable() -> None:
    assert status_of(view(wish(3), sized("new", 3, 5)), NOW_TEXT).unavailable_replicas == 0


@pytest.mark.parametrize(("up", "reason"), [(7, "MinimumReplicasUnavailable"), (8, "MinimumReplicasAvailable")])
def test_it_is_available_with_all_but_those_that_may_be_missing(up: int, reason: str) -> None:
    status = status_of(view(wish(10, rolling(3, 2)), sized("new", 10, up)), NOW_TEXT)
    found = shown(status, "Available")
    assert found is not None
    assert found[1] == reason
    assert found[0] == ("True" if up == 8 else "False")


# --- progress -------------------------------------------------------------------------------------------


def test_a_roll_out_begins_with_its_replica_set() -> None:
    seen = before(view(wish(3), sized("new", 3, 0, pods=0)))
    created = shown(rollout_status(seen, CLOCK, created=True))
    assert created == ("True", "NewReplicaSetCreated", 'Created new replica set "new"')
    assert shown(rollout_status(seen, CLOCK)) == ("True", "FoundNewReplicaSet", 'Found new replica set "new"')


@pytest.mark.parametrize(
    "was",
    [{"updated_replicas": 1, "replicas": 1}, {"updated_replicas": 2, "replicas": 4}, {"ready_replicas": 0}],
    ids=["more new pods", "fewer old ones", "more ready"],
)
def test_each_step_renews_the_time(was: dict[str, int]) -> None:
    counts = {"replicas": 3, "updated_replicas": 2, "ready_replicas": 1, "available_replicas": 1} | was
    seen = before(view(wish(3), sized("new", 2, 1), sized("a", 1, 0)), progressing("ReplicaSetUpdated"), **counts)
    status = rollout_status(seen, CLOCK)
    assert shown(status) == ("True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')
    condition = said.find(status.conditions, "Progressing")
    assert condition is not None
    assert (condition.last_update_time, condition.last_transition_time) == (NOW_TEXT, ago(10))


def test_no_step_leaves_the_condition_alone() -> None:
    counts = {"replicas": 3, "updated_replicas": 2, "ready_replicas": 1, "available_replicas": 1}
    condition = progressing("ReplicaSetUpdated")
    seen = before(view(wish(3), sized("new", 2, 1), sized("a", 1, 0)), condition, **counts)
    assert said.find(rollout_status(seen, CLOCK).conditions, "Progressing") == condition


def test_all_pods_new_and_available_is_complete() -> None:
    seen = before(view(wish(3), sized("new", 3), sized("a", 0)), progressing("ReplicaSetUpdated"))
    status = rollout_status(seen, CLOCK)
    assert shown(status) == ("True", "NewReplicaSetAvailable", 'ReplicaSet "new" has successfully progressed.')
    assert next_look_s(seen, status, CLOCK) is None


@pytest.mark.parametrize("reason", ["ReplicaSetUpdated", "NewReplicaSetCreated", "DeploymentResumed"])
def test_the_deadline_passes(reason: str) -> None:
    owner = wish(3, progressDeadlineSeconds=60)
    late = before(view(owner, sized("new", 3, 0)), progressing(reason, age_s=61), replicas=3, updated_replicas=3)
    expected = ("False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.')
    status = rollout_status(late, CLOCK)
    assert shown(status) == expected
    assert next_look_s(late, status, CLOCK) is None
    early = before(view(owner, sized("new", 3, 0)), progressing(reason, age_s=20), replicas=3, updated_replicas=3)
    status = rollout_status(early, CLOCK)
    assert shown(status) == ("True", reason, "")
    assert next_look_s(early, status, CLOCK) == 41


def test_a_roll_out_that_is_late_may_still_get_on() -> None:
    late = progressing("ProgressDeadlineExceeded", "False", age_s=99)
    seen = before(view(wish(3), sized("new", 3, 1)), late, replicas=3, updated_replicas=3)
    assert shown(rollout_status(seen, CLOCK)) == (
        "True", "ReplicaSetUpdated", 'ReplicaSet "new" is progressing.'
    )  # fmt: skip


def test_what_was_complete_stays_so_when_a_pod_is_lost() -> None:
    message = 'ReplicaSet "new" has successfully progressed.'
    condition = progressing("NewReplicaSetAvailable", age_s=10_000, message=message)
    seen = before(view(wish(3), sized("new", 3, 2)), condition, replicas=3, updated_replicas=3, available_replicas=3)
    status = rollout_status(seen, CLOCK)
    assert shown(status) == ("True", "NewReplicaSetAvailable", message)
    assert next_look_s(seen, status, CLOCK) is None


def test_what_was_said_of_another_replica_set_is_over() -> None:
    """Whoever created the new one may have died before he said so: its deadline counts all the same."""
    message = 'ReplicaSet "old" has successfully progressed.'
    condition = progressing("NewReplicaSetAvailable", age_s=10_000, message=message)
    seen = before(view(wish(3), sized("new", 1, 0), sized("old", 3)), condition, replicas=4, updated_replicas=1,
                  ready_replicas=3, available_replicas=3)  # fmt: skip
    status = rollout_status(seen, CLOCK)
    assert shown(status) == ("True", "FoundNewReplicaSet", 'Found new replica set "new"')
    assert next_look_s(seen, status, CLOCK) == 601


@pytest.mark.parametrize("deadline", [None, 2**31 - 1])
def test_without_a_deadline_nothing_is_said_of_progress(deadline: int | None) -> None:
    owner = wish(3)
    owner.spec.progress_deadline_seconds = deadline
    seen = before(view(owner, sized("new", 3, 0)), progressing("ReplicaSetUpdated"))
    status = rollout_status(seen, CLOCK)
    assert shown(status) is None
    assert next_look_s(seen, status, CLOCK) is None


# --- pause, failures ------------------------------------------------------------------------------------


def paused(condition: DeploymentCondition | None, *, by_now: bool) -> tuple[str, str, str] | None:
    owner = wish(3, progressDeadlineSeconds=600, paused=by_now)
    return shown(status_of(before(view(owner, sized("new", 3, 0)), condition), NOW_TEXT))


def test_a_pause_is_said_and_its_end_too() -> None:
    assert paused(progressing("ReplicaSetUpdated"), by_now=True) == (
        "Unknown", "DeploymentPaused", "Deployment is paused"
    )  # fmt: skip
    assert paused(progressing("DeploymentPaused", "Unknown"), by_now=False) == (
        "Unknown", "DeploymentResumed", "Deployment is resumed"
    )  # fmt: skip
    late = progressing("ProgressDeadlineExceeded", "False")
    assert paused(late, by_now=True) == ("False", "ProgressDeadlineExceeded", "")


def test_failures_of_replica_sets_are_told_those_of_the_new_one_first() -> None:
    new, old = sized("new", 1, 0), sized("old", 3)
    failure = ReplicaSetCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="quota")
    failure.last_transition_time = ago(5)
    old.status.conditions = [failure]
    status = rollout_status(view(wish(3), new, old), CLOCK)
    assert shown(status, "ReplicaFailure") == ("True", "FailedCreate", "quota")
    new.status.conditions = [
        ReplicaSetCondition(type="ReplicaFailure", status="True", reason="FailedDelete", message="x")
    ]
    status = rollout_status(view(wish(3), new, old), CLOCK)
    assert shown(status, "ReplicaFailure") == ("True", "FailedDelete", "x")
    new.status.conditions = old.status.conditions = []
    seen = view(wish(3), new, old)
    seen.deployment.status = status
    assert shown(rollout_status(seen, CLOCK), "ReplicaFailure") is None


def test_a_condition_keeps_the_time_of_its_last_change_of_status() -> None:
    known = [progressing("A", "True", age_s=50)]
    same = said.put(known, said.Said(type="Progressing", status="True", reason="B", message="b", at=NOW_TEXT))
    assert (same[0].last_update_time, same[0].last_transition_time) == (NOW_TEXT, ago(50))
    other = said.put(known, said.Said(type="Progressing", status="False", reason="B", message="b", at=NOW_TEXT))
    assert other[0].last_transition_time == NOW_TEXT
    assert known[0].reason == "A"
