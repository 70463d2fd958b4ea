"""How long things took, counted for whoever asks (nodeagent/server/metrics.py): plain numbers, no library."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

#: Seconds; the kubelet's bounds for operations of the runtime, up to what a pull takes.
BOUNDS_S = (0.005, 0.0125, 0.03125, 0.078125, 0.1953125, 0.48828125, 1.220703125, 3.0517578125, 7.62939453125, 30.0)


class Timing:
    """Of one kind of thing. The last of `counts` is of those beyond every bound."""

    __slots__ = ("counts", "errors", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.errors = 0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    @contextmanager
    def measured(self) -> Iterator[None]:
        """What ends with an exception counts as an error too."""
        began_s = perf_counter()
        try:
            yield
        except BaseException:
            self.errors += 1
            raise
        finally:
            self.observe(perf_counter() - began_s)
