"""Leases: never expired early, always expired in the end.

A client may rely on its lease for its TTL after it *sent* the last request (grant or keep-alive) that was
answered, measured by a clock that runs at most `rate_max` times too slow for it; leader changes, pauses
and clock jumps only prolong. A lease nobody keeps alive ends within its TTL and a bound after healing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..history import History, Kind, Operation, Outcome
from . import Violation

CHECKER = "lease"


@dataclass(slots=True, frozen=True)
class Expiry:
    """The first time any replica applied the leader's own revoke of a lease."""

    lease: int
    applied_s: float


def check(history: History, expiries: list[Expiry], *, rate_max: float) -> Iterator[Violation]:
    renewals: dict[int, list[Operation]] = {}
    for operation in history:
        if operation.kind in (Kind.GRANT, Kind.KEEP_ALIVE) and operation.outcome is Outcome.OK and operation.ttl_s > 0:
            renewals.setdefault(operation.lease, []).append(operation)
    for expiry in expiries:
        for renewal in renewals.get(expiry.lease, []):
            safe_until_s = renewal.invoked_s + renewal.ttl_s / rate_max
            if renewal.completed_s <= expiry.applied_s < safe_until_s:
                yield Violation(
                    CHECKER,
                    f"lease {expiry.lease:x} expired at {expiry.applied_s:.3f}, but {renewal} promised it until "
                    f"{safe_until_s:.3f} (TTL {renewal.ttl_s} s)",
                    expiry.applied_s,
                )
    yield from _kept_after_end(renewals, expiries)


def _kept_after_end(renewals: dict[int, list[Operation]], expiries: list[Expiry]) -> Iterator[Violation]:
    """A keep-alive begun after the expiry was applied cannot succeed."""
    ended = {expiry.lease: expiry.applied_s for expiry in reversed(expiries)}
    for lease, listed in renewals.items():
        for renewal in listed:
            if renewal.invoked_s > ended.get(lease, float("inf")) and renewal.kind is Kind.KEEP_ALIVE:
                yield Violation(CHECKER, f"{renewal} was answered after the lease had expired", renewal.completed_s)


def check_ended(alive: list[int], history: History, now_s: float, *, bound_s: float) -> Iterator[Violation]:
    """`alive` are the leases a healed leader still has at `now_s`, all clients silent since."""
    last_touched: dict[int, tuple[float, int]] = {}
    for operation in history:
        if operation.kind in (Kind.GRANT, Kind.KEEP_ALIVE):
            ended_s = min(operation.completed_s, now_s) if operation.outcome is Outcome.OK else operation.invoked_s
            last_s, ttl_s = last_touched.get(operation.lease, (0.0, 0))
            last_touched[operation.lease] = (max(last_s, ended_s), max(ttl_s, operation.ttl_s))
    for lease in alive:
        last_s, ttl_s = last_touched.get(lease, (0.0, 0))
        if now_s > last_s + ttl_s + bound_s:
            yield Violation(
                CHECKER, f"lease {lease:x} (TTL {ttl_s} s, last kept alive at {last_s:.3f}) still lives", now_s
            )
