"""A state machine on a folder of its own, fed with entries, and random requests to feed it with."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from raftstore.command import Command, Compact, GrantLease, Request, RevokeLease, encode_request, join_batch
from raftstore.limits import MIB
from raftstore.model import Compare, CompareOp, CompareTarget, Delete, Put, Range, SortOrder, SortTarget, Txn
from raftstore.mvcc import Applied, StateMachine
from raftstore.raft.engine import Entry

QUOTA_BYTES = 64 * MIB

#: Prefixes of each other, the least and the greatest bytes, and one with a zero in it.
KEYS = [b"a", b"ab", b"b", b"a\0", b"\0", b"\xff", b"\xff\xff", b"c"]
ENDS = [b"", b"", b"\0", b"b", b"c", b"a\xff", b"\xff\xff\xff", b"a"]
VALUES = [b"", b"x", b"y", b"long" * 600]
#: What every history begins with, so that puts find their leases.
BEGIN: tuple[Command, ...] = (GrantLease(1, 60), GrantLease(2, 60))


def batch(commands: Iterable[Command]) -> bytes:
    """An entry's payload: commands without a session."""
    return requests(Request(0, 0, 0, command) for command in commands)


def requests(all_of: Iterable[Request]) -> bytes:
    return join_batch([encode_request(request) for request in all_of])


class World:
    """Counts indexes so that tests need not."""

    def __init__(self, folder: Path, *, quota_bytes: int = QUOTA_BYTES) -> None:
        self.folder = folder
        self.quota_bytes = quota_bytes
        self.machine = StateMachine.open(folder, quota_bytes=quota_bytes)

    def entries(self, payloads: Sequence[bytes], term: int = 1) -> list[Entry]:
        first = self.machine.applied_index + 1
        return [Entry(payload, first + place, term) for place, payload in enumerate(payloads)]

    def apply(self, *payloads: bytes) -> Applied:
        return self.machine.apply(self.entries(payloads))

    def do(self, *commands: Command) -> list[Any]:
        """Results of commands given in one entry."""
        return [outcome.result for outcome in self.apply(batch(commands)).outcomes]

    def one(self, command: Command) -> Any:
        return self.do(command)[0]

    def reopen(self) -> None:
        self.machine.close()
        self.machine = StateMachine.open(self.folder, quota_bytes=self.quota_bytes)

    def compact_fully(self) -> None:
        while self.machine.compact_step(3):
            pass

    def digest(self, revision: int = 0) -> bytes:
        scan = self.machine.hash_kv(revision)
        while scan.step(events_max=3):
            pass
        return scan.digest


@contextmanager
def world(*, quota_bytes: int = QUOTA_BYTES) -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="mvcc-"))
    made = World(folder, quota_bytes=quota_bytes)
    try:
        yield made
    finally:
        made.machine.close()
        shutil.rmtree(folder)


# --- what to feed ------------------------------------------------------------------------------------


class Draw:
    """Random requests from a seed. Most of them succeed, or tests would see little but refusals.

    The nth request depends only on the seed and n, so a failing history shrinks by being cut short.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._drawn = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def key(self) -> bytes:
        return self.random.choice(KEYS)

    def end(self) -> bytes:
        return self.random.choice(ENDS)

    def value(self) -> bytes:
        return self.random.choice(VALUES)

    def command(self) -> Command:
        self._drawn += 1
        kind = self.random.choices("pdtglc", (40, 12, 35, 4, 3, 6))[0]
        if kind == "p":
            return self.put(self.key())
        if kind == "d":
            return self.delete()
        if kind == "t":
            return self.txn(3)
        if kind == "g":
            return GrantLease(self.random.randint(1, 3), self.random.randint(1, 60))
        if kind == "l":
            return RevokeLease(self.random.randint(1, 3))
        return Compact(self.random.randint(1, 1 + self._drawn // 2))

    def put(self, key: bytes) -> Put:
        ignore_value, ignore_lease = self.chance(0.1), self.chance(0.1)
        return Put(
            key,
            self.value() if not ignore_value or self.chance(0.1) else b"",
            self.random.choice((0, 0, 0, 1, 2, 3)) if not ignore_lease or self.chance(0.1) else 0,
            self.chance(0.5),
            ignore_value,
            ignore_lease,
        )

    def delete(self) -> Delete:
        return Delete(self.key(), self.end(), self.chance(0.5))

    def range(self) -> Range:
        def bound() -> int:
            return self.random.randint(-1, 25) if self.chance(0.2) else 0

        return Range(
            self.key(),
            self.end(),
            limit=self.random.choice((-1, 0, 0, 1, 2, 4)),
            revision=self.random.randint(-1, 25) if self.chance(0.3) else 0,
            sort_order=self.random.choice(list(SortOrder)),
            sort_target=self.random.choice(list(SortTarget)),
            keys_only=self.chance(0.3),
            count_only=self.chance(0.1),
            min_mod_revision=bound(),
            max_mod_revision=bound(),
            min_create_revision=bound(),
            max_create_revision=bound(),
        )

    def compare(self) -> Compare:
        target = self.random.choice(list(CompareTarget))
        operand: int | bytes = self.value() if target is CompareTarget.VALUE else self.random.randint(0, 12)
        return Compare(self.key(), target, self.random.choice(list(CompareOp)), operand, self.end())

    def txn(self, depth: int) -> Txn:
        """Puts take different keys from one another, mostly: etcd refuses a key that is written twice."""
        compare = tuple(self.compare() for _ in range(self.random.choice((0, 0, 1, 2))))
        fresh = self.random.sample(KEYS, len(KEYS))
        return Txn(compare, self._branch(depth, list(fresh)), self._branch(depth, list(fresh)))

    def _branch(self, depth: int, fresh: list[bytes]) -> tuple[Any, ...]:
        operations: list[Any] = []
        for _ in range(self.random.choice((0, 1, 2, 3))):
            key = self.key() if self.chance(0.05) or not fresh else fresh.pop()
            kind = self.random.choices("pdrt", (50, 15, 25, 20 if depth else 0))[0]
            if kind == "p":
                operations.append(self.put(key))
            elif kind == "d":
                operations.append(Delete(key, self.end() if self.chance(0.3) else b"", self.chance(0.5)))
            elif kind == "r":
                operations.append(self.range() if self.chance(0.5) else Range(key, self.end()))
            else:
                nested = Txn((), self._branch(depth - 1, fresh), self._branch(depth - 1, fresh))
                operations.append(msgspec.structs.replace(nested, compare=(self.compare(),)))
        return tuple(operations)


@st.composite
def histories(draw: st.DrawFn) -> list[Command]:
    drawing = Draw(draw(st.integers(0, 2**32)))
    return [*BEGIN, *(drawing.command() for _ in range(draw(st.integers(0, 40))))]


@st.composite
def reads(draw: st.DrawFn) -> list[Range]:
    drawing = Draw(draw(st.integers(0, 2**32)))
    return [drawing.range() for _ in range(draw(st.integers(0, 12)))]


def in_entries(history: list[Command], sizes: list[int]) -> list[list[Command]]:
    """A history cut into entries of the given sizes, over and over."""
    entries: list[list[Command]] = []
    rest = list(history)
    for size in itertools.cycle(sizes):
        if not rest:
            return entries
        entries.append(rest[:size])
        rest = rest[size:]
    return entries
