"""What outcomes in a row mean: a probe changes its mind only after so many of the other kind. Pure."""

from __future__ import annotations

from apiserver.api.core.probes import Probe

PERIOD_S, TIMEOUT_S, SUCCESSES, FAILURES = 10.0, 1.0, 1, 3


class Tally:
    """Of one probe of one container. `verdict` is None until enough outcomes agree."""

    __slots__ = ("_failures", "_last", "_run", "_successes", "verdict")

    def __init__(self, probe: Probe, verdict: bool | None) -> None:
        self.verdict = verdict
        self._successes = probe.success_threshold or SUCCESSES
        self._failures = probe.failure_threshold or FAILURES
        self._last: bool | None = None
        self._run = 0

    def count(self, good: bool) -> bool:
        """Whether the verdict changed."""
        self._run = self._run + 1 if good is self._last else 1
        self._last = good
        if self._run < (self._successes if good else self._failures) or self.verdict is good:
            return False
        self.verdict = good
        return True
