"""Moments and spans of time, as Kubernetes and Go write them.

Moments are RFC 3339 in UTC, to the second (`2026-01-31T12:00:00Z`, a Time) or to the microsecond
(`2026-01-31T12:00:00.000000Z`, a MicroTime); other offsets and fractions are read, never written. Spans are Go's
(`1h30m`, `500ms`), in whole nanoseconds, or the short ages kubectl prints. Clocks are handed
in, so that tests own them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

#: Wall clock: seconds since the epoch. Only for what people read; intervals need a monotonic one.
Clock = Callable[[], float]

TIME_CHARACTERS_MAX = 64
DURATION_CHARACTERS_MAX = 64
DURATION_NS_MAX = 2**63 - 1

_MOMENTS_REMEMBERED = 256
_NS = 10**9
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_time_re = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]+))?"
    r"(?:Z|([-+])([0-9]{2}):([0-9]{2}))"
)
_duration_part_re = re.compile(r"([0-9]*+)(?:\.([0-9]*+))?+([^0-9.]*+)")
_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,  # the micro sign and the Greek letter
    "ms": 10**6,
    "s": _NS,
    "m": 60 * _NS,
    "h": 3600 * _NS,
}


def now_text(clock: Clock = time.time) -> str:
    """The moment as a Time."""
    return time.strftime(_TIME_FORMAT, time.gmtime(clock()))


def now_micro_text(clock: Clock = time.time) -> str:
    """The moment as a MicroTime."""
    return micro_time_text(datetime.fromtimestamp(clock(), UTC))


def time_text(moment: datetime) -> str:
    """A Time; what is finer than a second is cut off."""
    return _in_utc(moment).isoformat(timespec="seconds").replace("+00:00", "Z")


def micro_time_text(moment: datetime) -> str:
    """A MicroTime."""
    return _in_utc(moment).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """RFC 3339 with any offset and fraction, in UTC; what is finer than a microsecond is cut off. ValueError if not."""
    match = _time_re.fullmatch(text) if len(text) <= TIME_CHARACTERS_MAX else None
    if match is None:
        raise ValueError(_time_error(text))
    year, month, day, hour, minute, second = (int(each) for each in match.groups()[:6])
    microsecond = int((match[7] or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond, _offset(match))
        return _in_utc(moment)
    except (ValueError, OverflowError):
        raise ValueError(_time_error(text)) from None


def canonical_time(text: str) -> str:
    """A Time in UTC with seconds, as Kubernetes stores it. ValueError as `parse_time`."""
    return _canonical_time(text) if len(text) <= TIME_CHARACTERS_MAX else time_text(parse_time(text))


@lru_cache(_MOMENTS_REMEMBERED)
def _canonical_time(text: str) -> str:
    """Remembered: when one object was made, others are too."""
    return time_text(parse_time(text))


def canonical_micro_time(text: str) -> str:
    """A MicroTime in UTC with six digits, as Kubernetes stores it. ValueError as `parse_time`."""
    return micro_time_text(parse_time(text))


def is_time(text: str) -> list[str]:
    """What is wrong with a Time or a MicroTime, as the rules of `names` say it; [] when it is fine."""
    try:
        parse_time(text)
    except ValueError as error:
        return [str(error)]
    return []


#: Any fraction will do: clients leave zeros out.
is_micro_time = is_time


def _offset(match: re.Match[str]) -> timezone:
    if match[8] is None:
        return UTC
    hours, minutes = int(match[9]), int(match[10])
    if hours > 24 or minutes > 59:
        raise ValueError("offset out of range")
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if match[8] == "-" else span)


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _shown(text: str) -> str:
    return f'"{text[:TIME_CHARACTERS_MAX]}"'


def _time_error(text: str) -> str:
    return f'parsing time {_shown(text)} as "2006-01-02T15:04:05Z07:00": not a time of RFC 3339'


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration: signed numbers with units, such as `1h30m`, `1.5s`, `-500ms`. ValueError if not."""
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0
    if not unsigned or len(text) > DURATION_CHARACTERS_MAX:
        raise ValueError(f"time: invalid duration {_shown(text)}")
    total, position = 0, 0
    while position < len(unsigned):
        part, position = _duration_part(text, unsigned, position)
        total += part
    if total > DURATION_NS_MAX:
        raise ValueError(f"time: invalid duration {_shown(text)}")
    return -total if text[0] == "-" else total


def _duration_part(text: str, unsigned: str, position: int) -> tuple[int, int]:
    """Nanoseconds of one number and unit, and where the next one begins."""
    match = _duration_part_re.match(unsigned, position)
    whole, fraction, unit = (match[1], match[2] or "", match[3]) if match else ("", "", "")
    if match is None or not (whole or fraction):
        raise ValueError(f"time: invalid duration {_shown(text)}")
    if not unit:
        raise ValueError(f"time: missing unit in duration {_shown(text)}")
    if unit not in _UNITS_NS:
        raise ValueError(f"time: unknown unit {_shown(unit)} in duration {_shown(text)}")
    return int(whole + fraction) * _UNITS_NS[unit] // 10 ** len(fraction), match.end()


def format_duration(nanoseconds: int) -> str:
    """A Go duration: `1h30m0s`, `1.5s`, `500ms`, `0s`."""
    sign, amount = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if amount == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if amount < _UNITS_NS[unit] * 1000:
            return f"{sign}{_decimal(amount, _UNITS_NS[unit])}{unit}"
    minutes, rest = divmod(amount, _UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, _NS)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}" if rest else str(whole)


def human_age(seconds: float) -> str:
    """An age of two or three figures, as kubectl prints it: `119s`, `5m10s`, `3h20m`, `47h`, `2d3h`, `2y35d`.

    Up to two seconds before zero count as now: clocks of two machines differ.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 3:
        return _pair(minutes, "m", whole % 60, "s") if minutes < 10 else f"{minutes}m"
    if hours < 48:
        return _pair(hours, "h", minutes % 60, "m") if hours < 8 else f"{hours}h"
    if days < 2 * 365:
        return _pair(days, "d", hours % 24, "h") if days < 8 else f"{days}d"
    return _pair(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
