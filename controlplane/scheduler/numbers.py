"""What the scheduler counts, under Kubernetes' names."""

from __future__ import annotations

from controlplane.runtime.metrics import BUCKETS_S, Metrics

from .queue import Place, SchedulingQueue

DECISION_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"
_QUEUES = (Place.ACTIVE, Place.BACKOFF, Place.UNSCHEDULABLE, Place.GATED)


class Numbers:
    """Seconds throughout. `profile` is the scheduler's name."""

    def __init__(self, metrics: Metrics, profile: str) -> None:
        labels = ("result", "profile")
        attempts = metrics.counter("scheduler_schedule_attempts_total", "Decisions by what they came to", labels)
        durations = metrics.histogram(
            "scheduler_scheduling_attempt_duration_seconds", "How long they took", labels, buckets=DECISION_S
        )
        results = (SCHEDULED, UNSCHEDULABLE, ERROR)
        self._attempts = {result: attempts.labels(result, profile) for result in results}
        self._durations = {result: durations.labels(result, profile) for result in results}
        self._waits = metrics.histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From when a pod was seen first until it is bound",
            buckets=(*BUCKETS_S, 300.0, 1800.0),
        )
        pending = metrics.gauge("scheduler_pending_pods", "Pods that wait, by where", ("queue",))
        self._pending = {place: pending.labels(place.value) for place in _QUEUES}
        self._failed = metrics.counter("kmini_scheduler_bindings_failed_total", "Bindings that did not happen")

    def attempt(self, result: str, took_s: float) -> None:
        self._attempts[result].inc()
        self._durations[result].observe(took_s)

    def bound(self, waited_s: float) -> None:
        self._waits.observe(waited_s)

    def failed(self) -> None:
        self._failed.inc()

    def lengths(self, queue: SchedulingQueue) -> None:
        for place, gauge in self._pending.items():
            gauge.set(queue.count(place))
