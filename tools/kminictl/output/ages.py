"""How long ago something was, as kubectl says it: the coarser the longer (`apimachinery/util/duration`)."""

from __future__ import annotations

from datetime import UTC, datetime

UNKNOWN = "<unknown>"
MINUTE_S, HOUR_S, DAY_S, YEAR_S = 60, 3600, 86_400, 365 * 86_400


def human(seconds: float) -> str:
    """`45s`, `3m20s`, `5h`, `2d4h`, `3y20d`. A little below zero is a clock that differs: 0s."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * MINUTE_S:
        return f"{max(whole, 0)}s"
    if whole < 10 * MINUTE_S:
        return _two(whole, MINUTE_S, "m", 1, "s")
    if whole < 3 * HOUR_S:
        return f"{whole // MINUTE_S}m"
    if whole < 8 * HOUR_S:
        return _two(whole, HOUR_S, "h", MINUTE_S, "m")
    if whole < 2 * DAY_S:
        return f"{whole // HOUR_S}h"
    if whole < 8 * DAY_S:
        return _two(whole, DAY_S, "d", HOUR_S, "h")
    if whole < 2 * YEAR_S:
        return f"{whole // DAY_S}d"
    if whole < 8 * YEAR_S:
        return _two(whole, YEAR_S, "y", DAY_S, "d")
    return f"{whole // YEAR_S}y"


def _two(whole: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = whole % large // small
    return f"{whole // large}{large_unit}" + (f"{rest}{small_unit}" if rest else "")


def parse(moment: object) -> datetime | None:
    """A time of the API; None for what is none."""
    if not isinstance(moment, str) or not moment:
        return None
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return None


def since(moment: object, now: datetime | None = None) -> str:
    """The age of a time of the API: `3m20s`, or `<unknown>`."""
    then = parse(moment)
    if then is None:
        return UNKNOWN
    return human(((now or datetime.now(UTC)) - then).total_seconds())


def rfc1123(moment: object) -> str:
    """`Mon, 02 Jan 2006 15:04:05 +0000`, in local time as kubectl shows it."""
    then = parse(moment)
    return then.astimezone().strftime("%a, %d %b %Y %H:%M:%S %z") if then else ""


def duration_s(text: str) -> float:
    """Go's notation: `1h30m`, `500ms`, `10s`; a bare number is seconds. Raises ValueError."""
    import re

    if re.fullmatch(r"-?\d+", text):
        return float(text)
    if not re.fullmatch(r"-?(\d+(\.\d+)?(ns|us|ms|s|m|h))+", text):
        raise ValueError(f'time: invalid duration "{text}"')
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    total = sum(float(number) * units[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text))
    return -total if text.startswith("-") else total
