"""When a request is sent again, and how long to wait before: decisions only.

Reads are sent again after anything that may pass. Writes only when it is certain that nothing happened: the request
never left, or a server refused it and said when to come back (429 and 503 with Retry-After). Everything else goes to
the caller, who alone knows whether doing it twice is harmless. Who may not (401, 403) is never asked again.
"""

from __future__ import annotations

from random import Random

import msgspec

from apiserver.api.errors import ApiError, ServiceUnavailable, Timeout, TooManyRequests

from .requests import Request
from .transport import TransportError

#: What an eviction that a disruption budget forbids says; trying again is up to whoever drains.
_BUDGET = "DisruptionBudget"


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Waits double from `first_s` to `longest_s`; half of each is chance, so that many clients do not move as one."""

    first_s: float = 0.05
    longest_s: float = 5.0

    def wait_s(self, failures: int, random: Random) -> float:
        full: float = min(self.longest_s, self.first_s * 2 ** min(failures, 30))
        return full / 2 + random.random() * full / 2


def may_resend(request: Request, error: ApiError | TransportError) -> bool:
    if isinstance(error, TransportError):
        return not (request.is_write and error.sent)
    if any(cause.reason == _BUDGET for cause in error.causes):
        return False
    if request.is_write:
        return error.definite and error.retry_after_s > 0 and isinstance(error, TooManyRequests | ServiceUnavailable)
    return isinstance(error, TooManyRequests | ServiceUnavailable | Timeout) or error.status_code == 502


def elsewhere(error: ApiError | TransportError) -> bool:
    """Another server may do better: this one is away, has no leader, or is not as far yet."""
    return not isinstance(error, TooManyRequests)


def wait_s(error: ApiError | TransportError, failures: int, backoff: Backoff, random: Random) -> float:
    """Before the next try. What the server asked for is the least, but another server need not be waited for."""
    own = backoff.wait_s(failures, random)
    if isinstance(error, TooManyRequests):
        return max(own, float(error.retry_after_s))
    return own
