"""A state machine on a folder of its own, fed with entries, and hypothesis strategies for what to feed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from raftstore.command import Command, Compact, GrantLease, Request, RevokeLease, encode_request, join_batch
from raftstore.limits import MIB
from raftstore.model import Compare, CompareOp, CompareTarget, Delete, Put, Range, SortOrder, SortTarget, Txn
from raftstore.mvcc import Applied, StateMachine
from raftstore.raft.engine import Entry

QUOTA_BYTES = 64 * MIB


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


# --- strategies -------------------------------------------------------------------------------------

#: Prefixes of each other, the least and the greatest bytes, and one with a zero in it.
KEYS = [b"a", b"ab", b"b", b"a\0", b"\0", b"\xff", b"\xff\xff", b"c"]
keys = st.sampled_from(KEYS)
ends = st.sampled_from([b"", b"", b"\0", b"b", b"c", b"a\xff", b"\xff\xff\xff", b"a"])
values = st.sampled_from([b"", b"x", b"y", b"long" * 600])
lease_ids = st.sampled_from([1, 2, 3])
revisions = st.integers(-1, 40)

puts: st.SearchStrategy[Any] = st.builds(
    Put,
    key=keys,
    value=values,
    lease=st.sampled_from([0, 0, 0, 1, 2]),
    prev_kv=st.booleans(),
    ignore_value=st.sampled_from([False, False, False, True]),
    ignore_lease=st.sampled_from([False, False, False, True]),
)
deletes: st.SearchStrategy[Any] = st.builds(Delete, key=keys, range_end=ends, prev_kv=st.booleans())
ranges: st.SearchStrategy[Any] = st.builds(
    Range,
    key=keys,
    range_end=ends,
    limit=st.integers(-1, 4),
    revision=st.one_of(st.just(0), revisions),
    sort_order=st.sampled_from(SortOrder),
    sort_target=st.sampled_from(SortTarget),
    keys_only=st.booleans(),
    count_only=st.sampled_from([False, False, True]),
    min_mod_revision=st.one_of(st.just(0), revisions),
    max_mod_revision=st.one_of(st.just(0), revisions),
    min_create_revision=st.one_of(st.just(0), revisions),
    max_create_revision=st.one_of(st.just(0), revisions),
)


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    target = draw(st.sampled_from(CompareTarget))
    operand = draw(values) if target is CompareTarget.VALUE else draw(st.integers(0, 12))
    return Compare(draw(keys), target, draw(st.sampled_from(CompareOp)), operand, draw(ends))


def _txns(operations: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    branch = st.lists(operations, max_size=4).map(tuple)
    return st.builds(Txn, st.lists(compares(), max_size=2).map(tuple), branch, branch)


_leaves = st.one_of(puts, deletes, ranges)
txns = _txns(st.one_of(_leaves, _leaves, _txns(st.one_of(_leaves, _txns(_leaves)))))
commands: st.SearchStrategy[Any] = st.one_of(
    puts,
    puts,
    deletes,
    txns,
    txns,
    st.builds(GrantLease, id=lease_ids, ttl=st.integers(1, 60)),
    st.builds(RevokeLease, id=lease_ids),
    st.builds(Compact, revision=st.integers(1, 40)),
)
