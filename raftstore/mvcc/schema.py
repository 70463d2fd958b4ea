"""The tables of the state file and how their keys and rows are encoded.

One LMDB environment per replica. A value is stored once, in `events`; everything else is index.

    meta        name -> bytes               format, state (one row), configuration, alarms
    keys        key -> index row            the live keys: newest version's revision and header, no value
    events      revision -> record          every change not yet compacted, in revision order
    history     key -> revision + flag, *   versions that are not the newest, and tombstones (sorted duplicates)
    garbage     revision -> what it outdated   the work list of physical compaction, in revision order
    leases      id -> granted TTL
    lease_keys  id -> key, *                keys attached to a lease (sorted duplicates)
    sessions    id -> session row

A revision is (main, sub): `main` is the store's revision, `sub` counts the changes within it. Integers are
big-endian, so byte order is number order. A record is msgpack of [key, value, create, mod, version, lease,
previous mod]; version 0 is a delete.

What must always hold: `keys[k]` names an event that exists; an event that is neither some key's newest nor
in `history` does not exist; every row of `history` has its row in `garbage`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lmdb
import msgspec

from ..errors import StateDamaged, UnknownFormat
from ..model import Event, EventType, KeyValue

if TYPE_CHECKING:
    Transaction = lmdb.Transaction[bytes]
    Cursor = lmdb.Cursor[bytes]
else:  # generic only in the stubs
    Transaction, Cursor = lmdb.Transaction, lmdb.Cursor

FORMAT_VERSION = 1
STATE_FILE = "data.mdb"
READERS_MAX = 1024
KEY_BYTES_MAX = 511  # LMDB's limit, for a key and for a sorted duplicate
#: Above every key that can be stored.
BEYOND_KEYS = b"\xff" * (KEY_BYTES_MAX + 1)

META_FORMAT = b"format"
META_STATE = b"state"
META_CONFIGURATION = b"configuration"
META_ALARMS = b"alarms"

REVISION_BYTES = 12
PUT_FLAG = b"\0"
DELETE_FLAG = b"\1"

_revision = struct.Struct(">QI")
_index = struct.Struct(">QIQQq")
_number = struct.Struct(">Q")
_signed = struct.Struct(">q")
_state = struct.Struct(">QQQQ16s")

pack_revision = _revision.pack
unpack_revision = _revision.unpack
#: (main, sub, create revision, version, lease)
pack_index = _index.pack
unpack_index = _index.unpack
pack_number = _number.pack
pack_signed = _signed.pack

#: Encodes (key, value, create, mod, version, lease, previous mod).
encode_record = msgspec.msgpack.Encoder().encode
#: A record as the key and value it wrote; the trailing previous revision is ignored.
decode_key_value = msgspec.msgpack.Decoder(KeyValue).decode


class Record(NamedTuple):
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    previous_revision: int

    def event(self) -> Event:
        kind = EventType.PUT if self.version else EventType.DELETE
        return Event(kind, KeyValue(*self[:6]), self.previous_revision)


decode_record = msgspec.msgpack.Decoder(Record).decode


class State(NamedTuple):
    """The scalars that move with every transaction."""

    applied_index: int
    applied_term: int
    revision: int
    compact_revision: int
    digest: bytes

    def encode(self) -> bytes:
        return _state.pack(*self)

    @classmethod
    def decode(cls, row: bytes) -> State:
        return cls(*_state.unpack(row))


#: An empty store: etcd's first revision is 1, and the log's base entry is index 1 (never delivered).
FRESH_STATE = State(applied_index=1, applied_term=0, revision=1, compact_revision=0, digest=bytes(16))


class Tables(NamedTuple):
    """Database handles. The handle type is opaque."""

    meta: Any
    keys: Any
    events: Any
    history: Any
    garbage: Any
    leases: Any
    lease_keys: Any
    sessions: Any


#: name -> flags. Not dupfixed, though rows of `history` have one size: a compacting copy in LMDB 0.9.36 (py-lmdb
#: 3.0.0) kills the process at the first key with more duplicates than fit a sub-page of such a table.
_TABLE_FLAGS: dict[str, dict[str, bool]] = {
    "history": {"dupsort": True},
    "lease_keys": {"dupsort": True},
}


def open_environment(path: Path, *, map_bytes: int, sync: bool = False, read_only: bool = False) -> lmdb.Environment:
    """Raises StateDamaged when the file is not an LMDB file or cannot be opened."""
    try:
        return lmdb.open(
            str(path),
            subdir=False,
            map_size=map_bytes,
            max_dbs=len(Tables._fields),
            max_readers=READERS_MAX,
            max_spare_txns=4,
            readonly=read_only,
            lock=not read_only,
            sync=sync,
            metasync=sync,
            writemap=False,
            readahead=False,
            mode=0o600,
        )
    except lmdb.Error as error:
        raise StateDamaged(f"state file {path} cannot be opened: {error}") from error


def open_tables(environment: lmdb.Environment, path: Path, *, create: bool) -> Tables:
    """Open every table, creating them all at once in an empty file.

    Raises UnknownFormat for a file of another format version, StateDamaged for one that is not ours.
    """
    try:
        if environment.stat()["entries"]:
            _check_format(environment, path)
        elif create:
            _create_tables(environment)
        else:
            raise StateDamaged(f"state file {path} is empty")
        return Tables(*(environment.open_db(name.encode(), create=False, **_flags(name)) for name in Tables._fields))
    except lmdb.Error as error:
        raise StateDamaged(f"state file {path} lacks a table or cannot be read: {error}") from error


def _flags(name: str) -> dict[str, Any]:
    return _TABLE_FLAGS.get(name, {})


def _create_tables(environment: lmdb.Environment) -> None:
    """All in one transaction: a file has every table or none."""
    with environment.begin(write=True) as txn:
        for name in Tables._fields:
            environment.open_db(name.encode(), txn=txn, create=True, **_flags(name))
        meta = environment.open_db(b"meta", txn=txn, create=False)
        txn.put(META_FORMAT, pack_number(FORMAT_VERSION), db=meta)
        txn.put(META_STATE, FRESH_STATE.encode(), db=meta)


def _check_format(environment: lmdb.Environment, path: Path) -> None:
    meta = environment.open_db(b"meta", create=False)
    with environment.begin() as txn:
        row = txn.get(META_FORMAT, db=meta)
    if row is None:
        raise StateDamaged(f"state file {path} names no format")
    if row != pack_number(FORMAT_VERSION):
        found = int.from_bytes(row, "big")
        raise UnknownFormat(
            f"state file {path} has format {found}, this version reads {FORMAT_VERSION}: upgrade this replica first"
        )


def load_state(txn: Transaction, tables: Tables) -> State:
    row = txn.get(META_STATE, db=tables.meta)
    if row is None or len(row) != _state.size:
        raise StateDamaged("the state file has no state row")
    return State.decode(row)


def within(key: bytes, range_end: bytes) -> bytes:
    """The exclusive end of (key, range_end) as plain bytes; the range is empty when it is not above `key`."""
    if not range_end:
        return key + b"\0"
    return BEYOND_KEYS if range_end == b"\0" else range_end
