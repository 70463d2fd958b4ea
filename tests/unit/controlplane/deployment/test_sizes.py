"""How far a roll-out may stray, and the sizes it gives to ReplicaSets: tables, no I/O."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_world_objects import pod
from deployment_views import RECREATE, rolling, sized, view, wish

from apiserver.api.core.pod import Pod
from controlplane.controllers.deployment import recreate, scaling
from controlplane.controllers.deployment import rolling as rolls
from controlplane.controllers.deployment.sizes import bounds_of, share
from controlplane.controllers.deployment.view import available, pods_max, unready


@pytest.mark.parametrize(
    ("value", "total", "up", "down"),
    [
        (3, 10, 3, 3),
        (0, 10, 0, 0),
        (None, 10, 0, 0),
        ("25%", 10, 3, 2),
        ("25%", 4, 1, 1),
        ("25%", 1, 1, 0),
        ("25%", 0, 0, 0),
        ("100%", 7, 7, 7),
        ("1%", 1000, 10, 10),
        ("1%", 99, 1, 0),
        ("150%", 10, 15, 15),
        ("33%", 100, 33, 33),
    ],
)
def test_percentages_are_rounded_up_for_surge_and_down_for_unavailable(
    value: int | str | None, total: int, up: int, down: int
) -> None:
    assert share(value, total, up=True) == up
    assert share(value, total, up=False) == down


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, "25%", (0, 1)),  # both would be none: nothing could move
        (0, "25%", "25%", (0, 0)),
        (2, 0, 5, (0, 2)),  # not more than there are
        (5, 5, 0, (5, 0)),
    ],
)
def test_bounds_of_a_rolling_update(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    assert bounds_of(wish(replicas, rolling(surge, unavailable))) == expected


def test_recreate_has_no_bounds() -> None:
    assert bounds_of(wish(10, RECREATE)) == (0, 0)


# --- what is certain of a ReplicaSet --------------------------------------------------------------------


def test_what_is_not_observed_is_taken_for_the_worst() -> None:
    found = sized("a", 5, 4, observed=False)
    assert (available(found), unready(found), pods_max(found)) == (0, 0, None)
    found = sized("a", 5, 4, pods=7)
    assert (available(found), unready(found), pods_max(found)) == (4, 1, 7)


def test_what_is_about_to_go_is_not_available() -> None:
    assert available(sized("a", 3, 5)) == 3


def test_pods_that_are_ready_but_not_available_yet_are_not_given_up_as_unready() -> None:
    assert unready(sized("a", 5, 2, ready=4)) == 1


# --- rolling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "bounds", "new", "old", "expected"),
    [
        pytest.param(10, (3, 2), (0, 0), [(10, 10)], {"new": 3}, id="the new one grows first"),
        pytest.param(10, (0, 2), (0, 0), [(10, 10)], {"o0": 8}, id="without surge the old one shrinks first"),
        pytest.param(10, (3, 2), (3, 0), [(10, 10)], {"o0": 8}, id="then the old one shrinks"),
        pytest.param(10, (3, 0), (3, 0), [(10, 10)], {}, id="nothing may be missing: wait"),
        pytest.param(10, (3, 2), (5, 0), [(8, 8)], {}, id="new pods that are not available hold it up"),
        pytest.param(10, (3, 2), (5, 2), [(8, 8)], {"o0": 6}, id="new pods let old ones go"),
        pytest.param(10, (3, 2), (3, 0), [(10, 8)], {"o0": 8}, id="old pods that are not ready go first"),
        pytest.param(10, (3, 2), (3, 3), [(10, 4)], {"o0": 5}, id="no more unready ones than may go"),
        pytest.param(10, (3, 2), (3, 3), [(4, 4), (6, 3)], {"o0": 2, "o1": 3}, id="unready ones, then the oldest"),
        pytest.param(10, (0, 2), (2, 2), [(8, 10)], {"o0": 6}, id="those about to go do not count twice"),
        pytest.param(10, (3, 2), (12, 12), [], {"new": 10}, id="more than wished for"),
        pytest.param(10, (3, 2), (10, 10), [(2, 2)], {"o0": 0}, id="the last old ones"),
        pytest.param(10, (3, 2), (10, 10), [(0, 0)], {}, id="done"),
        pytest.param(0, (1, 1), (0, 0), [(5, 5)], {"o0": 0}, id="none wished for"),
        pytest.param(3, (1, 0), (1, 0), [(3, 3)], {}, id="one at a time: wait"),
        pytest.param(3, (1, 0), (1, 1), [(3, 3)], {"o0": 2}, id="one at a time: go"),
        pytest.param(3, (1, 0), (1, 1), [(2, 2)], {"new": 2}, id="one at a time: come"),
    ],
)
def test_steps_of_a_rolling_update(
    replicas: int,
    bounds: tuple[int, int],
    new: tuple[int, int],
    old: list[tuple[int, int]],
    expected: dict[str, int],
) -> None:
    """Pairs are size and available; the oldest ReplicaSet is the first."""
    others = [sized(f"o{number}", *each, pods=each[0], age=9 - number) for number, each in enumerate(old)]
    seen = view(wish(replicas, rolling(*bounds)), sized("new", *new), *others)
    assert rolls.next_sizes(seen) == expected


def test_pods_that_are_still_there_leave_no_room_for_new_ones() -> None:
    owner = wish(10, rolling(3, 2))
    assert rolls.next_sizes(view(owner, sized("new", 3, 3), sized("old", 8, 8, pods=10))) == {"old": 5}
    assert rolls.size_of_new(view(owner, sized("new", 3, 3), sized("old", 8, 8, pods=10))) == 3
    assert rolls.size_of_new(view(owner, sized("new", 3, 3), sized("old", 8, 8, pods=8))) == 5


def test_nobody_grows_beside_one_whose_pods_cannot_be_counted() -> None:
    owner = wish(10, rolling(3, 2))
    assert rolls.size_of_new(view(owner, None, sized("old", 2, 2, observed=False))) == 0
    assert rolls.size_of_new(view(owner, sized("new", 3), sized("old", 2, 2, observed=False))) == 3


def test_nobody_shrinks_for_one_whose_pods_cannot_be_counted() -> None:
    owner = wish(10, rolling(3, 2))
    assert rolls.next_sizes(view(owner, sized("new", 10, 10, observed=False), sized("old", 3, 3))) == {}
    assert rolls.next_sizes(view(owner, sized("new", 10, 10), sized("old", 3, 3, observed=False))) == {}


def test_a_first_replica_set_has_all_the_pods() -> None:
    assert rolls.size_of_new(view(wish(10), None)) == 10
    assert rolls.size_of_new(view(wish(0), None)) == 0


def test_a_next_one_begins_with_the_surge() -> None:
    assert rolls.size_of_new(view(wish(10, rolling(3, 2)), None, sized("old", 10))) == 3
    assert rolls.size_of_new(view(wish(10, rolling(0, 2)), None, sized("old", 10))) == 0


# --- recreate -------------------------------------------------------------------------------------------


def no_pods(found: object) -> list[Pod]:
    return []


def test_recreate_ends_all_old_pods_first() -> None:
    owner = wish(3, RECREATE)
    assert recreate.next_sizes(view(owner, sized("new", 0), sized("a", 2), sized("b", 1)), no_pods) == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    "old", [sized("old", 0, pods=1), sized("old", 0, observed=False)], ids=["one is left", "nobody knows"]
)
def test_recreate_waits_for_old_pods_to_be_gone(old: object) -> None:
    assert recreate.next_sizes(view(wish(3, RECREATE), sized("new", 0), old), no_pods) == {}  # type: ignore[arg-type]


@pytest.mark.parametrize(("phase", "expected"), [("Running", {}), ("Pending", {}), ("Failed", {"new": 3})])
def test_recreate_waits_for_pods_that_are_about_to_go(phase: str, expected: dict[str, int]) -> None:
    going = pod("p", status={"phase": phase}, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    seen = view(wish(3, RECREATE), sized("new", 0), sized("old", 0))
    assert recreate.next_sizes(seen, lambda found: [going]) == expected


def test_recreate_scales_what_there_is() -> None:
    assert recreate.next_sizes(view(wish(3, RECREATE), sized("new", 1)), no_pods) == {"new": 3}
    assert recreate.next_sizes(view(wish(3, RECREATE), sized("new", 3)), no_pods) == {}
    assert recreate.next_sizes(view(wish(1, RECREATE), sized("new", 3), sized("old", 0, pods=1)), no_pods) == {"new": 1}


# --- scaling --------------------------------------------------------------------------------------------


def scaled(replicas: int, bounds: tuple[int, int], new: int, *old: int, was: int) -> dict[str, int] | None:
    """All are available; the sizes were given for `was` replicas with the same bounds."""
    notes: dict[str, Any] = {"desired": str(was), "max": str(was + bounds[0])}
    others = [sized(f"o{number}", each, age=9 - number, **notes) for number, each in enumerate(old)]
    return scaling.next_sizes(view(wish(replicas, rolling(*bounds)), sized("new", new, **notes), *others), no_pods)


@pytest.mark.parametrize(
    ("replicas", "bounds", "new", "old", "was", "expected"),
    [
        pytest.param(12, (0, 1), 10, [0], 10, {"new": 12}, id="one alone grows"),
        pytest.param(5, (0, 1), 10, [0], 10, {"new": 5}, id="one alone shrinks"),
        pytest.param(12, (0, 1), 0, [10], 10, {"o0": 12}, id="an old one alone grows"),
        pytest.param(3, (0, 1), 0, [0], 0, {"new": 3}, id="the newest grows from nothing"),
        pytest.param(20, (0, 1), 5, [5], 10, {"new": 10, "o0": 10}, id="two halves grow"),
        pytest.param(5, (0, 1), 5, [5], 10, {"new": 3, "o0": 2}, id="two halves shrink: the oldest more"),
        pytest.param(12, (0, 1), 5, [8], 10, {"new": 5, "o0": 7}, id="towards fewer than there are"),
        pytest.param(0, (0, 1), 5, [5], 10, {"new": 0, "o0": 0}, id="to nothing"),
        pytest.param(20, (2, 0), 2, [10], 10, {"new": 4, "o0": 18}, id="with surge"),
        pytest.param(10, (2, 0), 2, [10], 10, {"new": 2, "o0": 10}, id="nothing to add"),
        pytest.param(15, (0, 1), 3, [4, 3], 10, {"new": 5, "o0": 6, "o1": 4}, id="three parts: the newest first"),
    ],
)
def test_proportional_scaling(
    replicas: int, bounds: tuple[int, int], new: int, old: list[int], was: int, expected: dict[str, int]
) -> None:
    result = scaled(replicas, bounds, new, *old, was=was)
    assert result == expected


def test_old_ones_go_when_the_new_one_has_all_that_is_wished_for() -> None:
    seen = view(wish(5), sized("new", 5, desired="5"), sized("a", 2, desired="9"), sized("b", 0))
    assert scaling.next_sizes(seen, no_pods) == {"a": 0}


def test_several_are_scaled_only_once_their_pods_can_be_counted() -> None:
    new = sized("new", 5, desired="10")
    assert scaling.next_sizes(view(wish(20), new, sized("old", 5, observed=False)), no_pods) is None
    assert scaling.next_sizes(view(wish(20), new, sized("old", 5, pods=6)), no_pods) is None


def test_one_grows_only_once_the_pods_of_others_are_gone() -> None:
    assert scaling.next_sizes(view(wish(5), sized("new", 3), sized("old", 0, pods=2)), no_pods) is None
    assert scaling.next_sizes(view(wish(2), sized("new", 3), sized("old", 0, pods=2)), no_pods) == {"new": 2}
    going = pod("p", status={"phase": "Running"})
    seen = view(wish(5, RECREATE), sized("new", 3), sized("old", 0))
    assert scaling.next_sizes(seen, lambda found: [going]) is None


def test_rounding_does_not_cost_a_pod_that_is_needed() -> None:
    notes: dict[str, Any] = {"desired": "10", "max": "12"}
    new = sized("new", 6, 0, **notes)
    old = [sized(f"o{number}", 2, age=9 - number, **notes) for number in range(3)]
    owner = wish(6, rolling(2, 0))
    sizes = scaling.next_sizes(view(owner, new, *old), no_pods)
    assert sizes is not None
    assert sum(sizes.values()) == 8
    assert sum(sizes[each.metadata.name] for each in old) == 6


@pytest.mark.parametrize(
    ("desired", "size", "expected"), [("3", 3, False), ("4", 3, True), ("", 3, False), ("4", 0, False), ("x", 3, False)]
)
def test_a_change_of_the_wished_number_is_seen_in_what_was_noted(desired: str, size: int, expected: bool) -> None:
    assert scaling.is_scaled(view(wish(3), sized("new", size, desired=desired))) is expected


def test_a_recreate_halfway_goes_on_instead_of_being_scaled() -> None:
    several = (sized("new", 2, desired="3"), sized("old", 1, desired="3"))
    assert not scaling.can_scale(view(wish(5, RECREATE), *several))
    assert scaling.can_scale(view(wish(5, rolling(1, 1)), *several))
    assert scaling.can_scale(view(wish(5, RECREATE), sized("new", 3, desired="3")))
