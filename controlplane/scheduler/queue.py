"""Pods that wait for a node: which comes next, and which are left alone until something changes for them.

A pod is known once, by its uid, and is in one place:

- active: to be decided now; higher priority first, then who has waited longest.
- backoff: was tried and may be tried again after a time that doubles, 1 s to 10 s.
- unschedulable: no node will do, and nothing has happened since that may help. Events move it (hints.py), and whatever
  was missed does after UNSCHEDULABLE_MAX_S.
- gated: has scheduling gates.
- deciding, binding: somebody works on it.

An event that comes while a pod is being decided counts for it: the decision may not have seen it. There are never more
pods here than the informer's copy of the cluster holds, which has a bound; the events kept for pods that are being
decided are at most EVENTS_MAX, and whoever missed one of more is tried again. Times are of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import heapq
from collections import deque
from collections.abc import Callable

from apiserver.client.watching import is_later

from .hints import NO_HINTS, ClusterEvent, Hints
from .pod_info import PodInfo, Template

BACKOFF_FIRST_S, BACKOFF_LONGEST_S = 1.0, 10.0
UNSCHEDULABLE_MAX_S = 300.0
SWEEP_S = 30.0
EVENTS_MAX = 4_096


class Place(enum.Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    DECIDING = "deciding"
    BINDING = "binding"
    GONE = "gone"


Helps = Callable[[PodInfo, Hints, ClusterEvent], bool]
#: Pods of one template that the same keeps out wait together: an event is weighed once for all of them.
Group = tuple[Template, Hints]


class QueuedPod:
    """A pod that waits. `since`: when it came to where it is. `attempts`: decisions so far."""

    __slots__ = ("attempts", "first_seen", "group", "hints", "info", "number", "place", "seen", "since", "until")

    def __init__(self, info: PodInfo, now: float) -> None:
        self.info = info
        self.place = Place.GONE
        self.first_seen = now
        self.since = now
        self.until = 0.0  # when its backoff ends
        self.attempts = 0
        self.hints = NO_HINTS
        self.group: Group | None = None  # whom it waits with
        self.number = 0  # of its entry in a heap; entries with other numbers are stale
        self.seen = 0  # the last event before its decision began

    def __repr__(self) -> str:
        return f"QueuedPod({self.info.namespace}/{self.info.name}, {self.place.value}, attempts={self.attempts})"


class SchedulingQueue:
    """For one event loop. `pop` waits; everything else returns at once. `helps` weighs an event (hints.Weighing)."""

    def __init__(self, clock: Callable[[], float], helps: Helps) -> None:
        self._clock = clock
        self._helps = helps
        self._pods: dict[str, QueuedPod] = {}
        self._active: list[tuple[int, float, int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._waiting: dict[Group, dict[str, QueuedPod]] = {}
        self._counts = dict.fromkeys(Place, 0)
        self._events: deque[tuple[int, ClusterEvent]] = deque(maxlen=EVENTS_MAX)
        self._last_event = 0
        self._number = 0
        self._swept = clock()
        self._some = asyncio.Event()

    # --- what there is --------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: object) -> bool:
        return uid in self._pods

    def count(self, place: Place) -> int:
        return self._counts[place]

    def find(self, uid: str) -> QueuedPod | None:
        return self._pods.get(uid)

    @property
    def idle(self) -> bool:
        """Nothing to decide now, and nobody works on anything."""
        return not any(self._counts[place] for place in (Place.ACTIVE, Place.DECIDING, Place.BINDING))

    # --- what the informer says -----------------------------------------------------------------------

    def put(self, info: PodInfo) -> None:
        """The pod is like this now and has no node."""
        queued = self._pods.get(info.uid)
        if queued is None:
            queued = self._pods[info.uid] = QueuedPod(info, self._clock())
            self._activate(queued)
            return
        before = queued.info
        if is_later(before.resource_version, info.resource_version):
            return  # somebody has read it since
        changed = (info.template, info.priority, info.gates) != (before.template, before.priority, before.gates)
        queued.info = info
        if not changed or queued.place in (Place.DECIDING, Place.BINDING):
            if changed:
                queued.seen = -1  # what is being decided is another pod by now
            return
        if queued.place is Place.BACKOFF:
            return
        self._retry(queued)

    def remove(self, uid: str) -> None:
        """It is gone, ends, or has a node."""
        queued = self._pods.pop(uid, None)
        if queued is not None:
            self._move(queued, Place.GONE)

    def happened(self, event: ClusterEvent) -> int:
        """Move those that it may help. Returns how many."""
        self._last_event += 1
        if self._counts[Place.DECIDING]:
            self._events.append((self._last_event, event))
        found = [
            queued
            for (_, hints), group in self._waiting.items()
            if event.kind in hints.kinds and group and self._helps(next(iter(group.values())).info, hints, event)
            for queued in group.values()
        ]
        for queued in found:
            self._retry(queued)
        return len(found)

    # --- what the scheduler does ----------------------------------------------------------------------

    async def pop(self) -> QueuedPod:
        """The next to be decided."""
        while True:
            self.flush()
            if (found := self.take()) is not None:
                return found
            self._some.clear()
            due = self._next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self._clock())):
                    await self._some.wait()

    def take(self) -> QueuedPod | None:
        """As `pop`, without waiting: None when nothing is active."""
        while self._active:
            _, _, number, queued = heapq.heappop(self._active)
            if queued.place is Place.ACTIVE and queued.number == number:
                self._move(queued, Place.DECIDING)
                queued.seen = self._last_event
                queued.attempts += 1
                return queued
        return None

    def binding(self, queued: QueuedPod) -> None:
        """It was decided, and is being bound."""
        if queued.place is Place.DECIDING:
            self._move(queued, Place.BINDING)

    def unschedulable(self, queued: QueuedPod, hints: Hints) -> None:
        """No node will do. When something that may help has happened meanwhile it is tried again."""
        if queued.place is Place.GONE:
            return
        queued.hints = hints
        queued.until = self._clock() + self._backoff_s(queued)
        if self._missed(queued):
            self._retry(queued)
        else:
            self._move(queued, Place.UNSCHEDULABLE)
            queued.group = (queued.info.template, hints)
            self._waiting.setdefault(queued.group, {})[queued.info.uid] = queued

    def requeue(self, queued: QueuedPod, *, at_once: bool = False) -> None:
        """Try it again; it was no node that kept it out."""
        if queued.place is Place.GONE:
            return
        queued.until = 0.0 if at_once else self._clock() + self._backoff_s(queued)
        self._retry(queued)

    def flush(self) -> None:
        """What has waited long enough becomes active."""
        now = self._clock()
        while self._backoff and self._backoff[0][0] <= now:
            _, number, queued = heapq.heappop(self._backoff)
            if queued.place is Place.BACKOFF and queued.number == number:
                self._activate(queued)
        if now >= self._swept + SWEEP_S:
            self._swept = now
            everybody = [queued for group in self._waiting.values() for queued in group.values()]
            for queued in everybody:
                if now - queued.since >= UNSCHEDULABLE_MAX_S:
                    self._retry(queued)

    # --- places ---------------------------------------------------------------------------------------

    def _retry(self, queued: QueuedPod) -> None:
        if queued.until > self._clock() and not queued.info.gates:
            self._move(queued, Place.BACKOFF)
            heapq.heappush(self._backoff, (queued.until, queued.number, queued))
            self._some.set()
        else:
            self._activate(queued)

    def _activate(self, queued: QueuedPod) -> None:
        if queued.info.gates:
            self._move(queued, Place.GATED)
            return
        self._move(queued, Place.ACTIVE)
        heapq.heappush(self._active, (-queued.info.priority, queued.since, queued.number, queued))
        self._some.set()

    def _move(self, queued: QueuedPod, place: Place) -> None:
        if queued.place is Place.UNSCHEDULABLE:
            self._leave_group(queued)
        if queued.place is not Place.GONE:
            self._counts[queued.place] -= 1
        if place is not Place.GONE:
            self._counts[place] += 1
        if queued.place is Place.DECIDING and not self._counts[Place.DECIDING]:
            self._events.clear()
        self._number += 1
        queued.place, queued.number, queued.since = place, self._number, self._clock()

    def _leave_group(self, queued: QueuedPod) -> None:
        group, queued.group = queued.group, None
        assert group is not None
        members = self._waiting[group]
        del members[queued.info.uid]
        if not members:
            del self._waiting[group]

    def _missed(self, queued: QueuedPod) -> bool:
        """Whether something that may help it has happened since its decision began."""
        if queued.seen == self._last_event:
            return False
        oldest = self._events[0][0] if self._events else self._last_event + 1
        if oldest > queued.seen + 1:
            return True  # more happened than was kept
        return any(
            number > queued.seen and event.kind in queued.hints.kinds and self._helps(queued.info, queued.hints, event)
            for number, event in self._events
        )

    def _next_due(self) -> float | None:
        due = [self._backoff[0][0]] if self._backoff else []
        if self._counts[Place.UNSCHEDULABLE]:
            due.append(self._swept + SWEEP_S)
        return min(due, default=None)

    @staticmethod
    def _backoff_s(queued: QueuedPod) -> float:
        return min(BACKOFF_LONGEST_S, BACKOFF_FIRST_S * 2.0 ** min(queued.attempts - 1, 16))
