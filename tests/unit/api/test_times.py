"""Moments, Go durations and the ages kubectl prints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api import times

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365 * 86400


def test_now_is_what_the_clock_says() -> None:
    assert times.now_text(lambda: 1_769_860_800.9) == "2026-01-31T12:00:00Z"
    assert times.now_micro_text(lambda: 1_769_860_800.5) == "2026-01-31T12:00:00.500000Z"


@pytest.mark.parametrize(
    ("text", "seconds", "micro"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:00.123456Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456Z"),
        ("2026-01-31T12:00:00.9999999Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.999999Z"),
        ("2026-01-31T12:00:00.5+02:00", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00.500000Z"),
        ("2026-01-31T23:30:00-05:30", "2026-02-01T05:00:00Z", "2026-02-01T05:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
    ],
)
def test_moments_are_brought_to_utc(text: str, seconds: str, micro: str) -> None:
    assert times.canonical_time(text) == seconds
    assert times.canonical_micro_time(text) == micro
    assert times.is_time(text) == times.is_micro_time(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00",
        "2026-01-31t12:00:00z",
        "2026-02-30T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00+25:00",
        "2026-01-31T12:00:00+02:60",
        "2026-01-31T12:00:00.Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "２026-01-31T12:00:00Z",
        "2026-01-31T12:00:00." + "1" * 1000 + "Z",
        "now",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert times.is_time(text) == [f'parsing time "{text[:64]}" as "2006-01-02T15:04:05Z07:00": not a time of RFC 3339']


moments = st.datetimes(datetime(1900, 1, 1), datetime(2999, 1, 1))


@given(moments, st.integers(-23 * 60, 23 * 60))
def test_moments_survive_writing_and_reading(moment: datetime, offset_minutes: int) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert times.parse_time(times.micro_time_text(there)) == there
    assert times.parse_time(times.time_text(there)) == there.astimezone(UTC).replace(microsecond=0)
    assert times.parse_time(there.isoformat()) == there


@pytest.mark.parametrize(
    ("text", "nanoseconds", "written"),
    [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("5s", 5_000_000_000, "5s"),
        ("+5s", 5_000_000_000, "5s"),
        ("-1m", -60_000_000_000, "-1m0s"),
        ("1h30m", 5_400_000_000_000, "1h30m0s"),
        ("500ms", 500_000_000, "500ms"),
        ("1.5s", 1_500_000_000, "1.5s"),
        (".5s", 500_000_000, "500ms"),
        ("1.s", 1_000_000_000, "1s"),
        ("1.1us", 1_100, "1.1µs"),
        ("1µs", 1_000, "1µs"),
        ("1μs", 1_000, "1µs"),
        ("100ns", 100, "100ns"),
        ("1m0.001s", 60_001_000_000, "1m0.001s"),
        ("2562047h47m16s", 9_223_372_036_000_000_000, "2562047h47m16s"),
    ],
)
def test_go_durations(text: str, nanoseconds: int, written: str) -> None:
    assert times.parse_duration(text) == nanoseconds
    assert times.format_duration(nanoseconds) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        ("1", 'time: missing unit in duration "1"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h 5m", 'time: unknown unit "h " in duration "1h 5m"'),
        ("2562048h", 'time: invalid duration "2562048h"'),
        ("1" * 65 + "s", f'time: invalid duration "{"1" * 64}"'),
    ],
)
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="time: ") as raised:
        times.parse_duration(text)
    assert str(raised.value) == message


@given(st.integers(-(2**63 - 1), 2**63 - 1))
def test_durations_survive_writing_and_reading(nanoseconds: int) -> None:
    assert times.parse_duration(times.format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (5 * MINUTE + 10, "5m10s"),
        (10 * MINUTE + 10, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 20 * MINUTE, "3h20m"),
        (8 * HOUR + 20 * MINUTE, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (2 * DAY + 3 * HOUR, "2d3h"),
        (8 * DAY + 3 * HOUR, "8d"),
        (100 * DAY, "100d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + 35 * DAY, "2y35d"),
        (8 * YEAR + 35 * DAY, "8y"),
    ],
)
def test_ages_are_shown_as_kubectl_shows_them(seconds: float, shown: str) -> None:
    assert times.human_age(seconds) == shown
