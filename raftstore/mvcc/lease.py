"""Leases as replicated state: which exist, their granted time to live, and the keys they hold.

No clock is here. When a lease is over is the leader's decision; it arrives as a RevokeLease.
"""

from __future__ import annotations

from typing import NamedTuple

from .schema import Tables, Transaction, pack_signed

_ID_MIN, _ID_MAX = -(2**63), 2**63 - 1


class Lease(NamedTuple):
    id: int
    granted_ttl_s: int


def lease_row(txn: Transaction, tables: Tables, lease_id: int) -> bytes | None:
    """The stored row of a lease, None when there is none; any integer may be asked for."""
    if not _ID_MIN <= lease_id <= _ID_MAX:
        return None
    return txn.get(pack_signed(lease_id), db=tables.leases)


def find_lease(txn: Transaction, tables: Tables, lease_id: int) -> Lease | None:
    row = lease_row(txn, tables, lease_id)
    return None if row is None else Lease(lease_id, int.from_bytes(row, "big"))


def all_leases(txn: Transaction, tables: Tables) -> list[Lease]:
    """Every lease, in no order that means anything but the same on all replicas."""
    return [
        Lease(int.from_bytes(key, "big", signed=True), int.from_bytes(row, "big"))
        for key, row in txn.cursor(db=tables.leases).iternext()
    ]


def keys_of(txn: Transaction, tables: Tables, lease_id: int) -> list[bytes]:
    """The keys attached to a lease, sorted."""
    cursor = txn.cursor(db=tables.lease_keys)
    if not cursor.set_key(pack_signed(lease_id)):
        return []
    return list(cursor.iternext_dup())


def store_lease(txn: Transaction, tables: Tables, lease: Lease) -> None:
    txn.put(pack_signed(lease.id), lease.granted_ttl_s.to_bytes(8, "big"), db=tables.leases)


def remove_lease(txn: Transaction, tables: Tables, lease_id: int) -> None:
    """Forget the lease itself; its keys were deleted, and so detached, before."""
    txn.delete(pack_signed(lease_id), db=tables.leases)


def attach(txn: Transaction, tables: Tables, lease_id: int, key: bytes) -> None:
    txn.put(pack_signed(lease_id), key, db=tables.lease_keys)


def detach(txn: Transaction, tables: Tables, lease_id: int, key: bytes) -> None:
    txn.delete(pack_signed(lease_id), key, db=tables.lease_keys)
