"""Limits, alarms and leases: what is refused, by which name, and that a refusal changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from mvcc_world import batch, world

from raftstore.command import Command, Compact, GrantLease, RegisterSession, RevokeLease, SetAlarm
from raftstore.errors import (
    Compacted,
    CorruptAlarm,
    DuplicateKey,
    FutureRevision,
    InvalidRequest,
    KeyNotFound,
    KeyTooLarge,
    LeaseExists,
    LeaseNotFound,
    LeaseTTLTooLarge,
    NoSpace,
    RequestTooLarge,
    TooManyOperations,
    TooManyRequests,
)
from raftstore.limits import ALARMS_MAX, LEASE_TTL_S_MAX, REQUEST_BYTES_MAX, TXN_OPERATIONS_MAX
from raftstore.model import (
    Alarm,
    AlarmType,
    Compare,
    CompareOp,
    CompareTarget,
    Delete,
    LeaseResult,
    Put,
    Range,
    Txn,
)
from raftstore.mvcc import Lease
from raftstore.mvcc.schema import KEY_BYTES_MAX

NO_SPACE = Alarm(1, AlarmType.NOSPACE)
CORRUPT = Alarm(1, AlarmType.CORRUPT)
BIG = bytes(REQUEST_BYTES_MAX)


def nested(depth: int) -> Txn:
    txn = Txn()
    for _ in range(depth):
        txn = Txn(success=(txn,))
    return txn


REFUSED: list[tuple[Command, type[Exception]]] = [
    (Put(b""), InvalidRequest),
    (Put(b"k" * (KEY_BYTES_MAX + 1)), KeyTooLarge),
    (Put(b"k", BIG), RequestTooLarge),
    (Put(b"k", b"v", ignore_value=True), InvalidRequest),
    (Put(b"k", b"v", 1, ignore_lease=True), InvalidRequest),
    (Put(b"absent", ignore_value=True), KeyNotFound),
    (Put(b"absent", ignore_lease=True), KeyNotFound),
    (Put(b"k", lease=99), LeaseNotFound),
    (Put(b"k", lease=2**64 - 1), LeaseNotFound),
    (Delete(b""), InvalidRequest),
    (Txn(success=(Delete(b""),)), InvalidRequest),
    (Txn(compare=(Compare(b"", CompareTarget.MOD, CompareOp.EQUAL, 0),)), InvalidRequest),
    (Txn(compare=(Compare(b"k", CompareTarget.MOD, CompareOp.LESS, b"0"),)), InvalidRequest),
    (Txn(compare=(Compare(b"k", CompareTarget.VALUE, CompareOp.GREATER, 0),)), InvalidRequest),
    (Txn(success=tuple(Put(b"%d" % n) for n in range(TXN_OPERATIONS_MAX + 1))), TooManyOperations),
    (nested(TXN_OPERATIONS_MAX + 1), TooManyOperations),
    (Txn(success=(Put(b"a", BIG[: len(BIG) // 2]), Put(b"b", BIG[: len(BIG) // 2]))), RequestTooLarge),
    (Txn(success=(Put(b"a"), Put(b"a"))), DuplicateKey),
    (Txn(failure=(Put(b"a"), Put(b"a"))), DuplicateKey),
    (Txn(success=(Put(b"b"), Delete(b"a", b"c"))), DuplicateKey),
    (Txn(success=(Put(b"b"), Delete(b"a", b"\0"))), DuplicateKey),
    (Txn(success=(Put(b"a"), Txn(success=(Put(b"a"),)))), DuplicateKey),
    (Txn(success=(Put(b"a"), Txn(success=(Delete(b"a"),)))), DuplicateKey),
    (Txn(success=(Put(b"new"), Put(b"k", lease=99))), LeaseNotFound),
    (Txn(success=(Put(b"new"), Put(b"absent", ignore_value=True))), KeyNotFound),
    (Txn(success=(Put(b"new"), Range(b"k", revision=1))), Compacted),
    (Txn(success=(Put(b"new"), Range(b"k", revision=9))), FutureRevision),
    (GrantLease(0, 10), InvalidRequest),
    (GrantLease(2**63, 10), InvalidRequest),
    (GrantLease(5, LEASE_TTL_S_MAX + 1), LeaseTTLTooLarge),
    (GrantLease(1, 10), LeaseExists),
    (RevokeLease(99), LeaseNotFound),
    (RevokeLease(-(2**63)), LeaseNotFound),
    (Compact(0), Compacted),
    (Compact(2), Compacted),
    (Compact(2**64 - 1), FutureRevision),
    (SetAlarm(Alarm(1, AlarmType.NONE), True), InvalidRequest),
    (SetAlarm(Alarm(-1, AlarmType.NOSPACE), True), InvalidRequest),
    (RegisterSession(0), InvalidRequest),
]


@pytest.mark.parametrize(("command", "error"), REFUSED)
def test_refused_by_name_and_without_a_trace(command: Command, error: type[Exception]) -> None:
    with world() as one:
        one.do(GrantLease(1, 10), Put(b"k", b"1", 1), Put(b"k", b"2", 1), Compact(2))
        before = (one.machine.revision, one.digest(), one.machine.leases(), one.machine.alarms)
        result = one.one(command)
        assert type(result) is error
        assert result.__traceback__ is None, "a result must not keep the transaction's frames"
        assert (one.machine.revision, one.digest(), one.machine.leases(), one.machine.alarms) == before


@pytest.mark.parametrize(
    "command",
    [
        Put(b"k" * KEY_BYTES_MAX, b"v"),
        Put(b"k", BIG[1:]),
        Txn(success=tuple(Put(b"%d" % n) for n in range(TXN_OPERATIONS_MAX))),
        Txn(success=(Txn(success=(Put(b"a"),), failure=(Put(b"a"),)),)),
        Txn(success=(Put(b"a"),), failure=(Put(b"a"),)),
        Txn(success=(Delete(b"a", b"c"), Delete(b"b"))),
        nested(TXN_OPERATIONS_MAX),
        GrantLease(-(2**63) + 1, LEASE_TTL_S_MAX),
        GrantLease(2, 0),
    ],
)
def test_taken_at_the_limit(command: Command) -> None:
    with world() as one:
        one.machine.check(command)
        assert not isinstance(one.one(command), Exception)


def test_long_keys_are_reads_of_nothing_and_ranges_may_begin_with_one() -> None:
    longest = b"k" * KEY_BYTES_MAX
    with world() as one:
        one.do(Put(longest, b"v", prev_kv=True), Put(longest, b"w"), Put(b"z"))
        found = one.machine.get(longest)
        assert found is not None
        assert found.value == b"w"
        assert one.machine.get(longest + b"k") is None
        assert one.machine.get(b"") is None
        assert one.machine.range(Range(longest + b"\0", b"\0")).count == 1
        assert one.machine.range(Range(longest + b"\0")).count == 0
        assert one.machine.range(Range(longest + b"\0", b"\0", revision=3)).count == 0
        assert one.machine.range(Range(longest[:-1], longest + b"\0", revision=2)).count == 1
        assert one.one(Delete(longest + b"\0")).deleted == 0
        assert one.one(Delete(longest + b"\0", b"\0")).deleted == 1
        with pytest.raises(InvalidRequest):
            one.machine.range(Range(b"", b"\0"))


# --- alarms ---------------------------------------------------------------------------------------

GROWS: list[Any] = [Put(b"n"), Txn(failure=(Txn(success=(Put(b"n"),)),)), GrantLease(9, 9)]
SHRINKS: list[Any] = [Delete(b"k"), Txn(success=(Delete(b"k"), Range(b"k"))), Compact(2), RevokeLease(1)]


def test_no_space_stops_what_grows_and_only_that() -> None:
    with world() as one:
        one.do(GrantLease(1, 10), Put(b"k"))
        one.do(SetAlarm(NO_SPACE, True))
        one.reopen()
        assert one.machine.alarms == {NO_SPACE}
        for command in GROWS:
            assert type(one.one(command)) is NoSpace, command
        for command in SHRINKS:
            assert not isinstance(one.one(command), Exception), command
        assert one.one(SetAlarm(NO_SPACE, False)).alarms == []
        for command in GROWS:
            assert not isinstance(one.one(command), Exception), command


def test_corrupt_stops_every_write_of_data() -> None:
    with world() as one:
        one.do(GrantLease(1, 10), Put(b"k"))
        one.do(SetAlarm(CORRUPT, True), SetAlarm(NO_SPACE, True))
        for command in GROWS + SHRINKS:
            assert type(one.one(command)) is CorruptAlarm, command
        assert not isinstance(one.one(RegisterSession(4)), Exception)
        assert one.one(SetAlarm(CORRUPT, False)).alarms == [NO_SPACE]
        assert type(one.one(Put(b"n"))) is NoSpace


def test_an_alarm_takes_effect_within_its_entry() -> None:
    with world() as one:
        results = one.do(Put(b"a"), SetAlarm(NO_SPACE, True), Put(b"b"), SetAlarm(NO_SPACE, False), Put(b"c"))
        assert [type(result) is NoSpace for result in results] == [False, False, True, False, False]


def test_alarms_are_bounded() -> None:
    with world() as one:
        for member in range(ALARMS_MAX):
            one.do(SetAlarm(Alarm(member, AlarmType.NOSPACE), True))
        assert type(one.one(SetAlarm(Alarm(ALARMS_MAX, AlarmType.NOSPACE), True))) is TooManyRequests


# --- leases ---------------------------------------------------------------------------------------


def test_revoking_deletes_all_keys_at_one_revision() -> None:
    with world() as one:
        one.do(GrantLease(7, 60), Put(b"b", lease=7), Put(b"a", lease=7), Put(b"free"))
        applied = one.apply(batch([RevokeLease(7, expired=True)]))
        assert applied.outcomes[0].result == LeaseResult(5, 7, 0)
        assert [(event.kv.key, event.kv.mod_revision) for event in applied.events] == [(b"a", 5), (b"b", 5)]
        assert one.machine.lease(7) is None
        assert one.machine.range(Range(b"\0", b"\0")).count == 1


def test_revoking_a_lease_without_keys_raises_no_revision() -> None:
    with world() as one:
        one.do(GrantLease(7, 60), Put(b"a", lease=7), Put(b"a"))
        assert one.machine.lease_keys(7) == []
        assert one.one(RevokeLease(7)) == LeaseResult(3, 7, 0)
        assert one.machine.revision == 3


def test_a_key_belongs_to_the_lease_it_was_put_with_last() -> None:
    with world() as one:
        one.do(GrantLease(1, 60), GrantLease(2, 60), Put(b"a", lease=1), Put(b"a", lease=2))
        assert (one.machine.lease_keys(1), one.machine.lease_keys(2)) == ([], [b"a"])
        one.do(Put(b"a", b"v", ignore_lease=True))
        assert one.machine.lease_keys(2) == [b"a"]
        one.do(Delete(b"a"))
        assert one.machine.lease_keys(2) == []
        assert one.machine.leases() == [Lease(1, 60), Lease(2, 60)]


def test_negative_lease_ids_are_ids() -> None:
    with world() as one:
        one.do(GrantLease(-5, 60), Put(b"a", lease=-5))
        assert one.machine.lease(-5) == Lease(-5, 60)
        assert one.machine.leases() == [Lease(-5, 60)]
        found = one.machine.get(b"a")
        assert found is not None
        assert found.lease == -5


# --- what etcd does and one would not guess ---------------------------------------------------------


def test_nested_compares_see_the_state_before_the_transaction() -> None:
    inner = Txn((Compare.version(b"k") == 0,), (Put(b"seen", b"before"),), (Put(b"seen", b"after"),))
    with world() as one:
        one.do(Txn(success=(Put(b"k"), inner)))
        found = one.machine.get(b"seen")
        assert found is not None
        assert found.value == b"before"


def test_a_range_in_a_transaction_sees_its_earlier_writes_and_no_later_ones() -> None:
    with world() as one:
        first, _, second = one.one(Txn(success=(Range(b"k"), Put(b"k", b"v"), Range(b"k")))).responses
        assert (first.revision, first.count) == (1, 0)
        assert (second.revision, second.kvs[0].mod_revision) == (2, 2)


def test_a_transaction_that_writes_nothing_leaves_the_revision() -> None:
    with world() as one:
        one.do(Put(b"k"))
        result = one.one(Txn((Compare.version(b"k") == 0,), (Put(b"k"),), (Range(b"k"), Delete(b"absent"))))
        assert (result.succeeded, result.revision, one.machine.revision) == (False, 2, 2)


def test_nested_siblings_may_put_and_then_delete_a_key() -> None:
    """etcd's overlap check lets this pass; both changes are events of one revision."""
    with world() as one:
        one.do(Put(b"k", b"old"))
        applied = one.apply(batch([Txn(success=(Txn(success=(Put(b"k", b"new"),)), Txn(success=(Delete(b"k"),))))]))
        assert [(event.type.name, event.kv.mod_revision) for event in applied.events] == [("PUT", 3), ("DELETE", 3)]
        assert one.machine.get(b"k") is None
        assert one.machine.range(Range(b"k", revision=2)).kvs[0].value == b"old"
        one.do(Put(b"k", b"again"), Compact(4))
        one.compact_fully()
        assert one.machine.range(Range(b"k")).kvs[0].version == 1
