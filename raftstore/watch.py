"""The watch hub: every change to everyone who asked for it, with etcd's six guarantees.

Ordered, unique and reliable: a watcher has one place, the next revision it is owed; what enters its buffer
begins there and moves it on without a gap. Atomic: whole revisions enter at once. Resumable: any revision
that is not compacted can be started from. Bookmarkable: `progress_revision` says up to where nothing is
missing, and never more than what was taken justifies.

A watcher is *synced* (owed the next revision: `publish` hands it events), *behind* (`step` catches it up
from the state, in bounded pieces, as fast as its buffer empties) or *waiting* for a revision to come. A
synced watcher whose buffer is full is cancelled with the revision to resume from; one that is behind is
simply not read for. All watchers share one `Event` per change. Nothing here blocks, sleeps or owns a task:
`on_ready` says that `take` has something.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from .errors import InvalidRequest, SlowWatcher, TooManyRequests, WatchCanceled, WatchCompacted
from .intervals import RangeIndex
from .limits import WATCH_BUFFER_BYTES_MAX, WATCH_BUFFER_EVENTS_MAX, WATCHERS_MAX
from .model import ALL_FROM, Event, KeyValue
from .watcher import Place, Selector, Watcher, size_of

#: One step of catching up: how many watchers, and how much history.
STEP_WATCHERS_MAX = 64
STEP_REVISIONS_MAX = 256
STEP_BYTES_MAX = 512 * 1024


class History(Protocol):
    """What the hub needs of the state machine."""

    @property
    def revision(self) -> int: ...
    @property
    def compact_revision(self) -> int: ...
    def events(
        self, start_revision: int, key: bytes, range_end: bytes, *, revisions_max: int, bytes_max: int
    ) -> tuple[list[Event], int]: ...
    def value_at(self, key: bytes, mod_revision: int) -> KeyValue | None: ...


class _Group:
    """Synced watchers of one selector: matched, filtered and counted once for all of them."""

    __slots__ = ("pending", "selector", "watchers")

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.watchers: dict[Watcher, None] = {}
        self.pending: list[Event] = []  # of the publish under way


class WatchHub:
    """All watchers of one replica. `on_work` is called when `step` has something to do again."""

    def __init__(self, machine: History, *, on_work: Callable[[], None] | None = None) -> None:
        self._machine = machine
        self._on_work = on_work
        self._revision = machine.revision
        self._groups: dict[Selector, _Group] = {}
        self._by_key: dict[bytes, dict[_Group, None]] = {}  # groups of exactly one key
        self._by_range: RangeIndex[_Group] = RangeIndex()
        self._behind: dict[Watcher, None] = {}  # with room in their buffers, in turn
        self._waiting: list[tuple[int, int, Watcher]] = []  # heap of (start revision, number, watcher)
        self._watchers: dict[Watcher, None] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def revision(self) -> int:
        """The newest revision published."""
        return self._revision

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something."""
        return bool(self._behind)

    # --- watchers come and go ---

    def watch(
        self,
        key: bytes,
        range_end: bytes = b"",
        *,
        start_revision: int = 0,
        puts: bool = True,
        deletes: bool = True,
        prev_kv: bool = False,
        on_ready: Callable[[], None],
        buffer_events_max: int = WATCH_BUFFER_EVENTS_MAX,
        buffer_bytes_max: int = WATCH_BUFFER_BYTES_MAX,
    ) -> Watcher:
        """Watch a key or range from a revision on; 0 is the next one, and one to come is waited for.

        `on_ready` is called, never from within this call, when `take` has something to give or to raise and
        once when the watcher has caught up; it must not raise. Raises WatchCompacted, InvalidRequest,
        TooManyRequests.
        """
        if not key:
            raise InvalidRequest("the key to watch is empty")
        if start_revision < 0:
            raise InvalidRequest(f"start_revision {start_revision} is negative")
        if len(self._watchers) >= WATCHERS_MAX:
            raise TooManyRequests(f"there are {WATCHERS_MAX} watchers, which is the limit")
        start = start_revision or self._revision + 1
        if start < self._machine.compact_revision:
            raise _compacted(start, self._machine.compact_revision)
        watcher = Watcher(
            self,
            Selector(key, range_end, puts, deletes, prev_kv),
            start,
            on_ready,
            events_max=buffer_events_max,
            bytes_max=buffer_bytes_max,
        )
        self._watchers[watcher] = None
        self._place(watcher)
        return watcher

    def _place(self, watcher: Watcher) -> None:
        """Put a watcher where its next revision says it belongs."""
        following = self._revision + 1
        if watcher.next_revision == following:
            self._join(watcher)
        elif watcher.next_revision < following:
            watcher.place = Place.BEHIND
            self._schedule(watcher)
        else:
            watcher.place = Place.WAITING
            heapq.heappush(self._waiting, (watcher.next_revision, next(self._numbers), watcher))

    def _schedule(self, watcher: Watcher) -> None:
        """Let `step` read for a watcher that is behind, if its buffer has room."""
        if watcher.has_room:
            had_work = bool(self._behind)
            self._behind[watcher] = None
            if not had_work and self._on_work is not None:
                self._on_work()

    def _join(self, watcher: Watcher) -> None:
        selector = watcher.selector
        group = self._groups.get(selector)
        if group is None:
            group = self._groups[selector] = _Group(selector)
            if selector.range_end:
                self._by_range.add(selector.key, selector.end, group)
            else:
                self._by_key.setdefault(selector.key, {})[group] = None
        group.watchers[watcher] = None
        watcher.place = Place.SYNCED

    def _leave(self, watcher: Watcher) -> None:
        selector = watcher.selector
        group = self._groups[selector]
        del group.watchers[watcher]
        if group.watchers:
            return
        del self._groups[selector]
        if selector.range_end:
            self._by_range.remove(group)
            return
        of_key = self._by_key[selector.key]
        del of_key[group]
        if not of_key:
            del self._by_key[selector.key]

    def forget(self, watcher: Watcher) -> None:
        """The watcher is over: take it out of wherever it is. Idempotent."""
        if watcher.place is Place.SYNCED:
            self._leave(watcher)
        elif watcher.place is Place.WAITING:
            self._waiting = [entry for entry in self._waiting if entry[2] is not watcher]
            heapq.heapify(self._waiting)
        self._behind.pop(watcher, None)
        self._watchers.pop(watcher, None)
        watcher.place = Place.ENDED

    def has_taken(self, watcher: Watcher) -> None:
        """The watcher's buffer was emptied: one that is behind can be read for again."""
        if watcher.place is Place.BEHIND:
            self._schedule(watcher)

    # --- new events ---

    def publish(self, events: Sequence[Event], revision: int) -> None:
        """Hand out what an apply did: whole revisions, in order, that bring the state to `revision`."""
        self._revision = revision
        touched = self._match(events)
        full: list[Watcher] = []
        reached: list[Watcher] = []
        for group in touched:
            pending = self._complete(group.selector, group.pending)
            group.pending = []
            size_bytes = sum(map(size_of, pending))
            for watcher in group.watchers:
                (reached if watcher.push(pending, size_bytes) else full).append(watcher)
        for watcher in full:
            self._end(watcher, _too_slow(watcher, self._machine.compact_revision), drop=True)
        while self._waiting and self._waiting[0][0] <= revision + 1:
            self._place(heapq.heappop(self._waiting)[2])
        for watcher in reached:
            watcher.signal()

    def _match(self, events: Iterable[Event]) -> list[_Group]:
        """The groups that the events concern, each with its own of them pending."""
        touched: list[_Group] = []
        by_key, by_range = self._by_key, self._by_range
        ranges = len(by_range)
        for event in events:
            groups: list[_Group] = list(by_key.get(event.kv.key, ()))
            if ranges:
                groups += by_range.containing(event.kv.key)
            for group in groups:
                if group.selector.wants(event):
                    if not group.pending:
                        touched.append(group)
                    group.pending.append(event)
        return touched

    def _complete(self, selector: Selector, events: list[Event]) -> list[Event]:
        """Add the previous values where they are asked for and still there."""
        if not selector.prev_kv:
            return events
        return [self._with_previous(event) if event.previous_revision else event for event in events]

    def _with_previous(self, event: Event) -> Event:
        previous = self._machine.value_at(event.kv.key, event.previous_revision)
        return Event(event.type, event.kv, event.previous_revision, previous)

    # --- the past ---

    def step(self) -> bool:
        """Read a piece of history for watchers that are behind; True while there is more to do."""
        chosen = list(itertools.islice(self._behind, STEP_WATCHERS_MAX))
        if not chosen:
            return False
        for watcher in chosen:  # to the end of the line
            del self._behind[watcher]
        chosen = [watcher for watcher in chosen if not self._outrun(watcher)]
        if chosen:
            for watcher in self._catch_up(chosen):
                watcher.signal()
        return bool(self._behind)

    def _outrun(self, watcher: Watcher) -> bool:
        """End a watcher whose next revision was compacted before it could be read."""
        if watcher.place is Place.ENDED:  # by an owner that was told of another's end just now
            return True
        compact_revision = self._machine.compact_revision
        if watcher.next_revision >= compact_revision:
            return False
        self._end(watcher, _compacted(watcher.next_revision, compact_revision), drop=False)
        return True

    def _catch_up(self, chosen: list[Watcher]) -> list[Watcher]:
        """Read once for all of them; those that have something to be told."""
        start = min(watcher.next_revision for watcher in chosen)
        key, range_end = _span(watcher.selector for watcher in chosen)
        events, following = self._machine.events(
            start, key, range_end, revisions_max=STEP_REVISIONS_MAX, bytes_max=STEP_BYTES_MAX
        )
        following = min(following, self._revision + 1)  # the state may be ahead of what was published
        shared: dict[tuple[Selector, int], list[Event]] = {}
        reached: list[Watcher] = []
        for watcher in chosen:
            if watcher.next_revision < following:
                share = (watcher.selector, watcher.next_revision)
                if share not in shared:
                    shared[share] = self._piece(events, watcher, following)
                if self._deliver(watcher, shared[share], following):
                    reached.append(watcher)
            if watcher.place is Place.BEHIND and watcher.has_room:
                self._behind[watcher] = None
        return reached

    def _piece(self, events: list[Event], watcher: Watcher, following: int) -> list[Event]:
        first, selector = watcher.next_revision, watcher.selector
        mine = [event for event in events if first <= event.kv.mod_revision < following and selector.matches(event)]
        return self._complete(selector, mine)

    def _deliver(self, watcher: Watcher, events: list[Event], following: int) -> bool:
        watcher.advance(events, sum(map(size_of, events)), following)
        if following == self._revision + 1:
            self._join(watcher)
        return bool(events) or watcher.place is Place.SYNCED

    # --- ends ---

    def rebase(self, machine: History) -> None:
        """The state was replaced by a snapshot: every watcher is caught up from the new one.

        A watcher that is ahead of the new state has seen what this state does not hold, and is cancelled.
        """
        self._behind, self._waiting = {}, []
        owed = [(watcher, watcher.next_revision) for watcher in self._watchers]
        for watcher, following in owed:
            if watcher.place is Place.SYNCED:
                self._leave(watcher)
                watcher.place = Place.BEHIND
                watcher.advance([], 0, following)
        self._machine, self._revision = machine, machine.revision
        for watcher, following in owed:
            if watcher.place is Place.BEHIND and following > machine.revision + 1:
                self._end(watcher, _replaced(machine), drop=False)
            elif watcher.place is not Place.ENDED:  # by an owner that was told of an end before
                self._place(watcher)
                watcher.signal()

    def close(self, reason: str = "the store is shutting down") -> None:
        """Cancel every watcher with the revision to resume from."""
        for watcher in list(self._watchers):
            self._end(watcher, WatchCanceled(reason, resume_revision=watcher.next_revision), drop=False)

    def _end(self, watcher: Watcher, error: WatchCanceled, *, drop: bool) -> None:
        self.forget(watcher)
        watcher.end(error, drop=drop)


def _span(selectors: Iterable[Selector]) -> tuple[bytes, bytes]:
    """The smallest range that holds all of them."""
    every = list(selectors)
    if any(selector.range_end == ALL_FROM for selector in every):
        return min(selector.key for selector in every), ALL_FROM
    return min(selector.key for selector in every), max(selector.end for selector in every)


def _compacted(revision: int, compact_revision: int) -> WatchCompacted:
    return WatchCompacted(
        f"revision {revision} is compacted, the oldest to watch from is {compact_revision}",
        resume_revision=compact_revision,
        compact_revision=compact_revision,
    )


def _too_slow(watcher: Watcher, compact_revision: int) -> SlowWatcher:
    resume_revision = watcher.first_owed_revision
    return SlowWatcher(
        f"the watcher's buffer is full: take faster, or resume from revision {resume_revision}",
        resume_revision=resume_revision,
        compact_revision=compact_revision,
    )


def _replaced(machine: History) -> WatchCanceled:
    return WatchCanceled(
        f"the state was replaced by that of revision {machine.revision}: list anew",
        resume_revision=machine.revision + 1,
        compact_revision=machine.compact_revision,
    )
