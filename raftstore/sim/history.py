"""What the clients of a run asked for and what they were told: the input of the checkers.

An operation that ended definitely unsuccessful (`FAILED`) must never have taken effect; one without an
answer, or with an indefinite error (`UNKNOWN`), may have, once, at any time after it began. Every value
written in a run is written by one operation only, so a value names its write.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..model import KeyValue


class Kind(enum.Enum):
    PUT = "put"
    DELETE = "delete"
    SWAP = "swap"  # a transaction: if the key's mod revision is the expected one put, else read
    GET = "get"
    RANGE = "range"
    LOCAL_GET = "local get"
    MULTI = "multi"  # a transaction that puts several keys at once
    GRANT = "grant"
    KEEP_ALIVE = "keep-alive"
    REVOKE = "revoke"
    COMPACT = "compact"


WRITES = frozenset({Kind.PUT, Kind.DELETE, Kind.SWAP, Kind.MULTI, Kind.GRANT, Kind.REVOKE, Kind.COMPACT})
LINEARIZABLE_READS = frozenset({Kind.GET, Kind.RANGE})


class Outcome(enum.Enum):
    UNKNOWN = "unknown"
    OK = "ok"
    FAILED = "failed"


@dataclass(slots=True)
class Operation:
    """One request. Times are virtual seconds; `completed_s` is infinite while no answer came."""

    number: int
    client: int
    replica: int
    kind: Kind
    key: bytes
    invoked_s: float
    range_end: bytes = b""
    values: dict[bytes, bytes] = field(default_factory=dict)  # what a write writes, by key
    expected_revision: int = 0  # SWAP: the mod revision compared with (0: the key does not exist)
    expected_value: bytes | None = None  # SWAP: the value the client knows to stand at that revision
    lease: int = 0
    ttl_s: int = 0
    completed_s: float = math.inf
    outcome: Outcome = Outcome.UNKNOWN
    error: str = ""
    revision: int = 0  # of the answer's header
    succeeded: bool = False  # SWAP
    deleted: int = 0
    read: tuple[KeyValue, ...] = ()  # what a read, or a failed swap, returned
    count: int = 0

    def __str__(self) -> str:
        told = f"{self.outcome.value} at {self.completed_s:.6f} revision {self.revision}"
        return f"#{self.number} {self.kind.value} {self.key!r} by client {self.client} at {self.invoked_s:.6f}: {told}"


class History:
    """Operations in the order they were invoked."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.watches: list[WatchLog] = []

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def add(self, operation: Operation) -> Operation:
        self.operations.append(operation)
        return operation

    def with_outcome(self, *outcomes: Outcome) -> list[Operation]:
        return [operation for operation in self.operations if operation.outcome in outcomes]


@dataclass(slots=True, frozen=True)
class WatchedEvent:
    """One event as a watcher got it. `value` None is a delete; `previous` is None unless it was asked for."""

    revision: int
    key: bytes
    value: bytes | None
    version: int
    previous: KeyValue | None = None


@dataclass(slots=True, frozen=True)
class WatchBatch:
    """A list of events delivered together."""

    received_s: float
    events: tuple[WatchedEvent, ...]


@dataclass(slots=True, frozen=True)
class WatchProgress:
    received_s: float
    revision: int


@dataclass(slots=True)
class WatchSegment:
    """One watch on one replica, from its creation to its end."""

    replica: int
    start_revision: int
    received: list[WatchBatch | WatchProgress] = field(default_factory=list)
    compacted_revision: int = 0  # it ended because this was compacted


@dataclass(slots=True)
class WatchLog:
    """One watcher over all its resumptions."""

    client: int
    key: bytes
    range_end: bytes
    previous_wanted: bool = False
    segments: list[WatchSegment] = field(default_factory=list)
