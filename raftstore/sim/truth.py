"""What the replicas of a run agreed on: every entry, event and digest any of them applied.

Each replica reports what it applies. The first report of a log position is the truth; a later one that
differs is a violation of state-machine safety, whoever was right. Since every event of the run passes
through here, the other checkers can ask what the state was at any revision.
"""

from __future__ import annotations

import bisect
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from ..model import Event, EventType


@dataclass(slots=True, frozen=True)
class AppliedEntry:
    index: int
    term: int
    committed_term: int  # it was committed in this term at the latest
    checksum: int
    applied_s: float  # virtual time of the first replica that applied it
    replica: int


@dataclass(slots=True, frozen=True)
class TrueEvent:
    """One change, as every replica must have applied it."""

    revision: int
    key: bytes
    value: bytes | None  # None: a delete
    version: int
    create_revision: int
    lease: int


class Contradiction(Exception):
    """Two replicas did not apply the same thing."""


class Truth:
    def __init__(self) -> None:
        self.entries: dict[int, AppliedEntry] = {}
        self.digests: dict[int, tuple[bytes, int]] = {}  # by index: digest, first replica
        self.events: dict[int, tuple[TrueEvent, ...]] = {}  # by revision
        self.applied_s: dict[int, float] = {}  # by revision
        self.compact_revision = 0
        self._by_key: dict[bytes, list[TrueEvent]] = {}
        self._unsorted = False

    # --- reports

    def entry_applied(
        self, replica: int, index: int, term: int, payload: bytes, now_s: float, *, replica_term: int
    ) -> bool:
        """True when this is the first replica to apply the entry. Raises Contradiction."""
        checksum = zlib.crc32(payload)
        known = self.entries.get(index)
        if known is None:
            self.entries[index] = AppliedEntry(index, term, replica_term, checksum, now_s, replica)
            return True
        if (known.term, known.checksum) != (term, checksum):
            raise Contradiction(
                f"replica {replica} applied index {index} as (term {term}, crc {checksum:08x}), replica "
                f"{known.replica} as (term {known.term}, crc {known.checksum:08x})"
            )
        return False

    def events_applied(self, replica: int, events: Iterable[Event], now_s: float) -> None:
        """Events of whole revisions. Raises Contradiction when another replica applied others there."""
        by_revision: dict[int, list[TrueEvent]] = {}
        for event in events:
            true = _true_event(event)
            by_revision.setdefault(true.revision, []).append(true)
        for revision, listed in by_revision.items():
            known = self.events.get(revision)
            if known is None:
                self._learn(revision, tuple(listed), now_s)
            elif known != tuple(listed):
                raise Contradiction(f"replica {replica} applied at revision {revision} {listed}, others {list(known)}")

    def digest_seen(self, replica: int, index: int, digest: bytes) -> None:
        known, first = self.digests.setdefault(index, (digest, replica))
        if known != digest:
            raise Contradiction(
                f"digest of replica {replica} at index {index} is {digest.hex()}, of replica {first} {known.hex()}"
            )

    def _learn(self, revision: int, events: tuple[TrueEvent, ...], now_s: float) -> None:
        self.events[revision] = events
        self.applied_s[revision] = now_s
        for event in events:
            listed = self._by_key.setdefault(event.key, [])
            if listed and listed[-1].revision > revision:
                self._unsorted = True
            listed.append(event)

    # --- questions

    @property
    def last_revision(self) -> int:
        return max(self.events, default=1)

    def value_at(self, key: bytes, revision: int) -> TrueEvent | None:
        """The key as of `revision`; None when it did not exist."""
        self._sort()
        listed = self._by_key.get(key, [])
        position = bisect.bisect_right(listed, revision, key=lambda event: event.revision)
        if position == 0 or listed[position - 1].value is None:
            return None
        return listed[position - 1]

    def range_at(self, key: bytes, range_end: bytes, revision: int) -> list[TrueEvent]:
        """Every key of the range as of `revision`, in key order."""
        found = (self.value_at(known, revision) for known in sorted(self._by_key) if in_range(known, key, range_end))
        return [event for event in found if event is not None]

    def between(self, key: bytes, range_end: bytes, first: int, last: int) -> list[TrueEvent]:
        """The events of a range from revision `first` to `last`, both included, in order."""
        revisions = sorted(revision for revision in self.events if first <= revision <= last)
        return [event for r in revisions for event in self.events[r] if in_range(event.key, key, range_end)]

    def by_value(self) -> dict[bytes, list[TrueEvent]]:
        """Events by the value they wrote."""
        found: dict[bytes, list[TrueEvent]] = {}
        for revision in sorted(self.events):
            for event in self.events[revision]:
                if event.value is not None:
                    found.setdefault(event.value, []).append(event)
        return found

    def _sort(self) -> None:
        if self._unsorted:
            for listed in self._by_key.values():
                listed.sort(key=lambda event: event.revision)
            self._unsorted = False


def in_range(candidate: bytes, key: bytes, range_end: bytes) -> bool:
    """Whether a key lies in an etcd range (see raftstore.model)."""
    if range_end == b"":
        return candidate == key
    if range_end == b"\0":
        return candidate >= key
    return key <= candidate < range_end


def _true_event(event: Event) -> TrueEvent:
    kv = event.kv
    if event.type is EventType.DELETE:
        return TrueEvent(kv.mod_revision, kv.key, None, 0, 0, 0)
    return TrueEvent(kv.mod_revision, kv.key, kv.value, kv.version, kv.create_revision, kv.lease)
