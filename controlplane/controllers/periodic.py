"""Controllers that look at everything now and then: a sweep, a wait, and what is done about a sweep that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from apiserver.api.errors import ApiError, Fenced, ServiceUnavailable, Timeout, TooManyRequests, Unauthorized
from apiserver.client import Informer
from controlplane.runtime import Context
from controlplane.runtime.controller import synced
from controlplane.runtime.queue import RetryTiming

log = logging.getLogger("controlplane.periodic")

RETRY = RetryTiming(first_s=1.0, longest_s=60.0)
#: Many controllers begin with a term; not all of them have to look at everything in its first second.
SPREAD_S = 10.0
#: More writes than this refused in one sweep, and it is not about single objects.
REFUSED_MAX = 20
#: What is said of whoever asks, or of the server, and not of one object.
_OF_ALL = (Fenced, Unauthorized, TooManyRequests, ServiceUnavailable, Timeout)


class Sweep(Protocol):
    async def sweep(self) -> float:
        """Look at everything once. In how many seconds to look again."""
        ...


class Refusals:
    """Of one sweep: an object that the API does not let us write is no reason to leave all others as they are."""

    def __init__(self, controller: str) -> None:
        self._controller = controller
        self._number = 0

    def bear(self, error: ApiError, about: str) -> None:
        """Raises the error when it says nothing of this one object, or when there have been too many."""
        self._number += 1
        if isinstance(error, _OF_ALL) or self._number > REFUSED_MAX:
            raise error
        log.warning(
            "a write was refused, the sweep goes on",
            extra={"controller": self._controller, "about": about, "error": error.message},
        )


class Periodic:
    """A Part: sweeps until it is cancelled. Raises Fenced; what else goes wrong is logged and tried again."""

    def __init__(self, context: Context, name: str, sweep: Sweep, informers: Sequence[Informer[Any]] = ()) -> None:
        self.name = name
        self._sweep = sweep
        self._informers = informers
        self._random = context.random

    async def run(self) -> None:
        await synced(self._informers, self.name)
        await asyncio.sleep(self._random.uniform(0.0, SPREAD_S))
        failures = 0
        while True:
            wait_s = await self._try(failures)
            failures = 0 if wait_s is not None else failures + 1
            await asyncio.sleep(RETRY.wait_s(failures - 1, self._random) if wait_s is None else wait_s)

    async def _try(self, failures: int) -> float | None:
        try:
            return await self._sweep.sweep()
        except Fenced:
            raise
        except (ApiError, OSError, TimeoutError) as error:
            log.warning(
                "a sweep failed and is tried again",
                extra={"controller": self.name, "failures": failures + 1, "error": str(error)},
            )
            return None
        except Exception:  # a collector that is broken is no reason to stop all controllers
            log.exception("a sweep is broken", extra={"controller": self.name, "failures": failures + 1})
            return None
