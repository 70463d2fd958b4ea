"""Physical compaction: removing, in small steps, what the compacted revision already hides.

Work comes from the `garbage` table alone: a row there says which version the change at its revision
outdated. A row up to the compacted revision can go, with the version it names and, for a delete below it,
with the tombstone itself. So the cost is that of the garbage, never that of the live keys, and pages of live
values are not touched. What must always hold: the newest version of a key at or below the compacted
revision stays, and so does every change at or above it (a watch may start there; what a change at the very
revision replaced is gone, as in etcd). The row of a delete at that revision stays until the next
compaction, marked, for its tombstone.
"""

from __future__ import annotations

from ..errors import StateDamaged
from .schema import DELETE_FLAG, PUT_FLAG, REVISION_BYTES, Tables, Transaction, pack_number

#: Versions removed in one step: measured to stay below 10 ms with room to spare.
STEP_VERSIONS = 256

#: In a garbage row: the outdated version went already, only the tombstone is left.
_GONE = bytes(REVISION_BYTES)


def has_work(txn: Transaction, tables: Tables, compact_revision: int, done: bytes) -> bool:
    """Whether a row behind `done` (see `remove_garbage`) can go or be marked."""
    cursor = txn.cursor(db=tables.garbage)
    return bool(cursor.set_range(done + b"\0")) and cursor.key() < pack_number(compact_revision + 1)


def remove_garbage(
    txn: Transaction, tables: Tables, compact_revision: int, versions_max: int, done: bytes
) -> tuple[bytes, bool]:
    """Remove up to `versions_max` outdated versions.

    Returns the last row that was marked rather than removed, to be given as `done` to the next step of the
    same compacted revision (b"" for the first), and whether more remain.
    """
    bound, end = pack_number(compact_revision), pack_number(compact_revision + 1)
    garbage = txn.cursor(db=tables.garbage)
    present = garbage.set_range(done + b"\0")
    removed = 0
    while present and garbage.key() < end:
        if removed >= versions_max:
            return done, True
        stamp, row = garbage.key(), garbage.value()
        if stamp >= bound and _is_delete(row):
            removed += _remove_old(txn, tables, row)
            garbage.put(stamp, _GONE + row[REVISION_BYTES:])
            done = stamp
            present = garbage.next()
        else:
            removed += _remove(txn, tables, stamp, row)
            garbage.delete()  # moves on to the next row
            present = bool(garbage.key())
    return done, False


def _is_delete(row: bytes) -> bool:
    return row[REVISION_BYTES : REVISION_BYTES + 1] == DELETE_FLAG


def _remove_old(txn: Transaction, tables: Tables, row: bytes) -> int:
    """The outdated version, unless it went before."""
    old, key = row[:REVISION_BYTES], row[REVISION_BYTES + 1 :]
    if old != _GONE:
        _remove_version(txn, tables, key, old, PUT_FLAG)
    return 1


def _remove(txn: Transaction, tables: Tables, stamp: bytes, row: bytes) -> int:
    """How many versions went: the outdated one, and the delete that outdated it."""
    _remove_old(txn, tables, row)
    if not _is_delete(row):
        return 1
    _remove_version(txn, tables, row[REVISION_BYTES + 1 :], stamp, DELETE_FLAG)
    return 2


def _remove_version(txn: Transaction, tables: Tables, key: bytes, revision: bytes, flag: bytes) -> None:
    if not txn.delete(revision, db=tables.events) or not txn.delete(key, revision + flag, db=tables.history):
        raise StateDamaged(f"outdated version {revision.hex()} of {key!r} is not in the state: rebuild the state")
