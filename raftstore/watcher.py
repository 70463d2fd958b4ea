"""One watcher: what it wants to see, its place, and its bounded buffer.

The hub (watch.py) writes, the owner takes. What must always hold: the buffer is the whole revisions from
the first one not taken up to the one before `next_revision`, without those that the selector leaves out.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .errors import WatchCanceled
from .model import ALL_FROM, Event, EventType

#: What an event costs beside its key and values.
_EVENT_BYTES = 160
#: Above every key that can be stored.
_BEYOND_KEYS = b"\xff" * 1024
_PUT = EventType.PUT


class Selector(NamedTuple):
    """What a watcher wants to see. Watchers with equal selectors share all work."""

    key: bytes
    range_end: bytes
    puts: bool
    deletes: bool
    prev_kv: bool

    @property
    def end(self) -> bytes:
        """Exclusive."""
        if not self.range_end:
            return self.key + b"\0"
        return _BEYOND_KEYS if self.range_end == ALL_FROM else self.range_end

    def wants(self, event: Event) -> bool:
        return self.puts if event.type is _PUT else self.deletes

    def matches(self, event: Event) -> bool:
        return self.key <= event.kv.key < self.end and self.wants(event)


class Place(enum.Enum):
    SYNCED = "synced"  # owed the next revision that will be published
    BEHIND = "behind"
    WAITING = "waiting"  # for a revision to come
    ENDED = "ended"


class Hub(Protocol):
    @property
    def revision(self) -> int: ...
    def forget(self, watcher: Watcher) -> None: ...
    def has_taken(self, watcher: Watcher) -> None: ...


def size_of(event: Event) -> int:
    """Bytes an event is counted with in a buffer."""
    kv, previous = event.kv, event.prev_kv
    return _EVENT_BYTES + len(kv.key) + len(kv.value) + (len(previous.value) if previous is not None else 0)


class Watcher:
    """Made by `WatchHub.watch`. The owner calls `take` after `on_ready`, and `cancel` when done."""

    __slots__ = (
        "_bytes",
        "_bytes_max",
        "_count",
        "_error",
        "_events_max",
        "_hub",
        "_next",
        "_on_ready",
        "_pieces",
        "_signalled",
        "place",
        "selector",
    )

    def __init__(
        self,
        hub: Hub,
        selector: Selector,
        next_revision: int,
        on_ready: Callable[[], None],
        *,
        events_max: int,
        bytes_max: int,
    ) -> None:
        self.selector = selector
        self.place = Place.WAITING
        self._hub = hub
        self._next = next_revision
        self._on_ready = on_ready
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._pieces: list[list[Event]] = []  # lists are shared between watchers and never changed
        self._count = 0
        self._bytes = 0
        self._signalled = False
        self._error: WatchCanceled | None = None

    # --- for the owner ---

    def take(self) -> list[Event]:
        """What is buffered: whole revisions, in order. Call it until it is empty; do not change the list.

        Raises WatchCanceled (WatchCompacted, SlowWatcher) once the events before it are taken.
        """
        pieces, self._pieces = self._pieces, []
        self._count = self._bytes = 0
        self._signalled = False
        if pieces:
            self._hub.has_taken(self)
            return pieces[0] if len(pieces) == 1 else [event for piece in pieces for event in piece]
        if self._error is not None:
            raise self._error
        return []

    def cancel(self) -> None:
        """Stop: `on_ready` is not called and `take` gives nothing any more. Idempotent."""
        self._hub.forget(self)
        self._signalled = True
        self._error = None
        self._pieces = []
        self._count = self._bytes = 0

    @property
    def progress_revision(self) -> int:
        """Every event up to this revision has been taken. 0 while the watcher is still catching up or ended."""
        if self.place is Place.BEHIND or self.place is Place.ENDED:
            return 0
        return self._pieces[0][0].kv.mod_revision - 1 if self._pieces else self._hub.revision

    @property
    def next_revision(self) -> int:
        """The first revision that is neither taken nor buffered nor known to hold nothing of interest."""
        return self._hub.revision + 1 if self.place is Place.SYNCED else self._next

    @property
    def first_owed_revision(self) -> int:
        """The revision to resume from when the buffer is lost."""
        return self._pieces[0][0].kv.mod_revision if self._pieces else self.next_revision

    # --- for the hub ---

    @property
    def has_room(self) -> bool:
        """Whether catching up may go on: half a buffer is free."""
        return 2 * self._count < self._events_max and 2 * self._bytes < self._bytes_max

    def push(self, events: list[Event], size_bytes: int) -> bool:
        """Buffer events of a synced watcher. False: no room for them, and they were not taken in.

        An empty buffer takes anything: one revision may be larger than any buffer.
        """
        if self._pieces and (
            self._count + len(events) > self._events_max or self._bytes + size_bytes > self._bytes_max
        ):
            return False
        self._pieces.append(events)
        self._count += len(events)
        self._bytes += size_bytes
        return True

    def advance(self, events: list[Event], size_bytes: int, next_revision: int) -> None:
        """Buffer what was read from the past and move on."""
        if events:
            self._pieces.append(events)
            self._count += len(events)
            self._bytes += size_bytes
        self._next = next_revision

    def end(self, error: WatchCanceled, *, drop: bool) -> None:
        """No more events; `drop` gives the buffer up, whose first revision the error names."""
        if drop:
            self._pieces = []
            self._count = self._bytes = 0
        self._error = error
        self.signal()

    def signal(self) -> None:
        """Tell the owner, once until it takes."""
        if not self._signalled:
            self._signalled = True
            self._on_ready()
