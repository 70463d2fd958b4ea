"""How long pods took from their creation until they ran, as the feed tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from apiserver.api.core.pod import Pod
from nodeagent.clock import Wall, age_s
from nodeagent.timings import Timing

if TYPE_CHECKING:
    from apiserver.client import Change

_RUNNING = "Running"
_PENDING = ("", "Pending")


class PodStarts:
    """`changed` hears of every change. Pods that ran before nobody timed."""

    def __init__(self, *, wall: Wall = time.time) -> None:
        self.timing = Timing()
        self._wall = wall
        self._waiting: set[str] = set()  # uids of pods that do not run yet

    def changed(self, change: Change[Pod]) -> None:
        pod = change.object
        uid, phase = pod.metadata.uid, pod.status.phase
        if change.type != "deleted" and phase in _PENDING:
            self._waiting.add(uid)
            return
        if uid in self._waiting:
            self._waiting.discard(uid)
            if phase == _RUNNING and change.type != "deleted":
                self.timing.observe(age_s(pod.metadata.creation_timestamp, self._wall))
