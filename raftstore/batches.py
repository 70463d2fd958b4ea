"""What goes into the next log entry: this replica's own requests and those forwarded to it, both in order.

A batch never passes ENTRY_BYTES_MAX or the number of requests that can be applied in one slice; when both
kinds wait, each gets at least half, so that neither starves the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .house import Done
from .limits import ENTRY_BYTES_MAX

BATCH_BYTES_MAX = ENTRY_BYTES_MAX - 64  # less the entry's own header


class Proposal:
    """One write of this replica. `done` None marks it as answered."""

    __slots__ = ("body", "deadline_s", "done", "installs", "sent", "sent_s", "sequence", "term", "wire")

    def __init__(self, body: bytes, done: Done, deadline_s: float, term: int) -> None:
        self.body = body  # the command, encoded
        self.done: Done | None = done
        self.deadline_s = deadline_s
        self.term = term  # not 0: only as the leader of this term, never forwarded or sent again
        self.sequence = 0  # 0: it has no name yet
        self.wire = b""  # the request: the body under its name
        self.sent = False  # whether the engine or a leader was ever given it
        self.sent_s = 0.0
        self.installs = 0  # the house's count when it was first sent


class Batch:
    __slots__ = ("forwarded_bytes", "own", "size", "wires")

    def __init__(self) -> None:
        self.wires: list[bytes] = []
        self.own: list[Proposal] = []
        self.size = 0
        self.forwarded_bytes = 0

    def add(self, wire: bytes) -> None:
        self.wires.append(wire)
        self.size += len(wire)


def take_batch(own: deque[Proposal], ready: Callable[[], bool], forwarded: deque[bytes], *, requests_max: int) -> Batch:
    """Move requests from the queues into a batch. `ready` says whether `own[0]` is there and has its name."""
    batch = Batch()
    share = 2 if forwarded else 1
    bytes_max, count_max = BATCH_BYTES_MAX // share, max(1, requests_max // share)
    while len(batch.wires) < count_max and ready() and batch.size + len(own[0].wire) <= bytes_max:
        batch.own.append(own[0])
        batch.add(own.popleft().wire)
    before = batch.size
    while forwarded and len(batch.wires) < requests_max and batch.size + len(forwarded[0]) <= BATCH_BYTES_MAX:
        batch.add(forwarded.popleft())
    batch.forwarded_bytes = batch.size - before
    return batch
