"""The API server's numbers for Prometheus: request latency by verb, resource and code, what is in flight, watches.

Children of a histogram are kept by their labels, so that a request costs a look-up. The number of label combinations is
bounded by the table of resources; what is no resource counts under its first path segment, as far as that is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
COMBINATIONS_MAX = 20_000


class RequestMetrics:
    """One per server."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            "apiserver_request_duration_seconds",
            "Time to answer a request, watches left out",
            ("verb", "resource", "code"),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def observe(self, verb: str, resource: str, code: int, seconds: float) -> None:
        key = (verb, resource, code)
        observe = self._children.get(key)
        if observe is None:
            if len(self._children) >= COMBINATIONS_MAX:
                key = ("other", "other", code)
            observe = self._children[key] = self._histogram.labels(key[0], key[1], str(code)).observe
        observe(seconds)


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
