"""Reads at a revision: of the newest state from the `keys` table, of an older one through `history`.

Functions get a `View`: any LMDB transaction with the revisions it shows. They keep no transaction and no
state. The rules are etcd's (server/etcdserver/txn: `Range`): filters and sorting look at the whole range
before the limit cuts, and `count` is of all keys in the range, filtered or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import Compacted, FutureRevision, StateDamaged
from ..model import KeyValue, Range, RangeResult, SortOrder, SortTarget
from .schema import (
    DELETE_FLAG,
    KEY_BYTES_MAX,
    PUT_FLAG,
    REVISION_BYTES,
    Cursor,
    Tables,
    Transaction,
    decode_key_value,
    pack_revision,
    unpack_index,
    within,
)


class View(NamedTuple):
    """A transaction and the revisions between which it can answer."""

    txn: Transaction
    tables: Tables
    revision: int
    compact_revision: int


#: (key, index row) of a newest version, or (key, revision) of an older one.
Row = tuple[bytes, bytes]

_SORT_KEYS: dict[SortTarget, Callable[[KeyValue], int | bytes]] = {
    SortTarget.KEY: lambda kv: kv.key,
    SortTarget.VERSION: lambda kv: kv.version,
    SortTarget.CREATE: lambda kv: kv.create_revision,
    SortTarget.MOD: lambda kv: kv.mod_revision,
    SortTarget.VALUE: lambda kv: kv.value,
}


def check_revision(requested: int, *, revision: int, compact_revision: int) -> int:
    """The revision to read at; 0 or less is the newest. Raises FutureRevision, Compacted."""
    if requested <= 0:
        return revision
    if requested > revision:
        raise FutureRevision(f"revision {requested} has not happened yet, the newest is {revision}")
    if requested < compact_revision:
        raise Compacted(f"revision {requested} is compacted, the oldest readable is {compact_revision}")
    return requested


def newest(view: View, key: bytes) -> KeyValue | None:
    """The newest version of one key."""
    if len(key) > KEY_BYTES_MAX or not key:
        return None
    index = view.txn.get(key, db=view.tables.keys)
    return None if index is None else load(view, index)


def load(view: View, index: bytes) -> KeyValue:
    """The key and value that an index row or a revision names."""
    record = view.txn.get(index[:REVISION_BYTES], db=view.tables.events)
    if record is None:
        raise StateDamaged(f"revision {index[:8].hex()} is indexed but its value is gone: rebuild the state")
    return decode_key_value(record)


def read_range(view: View, request: Range) -> RangeResult:
    """Answer a Range. Raises FutureRevision, Compacted."""
    revision = check_revision(request.revision, revision=view.revision, compact_revision=view.compact_revision)
    if revision != view.revision:
        rows = rows_at(view, request.key, within(request.key, request.range_end), revision)
        return _select(view, request, rows)
    if not request.range_end:
        return _select(view, request, _single(view, request.key))
    if _needs_whole(request):
        return _select(view, request, list(scan(view, request.key, request.range_end)))
    return _plain(view, request)


def scan(view: View, key: bytes, range_end: bytes) -> Iterator[Row]:
    """Newest (key, index row) of a range, in key order."""
    end = within(key, range_end)
    cursor = view.txn.cursor(db=view.tables.keys)
    if not seek(cursor, key):
        return
    for row in cursor.iternext():
        if row[0] >= end:
            return
        yield row


def seek(cursor: Cursor, key: bytes) -> bool:
    """Stand on the first key at or after `key`, which may be longer than a stored key can be."""
    if len(key) <= KEY_BYTES_MAX:
        return bool(cursor.set_range(key))
    if not cursor.set_range(key[:KEY_BYTES_MAX]):
        return False
    return bool(cursor.next()) if bytes(cursor.key()) < key else True


def _single(view: View, key: bytes) -> list[Row]:
    if len(key) > KEY_BYTES_MAX:
        return []
    index = view.txn.get(key, db=view.tables.keys)
    return [] if index is None else [(key, index)]


def _needs_whole(request: Range) -> bool:
    """Whether the limit may cut only after the whole range was looked at."""
    return bool(
        request.sort_target is not SortTarget.KEY
        or request.sort_order is SortOrder.DESCEND
        or request.min_mod_revision
        or request.max_mod_revision
        or request.min_create_revision
        or request.max_create_revision
    )


def _plain(view: View, request: Range) -> RangeResult:
    """The hot path: newest versions in key order, cut at the limit, the rest only counted."""
    txn, tables = view.txn, view.tables
    end = within(request.key, request.range_end)
    cursor = txn.cursor(db=tables.keys)
    if not seek(cursor, request.key):
        return RangeResult(view.revision, [], 0)
    kvs: list[KeyValue] = []
    if not request.count_only:
        limit = request.limit if request.limit > 0 else -1
        add, get, decode = kvs.append, txn.cursor(db=tables.events).get, decode_key_value
        for key, index in cursor.iternext():
            if key >= end:
                return RangeResult(view.revision, kvs, len(kvs))
            if len(kvs) == limit:
                break
            add(_header(key, index) if request.keys_only else decode(get(index[:REVISION_BYTES], b"")))
        else:
            return RangeResult(view.revision, kvs, len(kvs))
    count = len(kvs)
    for key in cursor.iternext(values=False):
        if key >= end:
            break
        count += 1
    return RangeResult(view.revision, kvs, count, more=count > len(kvs) and not request.count_only)


def _header(key: bytes, index: bytes) -> KeyValue:
    main, _, create, version, lease = unpack_index(index)
    return KeyValue(key, b"", create, main, version, lease)


def _light(view: View, row: Row) -> KeyValue:
    """A row's header, without touching the value where the index knows it."""
    key, index = row
    return _header(key, index) if len(index) > REVISION_BYTES else load(view, index)


