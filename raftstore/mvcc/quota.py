"""How full the state is, and what follows: pure functions over LMDB's page counts.

Used bytes are the pages that hold something; pages freed by compaction count as free at once, although
the file does not shrink. Above the soft share a replica warns, above the hard share it proposes the
NOSPACE alarm, which clears only well below that, so that it does not flap.
"""

from __future__ import annotations

import enum
from typing import TypedDict

from ..limits import QUOTA_HARD, QUOTA_SOFT
from .schema import Tables, Transaction


class _Stat(TypedDict):
    psize: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int


class Level(enum.IntEnum):
    FINE = 0
    SOFT = 1
    HARD = 2


def level(used_bytes: int, quota_bytes: int) -> Level:
    """Soft from 80 %, hard from 95 % of the quota (limits.py)."""
    if used_bytes >= quota_bytes * QUOTA_HARD:
        return Level.HARD
    if used_bytes >= quota_bytes * QUOTA_SOFT:
        return Level.SOFT
    return Level.FINE


def should_raise(used_bytes: int, quota_bytes: int) -> bool:
    """Whether the NOSPACE alarm is due."""
    return level(used_bytes, quota_bytes) is Level.HARD


def should_clear(used_bytes: int, quota_bytes: int) -> bool:
    """Whether a raised NOSPACE alarm may go: space is back below the soft share."""
    return level(used_bytes, quota_bytes) is Level.FINE


def used_bytes(txn: Transaction, tables: Tables) -> int:
    """Bytes of pages in use, the few of LMDB's own list of free pages left out.

    LMDB counts the pages of a key's many duplicates to the table they belong to.
    """
    return _bytes_of(txn.stat()) + sum(_bytes_of(txn.stat(table)) for table in tables)


def _bytes_of(stat: _Stat) -> int:
    return stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
