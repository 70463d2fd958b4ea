"""Numbers of the controllers for Prometheus. One set for the life of the process, whoever leads how often.

Names are those of Kubernetes' components where they have such a number, so that dashboards and alerts for them work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from apiserver.client.recorder import WRITTEN

Made = TypeVar("Made", Counter, Gauge, Histogram)

#: Seconds; from what a look takes to what nobody should have to wait.
BUCKETS_S = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each number, which nobody reads

LATENESS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """Every number is made when it is asked for first, and is the same one after that."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._found: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return self._made(name, lambda: Counter(name, text, labels, registry=self.registry), Counter)

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return self._made(name, lambda: Gauge(name, text, labels, registry=self.registry), Gauge)

    def histogram(
        self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = BUCKETS_S
    ) -> Histogram:
        return self._made(
            name, lambda: Histogram(name, text, labels, registry=self.registry, buckets=buckets), Histogram
        )

    def queue(self, name: str) -> QueueMetrics:
        return QueueMetrics(self, name)

    def _made(self, name: str, make: Callable[[], Made], type_: type[Made]) -> Made:
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = make()
        assert isinstance(found, type_), f"{name} is a number of another type"
        return found


def event_counts(metrics: Metrics) -> Callable[[str], None]:
    """What became of each event that was told (Recorder)."""
    written = metrics.counter("kmini_events_written_total", "Events written to the API")
    dropped = metrics.counter("kmini_events_dropped_total", "Events that were not written", ("why",))

    def counted(outcome: str) -> None:
        (written if outcome == WRITTEN else dropped.labels(outcome)).inc()

    return counted


class QueueMetrics:
    """What one work queue counts."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        labels = ("name",)
        self._adds = metrics.counter("workqueue_adds_total", "Names added to a work queue", labels).labels(name)
        self._retries = metrics.counter("workqueue_retries_total", "Failures that are tried again", labels).labels(name)
        self._depth = metrics.gauge("workqueue_depth", "Names that wait in a work queue", labels).labels(name)
        self._waits = metrics.histogram(
            "workqueue_queue_duration_seconds", "How long a name waits in a work queue", labels
        ).labels(name)
        self._works = metrics.histogram(
            "workqueue_work_duration_seconds", "How long one look at a name takes", labels
        ).labels(name)

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def depth(self, number: int) -> None:
        self._depth.set(number)

    def waited(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._works.observe(seconds)
