"""The API server's numbers for Prometheus: request latency by verb, resource and code, what is in flight, watches.

Requests are counted in cells by their labels: one is a look-up, a search in the bounds and two sums. The number of
label combinations is bounded by the table of resources; what is no resource counts under its first path segment, as far
as that is ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
COMBINATIONS_MAX = 20_000


class _Cell:
    """Requests of one verb, resource and code. The last of `counts` is of those beyond every bound."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0


class RequestMetrics(Collector):
    """One per server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._cells: dict[tuple[str, str, int], _Cell] = {}
        registry.register(self)

    def observe(self, verb: str, resource: str, code: int, seconds: float) -> None:
        cell = self._cells.get((verb, resource, code))
        if cell is None:
            if len(self._cells) >= COMBINATIONS_MAX:
                verb = resource = "other"
            cell = self._cells.setdefault((verb, resource, code), _Cell())
        cell.counts[bisect_left(BUCKETS_S, seconds)] += 1
        cell.seconds += seconds

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Time to answer a request, watches left out",
            labels=("verb", "resource", "code"),
        )
        bounds = [*map(floatToGoString, BUCKETS_S), "+Inf"]
        for (verb, resource, code), cell in self._cells.items():
            buckets = list(zip(bounds, map(float, accumulate(cell.counts)), strict=True))
            family.add_metric((verb, resource, str(code)), buckets=buckets, sum_value=cell.seconds)
        yield family


Gauges = Callable[[], Iterable[tuple[str, str, dict[str, float]]]]


class GaugeCollector(Collector):
    """Numbers read when asked. `read` gives (name, help, label value → number); "" is no label."""

    def __init__(self, read: Gauges, label: str, *, counters: bool = False) -> None:
        self._read = read
        self._label = label
        self._family = CounterMetricFamily if counters else GaugeMetricFamily

    def collect(self) -> Iterable[Metric]:
        for name, text, values in self._read():
            family = self._family(name, text, labels=[self._label])
            for label, value in values.items():
                family.add_metric([label], value)
            yield family
