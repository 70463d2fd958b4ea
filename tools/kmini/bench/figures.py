"""The arithmetic of a benchmark: percentiles, medians over rounds, ratios and aims. Pure.

A row compares one figure of two sides. Each side is measured in several rounds; a row's figure is the median
of its rounds, so that one noisy round moves nothing. The ratio is always ours over the peer's, whichever
direction is better; the aim says which it is.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import msgspec


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `share` of the values do not exceed.

    Never interpolates, so it is a value that was measured. Raises ValueError on no values or a share
    outside (0, 1].
    """
    if not values:
        raise ValueError("percentile of no values")
    if not 0 < share <= 1:
        raise ValueError(f"percentile: share {share} is not in (0, 1]")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError on no values."""
    if not values:
        raise ValueError("median of no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


class Unit(enum.Enum):
    """How a figure is stored (seconds, per second, bytes, share of a core) and so how it is shown."""

    SECONDS = "s"
    RATE = "per s"
    BYTES = "bytes"
    SHARE = "of a core"


class Verdict(enum.Enum):
    MET = "met"
    MISSED = "missed"
    REPORTED = "reported"


class Aim(msgspec.Struct, frozen=True):
    """A bound on the ratio of ours to the peer's; exactly one of the two is given."""

    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("an aim is either at_most or at_least")

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}x"
        return f">= {self.at_least:g}x"

    def judge(self, ratio: float) -> Verdict:
        """Judged on the exact ratio, not on the rounded one that is shown."""
        if self.at_most is not None:
            return Verdict.MET if ratio <= self.at_most else Verdict.MISSED
        assert self.at_least is not None
        return Verdict.MET if ratio >= self.at_least else Verdict.MISSED


class Bound(msgspec.Struct, frozen=True):
    """An aim on our figure itself, whatever a peer does: at most so many seconds or bytes, as `unit` says."""

    at_most: float
    unit: Unit

    def __str__(self) -> str:
        return f"<= {shown(self.at_most, self.unit)}"

    def judge(self, figure: float) -> Verdict:
        return Verdict.MET if figure <= self.at_most else Verdict.MISSED


class Least(msgspec.Struct, frozen=True):
    """The other direction: an aim on our figure itself, at least so many, as `unit` says."""

    at_least: float
    unit: Unit

    def __str__(self) -> str:
        return f">= {shown(self.at_least, self.unit)}"

    def judge(self, figure: float) -> Verdict:
        return Verdict.MET if figure >= self.at_least else Verdict.MISSED


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `ours` and `peer` hold one figure per round, in `unit`; `peer` may have none."""

    key: str
    title: str
    unit: Unit
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    peer_name: str = "etcd"
    aim: Aim | Bound | Least | None = None
    note: str = ""

    @property
    def ours_median(self) -> float:
        return median(self.ours)

    @property
    def peer_median(self) -> float:
        return median(self.peer)

    @property
    def ratio(self) -> float:
        """Ours over the peer's; infinite when the peer's figure is zero and ours is not, not a number without one."""
        if not self.peer:
            return math.nan
        if self.peer_median:
            return self.ours_median / self.peer_median
        return math.inf if self.ours_median else 1.0

    @property
    def verdict(self) -> Verdict:
        match self.aim:
            case None:
                return Verdict.REPORTED
            case Bound() | Least():
                return self.aim.judge(self.ours_median)
            case Aim():
                return self.aim.judge(self.ratio)


def shown(value: float, unit: Unit) -> str:
    """A figure with three or four significant digits, in the unit a person would choose."""
    if unit is Unit.RATE:
        return f"{value:,.0f}/s"
    if unit is Unit.SECONDS:
        return f"{value * 1000:.2f} ms" if value < 1 else f"{value:.2f} s"
    if unit is Unit.SHARE:
        return f"{value:.2%} of a core"
    if value >= 1024 * 1024:
        return f"{value / (1024 * 1024):,.1f} MiB"
    return f"{value / 1024:,.2f} KiB"
