"""Physical compaction: removing, in small steps, what the compacted revision already hides.

Work comes from the `garbage` table alone: a row there says which version the change at its revision
outdated. A row below the compacted revision can go, with the version it names and, for a delete, with
the tombstone itself. So the cost is that of the garbage, never that of the live keys, and pages of live
values are not touched. What must always hold: the newest version of a key at or below the compacted
revision stays, and so does every change at or above it (a watch may start there).
"""

from __future__ import annotations

from ..errors import StateDamaged
from .schema import DELETE_FLAG, PUT_FLAG, REVISION_BYTES, Tables, Transaction, pack_number

#: Versions removed in one step: measured to stay below 10 ms with room to spare.
STEP_VERSIONS = 256


def has_work(txn: Transaction, tables: Tables, compact_revision: int) -> bool:
    cursor = txn.cursor(db=tables.garbage)
    return bool(cursor.first()) and cursor.key() < pack_number(compact_revision)


def remove_garbage(txn: Transaction, tables: Tables, compact_revision: int, versions_max: int) -> bool:
    """Remove up to `versions_max` outdated versions; True while more remain."""
    bound = pack_number(compact_revision)
    garbage = txn.cursor(db=tables.garbage)
    present = garbage.first()
    removed = 0
    while present and garbage.key() < bound:
        if removed >= versions_max:
            return True
        removed += _remove(txn, tables, garbage.key(), garbage.value())
        garbage.delete()  # moves on to the next row
        present = bool(garbage.key())
    return False


def _remove(txn: Transaction, tables: Tables, stamp: bytes, row: bytes) -> int:
    """How many versions went: the outdated one, and the delete that outdated it."""
    old, flag, key = row[:REVISION_BYTES], row[REVISION_BYTES : REVISION_BYTES + 1], row[REVISION_BYTES + 1 :]
    _remove_version(txn, tables, key, old, PUT_FLAG)
    if flag != DELETE_FLAG:
        return 1
    _remove_version(txn, tables, key, stamp, DELETE_FLAG)
    return 2


def _remove_version(txn: Transaction, tables: Tables, key: bytes, revision: bytes, flag: bytes) -> None:
    if not txn.delete(revision, db=tables.events) or not txn.delete(key, revision + flag, db=tables.history):
        raise StateDamaged(f"outdated version {revision.hex()} of {key!r} is not in the state: rebuild the state")