def _select(view: View, request: Range, rows: list[Row]) -> RangeResult:
    """Filter, sort and cut rows that are the whole range in key order."""
    count = len(rows)
    if request.count_only:
        return RangeResult(view.revision, [], count)
    limit = request.limit if request.limit > 0 else count
    chosen = _order(view, request, _filter(view, request, rows)) if _needs_whole(request) else rows
    more = len(chosen) > limit
    read = _light if request.keys_only else _load_row
    kvs = [read(view, row) for row in chosen[:limit]]
    if request.keys_only:
        kvs = [_without_value(kv) for kv in kvs]
    return RangeResult(view.revision, kvs, count, more=more)


def _load_row(view: View, row: Row) -> KeyValue:
    return load(view, row[1])


def _without_value(kv: KeyValue) -> KeyValue:
    return KeyValue(kv.key, b"", kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def _filter(view: View, request: Range, rows: list[Row]) -> list[Row]:
    lowest_mod, highest_mod = request.min_mod_revision, request.max_mod_revision
    lowest_create, highest_create = request.min_create_revision, request.max_create_revision
    if not (lowest_mod or highest_mod or lowest_create or highest_create):
        return rows

    def passes(row: Row) -> bool:
        kv = _light(view, row)
        return not (
            (lowest_mod and kv.mod_revision < lowest_mod)
            or (highest_mod and kv.mod_revision > highest_mod)
            or (lowest_create and kv.create_revision < lowest_create)
            or (highest_create and kv.create_revision > highest_create)
        )

    return [row for row in rows if passes(row)]


def _order(view: View, request: Range, rows: list[Row]) -> list[Row]:
    """Sorted rows; ties stay in key order. A target without an order sorts ascending, as in etcd."""
    descend = request.sort_order is SortOrder.DESCEND
    target = request.sort_target
    if target is SortTarget.KEY:
        return rows[::-1] if descend else rows
    read = _load_row if target is SortTarget.VALUE else _light
    sort_key = _SORT_KEYS[target]
    return sorted(rows, key=lambda row: sort_key(read(view, row)), reverse=descend)


# --- older revisions ------------------------------------------------------------------------------


def rows_at(view: View, key: bytes, end: bytes, revision: int) -> list[Row]:
    """The rows of [key, end) as they stood at `revision`, in key order."""
    bound = pack_revision(revision + 1, 0)
    rows: dict[bytes, bytes] = {}
    cursor = view.txn.cursor(db=view.tables.keys)
    if seek(cursor, key):
        for found, index in cursor.iternext():
            if found >= end:
                break
            if index < bound:
                rows[found] = index
    older = view.txn.cursor(db=view.tables.history)
    probe = view.txn.cursor(db=view.tables.history)
    if seek(older, key):
        for found in older.iternext_nodup(keys=True, values=False):
            if found >= end:
                break
            if found not in rows and (row := _last_before(probe, found, bound)) is not None:
                rows[found] = row
    return sorted(rows.items())


def read_page(view: View, key: bytes, range_end: bytes, limit: int, revision: int) -> RangeResult:
    """The first `limit` keys of a range as of `revision` (0: the newest); `count` is of these alone.

    Unlike a Range it looks at no more of the range than it returns, so that a long list costs the same per page
    however much follows and whatever was written since. Raises FutureRevision, Compacted.
    """
    revision = check_revision(revision, revision=view.revision, compact_revision=view.compact_revision)
    end = within(key, range_end)
    if revision == view.revision:
        return _newest_page(view, key, end, limit)
    kvs: list[KeyValue] = []
    for _, index in _merged(view, key, end, revision):
        if len(kvs) == limit:
            return RangeResult(view.revision, kvs, limit, more=True)
        kvs.append(load(view, index))
    return RangeResult(view.revision, kvs, len(kvs))


def _newest_page(view: View, key: bytes, end: bytes, limit: int) -> RangeResult:
    """The hot path of long lists. Works on a transaction that gives out buffers too: what it returns are copies."""
    cursor = view.txn.cursor(db=view.tables.keys)
    kvs: list[KeyValue] = []
    if not seek(cursor, key):
        return RangeResult(view.revision, kvs, 0)
    add, get, decode = kvs.append, view.txn.cursor(db=view.tables.events).get, decode_key_value
    for found, index in cursor.iternext():
        if bytes(found) >= end:
            break
        if len(kvs) == limit:
            return RangeResult(view.revision, kvs, limit, more=True)
        add(decode(get(index[:REVISION_BYTES], b"")))
    return RangeResult(view.revision, kvs, len(kvs))


def _merged(view: View, key: bytes, end: bytes, revision: int) -> Iterator[Row]:
    """What `rows_at` gives, one by one: newest versions that are old enough, merged with superseded ones."""
    bound = pack_revision(revision + 1, 0)
    current = view.txn.cursor(db=view.tables.keys)
    older = view.txn.cursor(db=view.tables.history)
    probe = view.txn.cursor(db=view.tables.history)
    have_current, have_older = seek(current, key), seek(older, key)
    while True:
        new = current.key() if have_current else end
        old = older.key() if have_older else end
        least = min(new, old)
        if least >= end:
            return
        index = current.value() if new == least else None
        if index is not None and index < bound:
            yield least, index
        elif old == least and (row := _last_before(probe, least, bound)) is not None:
            yield least, row
        if new == least:
            have_current = bool(current.next())
        if old == least:
            have_older = bool(older.next_nodup())


def _last_before(probe: Cursor, key: bytes, bound: bytes) -> bytes | None:
    """The key's newest superseded revision below `bound`, unless it is a delete."""
    if probe.set_range_dup(key, bound):
        if not probe.prev_dup():
            return None
    elif not (probe.set_key(key) and probe.last_dup()):
        return None
    row = probe.value()
    return None if row[REVISION_BYTES:] == DELETE_FLAG else row[:REVISION_BYTES]


def value_at(view: View, key: bytes, mod_revision: int) -> KeyValue | None:
    """The version of a key that `mod_revision` wrote, if it is still there."""
    index = view.txn.get(key, db=view.tables.keys)
    if index is not None and unpack_index(index)[0] == mod_revision:
        return load(view, index)
    probe = view.txn.cursor(db=view.tables.history)
    if not probe.set_range_dup(key, pack_revision(mod_revision, 0)):
        return None
    row = probe.value()
    if not row.startswith(pack_revision(mod_revision, 0)[:8]) or row[REVISION_BYTES:] != PUT_FLAG:
        return None
    return load(view, row)
