"""The statistics of a benchmark: a wrong percentile or ratio would be published as fact."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmini.bench.figures import Aim, Row, Unit, Verdict, median, percentile, shown

figures = st.lists(st.floats(min_value=0, max_value=1e9), min_size=1, max_size=50)


def test_percentile_is_the_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 100


def test_p99_of_twenty_is_the_slowest() -> None:
    values = [*[1.0] * 19, 7.0]
    assert percentile(values, 0.99) == 7.0


@given(values=figures, share=st.floats(min_value=0.001, max_value=1.0))
def test_percentile_is_the_smallest_value_that_covers_the_share(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    covered = sum(value <= found for value in values)
    below = sum(value < found for value in values)
    assert covered >= share * len(values) * (1 - 1e-9)
    assert below < share * len(values) * (1 + 1e-9)


@given(values=figures)
def test_median_has_half_of_the_values_on_each_side(values: list[float]) -> None:
    middle = median(values)
    assert sum(value <= middle for value in values) * 2 >= len(values)
    assert sum(value >= middle for value in values) * 2 >= len(values)


def test_median_of_an_even_number_is_between_the_middle_two() -> None:
    assert median([4.0, 1.0, 3.0, 2.0]) == 2.5


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_percentile_refuses_a_share_that_means_nothing(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_no_values_have_no_middle() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def row(ours: tuple[float, ...], peer: tuple[float, ...], aim: Aim | None) -> Row:
    return Row(key="k", title="t", unit=Unit.RATE, ours=ours, peer=peer, aim=aim)


def test_ratio_is_ours_over_the_peers_by_medians() -> None:
    assert row((10.0, 20.0, 1000.0), (5.0, 10.0, 0.1), None).ratio == 4.0


def test_aims_judge_the_exact_ratio() -> None:
    assert row((1.999,), (1.0,), Aim(at_least=2.0)).verdict is Verdict.MISSED
    assert row((2.0,), (1.0,), Aim(at_least=2.0)).verdict is Verdict.MET
    assert row((1.001,), (1.0,), Aim(at_most=1.0)).verdict is Verdict.MISSED
    assert row((1.0,), (1.0,), Aim(at_most=1.0)).verdict is Verdict.MET


def test_a_row_without_an_aim_is_only_reported() -> None:
    assert row((1.0,), (1.0,), None).verdict is Verdict.REPORTED


def test_a_peer_that_did_nothing_has_no_ratio() -> None:
    assert row((1.0,), (0.0,), None).ratio == math.inf
    assert row((0.0,), (0.0,), None).ratio == 1.0


def test_an_aim_has_one_direction() -> None:
    with pytest.raises(ValueError, match="either"):
        Aim()
    with pytest.raises(ValueError, match="either"):
        Aim(at_most=1.0, at_least=1.0)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, Unit.SECONDS, "1.23 ms"),
        (1.5, Unit.SECONDS, "1.50 s"),
        (12345.6, Unit.RATE, "12,346/s"),
        (1536.0, Unit.BYTES, "1.50 KiB"),
        (3 * 1024 * 1024, Unit.BYTES, "3.0 MiB"),
    ],
)
def test_figures_are_shown_in_the_unit_a_person_would_choose(value: float, unit: Unit, text: str) -> None:
    assert shown(value, unit) == text
