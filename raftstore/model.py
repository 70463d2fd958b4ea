"""The words of the store: keys and values, operations and their results.

Names and meanings are etcd v3's (https://etcd.io/docs/v3.5/learning/api/): one global revision, and per
key the revision that created it, the one that modified it last, and a version that counts from 1.
Everything here is immutable and crosses rooms freely; nothing here knows Raft, LMDB or gRPC.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class KeyValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key as of one revision. `lease` 0 means none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class EventType(enum.IntEnum):
    PUT = 0
    DELETE = 1


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change. A DELETE's `kv` has only key and mod_revision, its version is 0.

    `previous_revision` is the mod_revision of the value this change replaced (0: none was there);
    the watch room uses it to look the previous value up, and only for watchers that ask for it.
    """

    type: EventType
    kv: KeyValue
    previous_revision: int = 0
    prev_kv: KeyValue | None = None

    @property
    def is_create(self) -> bool:
        return self.type is EventType.PUT and self.kv.version == 1


class SortOrder(enum.IntEnum):
    NONE = 0
    ASCEND = 1
    DESCEND = 2


class SortTarget(enum.IntEnum):
    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


# --- key ranges -----------------------------------------------------------------------------------
# (key, b"") is the key alone; (key, b"\0") is every key from `key` on; (b"\0", b"\0") is every key.

ALL_FROM = b"\0"


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` that covers every key beginning with `prefix` (b"" → every key)."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        return ALL_FROM
    return stripped[:-1] + bytes((stripped[-1] + 1,))


# --- operations -----------------------------------------------------------------------------------


class Range(msgspec.Struct, frozen=True, array_like=True, tag="r", omit_defaults=True):
    """Read keys. `revision` 0 reads the newest; `limit` 0 is no limit."""

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


class Put(msgspec.Struct, frozen=True, array_like=True, tag="p", omit_defaults=True):
    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


class Delete(msgspec.Struct, frozen=True, array_like=True, tag="d", omit_defaults=True):
    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


class CompareTarget(enum.IntEnum):
    VERSION = 0
    CREATE = 1
    MOD = 2
    VALUE = 3
    LEASE = 4


class CompareOp(enum.IntEnum):
    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


class Compare(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One guard of a transaction; over a range it must hold for every key in it.

    Build it from the target: `Compare.mod_revision(b"k") == 5`, `Compare.value(b"k") != b"x"`.
    A key that does not exist has version, create, mod and lease 0; its value equals nothing.
    """

    key: bytes
    target: CompareTarget
    op: CompareOp
    operand: int | bytes
    range_end: bytes = b""

    @staticmethod
    def version(key: bytes, range_end: bytes = b"") -> CompareBuilder:
        return CompareBuilder(key, CompareTarget.VERSION, range_end)

    @staticmethod
    def create_revision(key: bytes, range_end: bytes = b"") -> CompareBuilder:
        return CompareBuilder(key, CompareTarget.CREATE, range_end)

    @staticmethod
    def mod_revision(key: bytes, range_end: bytes = b"") -> CompareBuilder:
        return CompareBuilder(key, CompareTarget.MOD, range_end)

    @staticmethod
    def value(key: bytes, range_end: bytes = b"") -> CompareBuilder:
        return CompareBuilder(key, CompareTarget.VALUE, range_end)

    @staticmethod
    def lease(key: bytes, range_end: bytes = b"") -> CompareBuilder:
        return CompareBuilder(key, CompareTarget.LEASE, range_end)


class CompareBuilder:
    """The left side of a comparison; `==`, `!=`, `<` and `>` make it a `Compare`."""

    __slots__ = ("_key", "_range_end", "_target")
    __hash__ = None  # type: ignore[assignment]  # == builds a Compare, so hashing has no meaning

    def __init__(self, key: bytes, target: CompareTarget, range_end: bytes) -> None:
        self._key = key
        self._target = target
        self._range_end = range_end

    def _build(self, op: CompareOp, operand: Any) -> Compare:
        wanted = bytes if self._target is CompareTarget.VALUE else int
        if not isinstance(operand, wanted):
            raise TypeError(f"{self._target.name.lower()} is compared with {wanted.__name__}, not {operand!r}")
        return Compare(self._key, self._target, op, operand, self._range_end)

    def __eq__(self, operand: object) -> Compare:  # type: ignore[override]
        return self._build(CompareOp.EQUAL, operand)

    def __ne__(self, operand: object) -> Compare:  # type: ignore[override]
        return self._build(CompareOp.NOT_EQUAL, operand)

    def __gt__(self, operand: int | bytes) -> Compare:
        return self._build(CompareOp.GREATER, operand)

    def __lt__(self, operand: int | bytes) -> Compare:
        return self._build(CompareOp.LESS, operand)


class Txn(msgspec.Struct, frozen=True, array_like=True, tag="t", omit_defaults=True):
    """If every compare holds run `success`, else `failure`; all at one revision. May nest."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()


Operation = Range | Put | Delete | Txn


# --- results --------------------------------------------------------------------------------------


class RangeResult(msgspec.Struct, frozen=True):
    """`count` is of all keys in the range at that revision, whatever the limit (as etcd counts)."""

    revision: int
    kvs: list[KeyValue]
    count: int
    more: bool = False


class PutResult(msgspec.Struct, frozen=True):
    revision: int
    prev_kv: KeyValue | None = None


class DeleteResult(msgspec.Struct, frozen=True):
    revision: int
    deleted: int
    prev_kvs: list[KeyValue] = []


class TxnResult(msgspec.Struct, frozen=True):
    revision: int
    succeeded: bool
    responses: list[RangeResult | PutResult | DeleteResult | TxnResult]


class LeaseResult(msgspec.Struct, frozen=True):
    """`ttl` in seconds: granted on a grant, remaining on a keep-alive (0 or less: no such lease)."""

    revision: int
    id: int
    ttl: int


class LeaseStatus(msgspec.Struct, frozen=True):
    """`remaining_s` is what the leader's clock leaves of `granted_ttl_s`; -1 when there is no such lease."""

    id: int
    granted_ttl_s: int
    remaining_s: int
    keys: list[bytes] = []


class CompactResult(msgspec.Struct, frozen=True):
    revision: int
    compacted: int


class AlarmType(enum.IntEnum):
    NONE = 0
    NOSPACE = 1
    CORRUPT = 2


class Alarm(msgspec.Struct, frozen=True, array_like=True):
    member: int
    type: AlarmType


class AlarmResult(msgspec.Struct, frozen=True):
    revision: int
    alarms: list[Alarm]


class HashResult(msgspec.Struct, frozen=True):
    """Digest of the state at `revision` with everything at or below `compact_revision` folded (etcd's HashKV)."""

    revision: int
    compact_revision: int
    digest: bytes
