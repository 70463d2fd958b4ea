"""Changes within one LMDB transaction: the only code that writes keys, events, history and lease links.

A `Writer` lives for one transaction and counts revisions: `begin` opens the next revision, every change in
it takes the next sub-number, and `end` makes the revision count only if something changed. Records and
events pile up here for the digest and the watchers.
"""

from __future__ import annotations

from ..errors import StateDamaged
from ..model import Event, EventType, KeyValue
from .lease import attach, detach
from .read import View, load, scan
from .schema import (
    BEYOND_KEYS,
    DELETE_FLAG,
    PUT_FLAG,
    REVISION_BYTES,
    Tables,
    Transaction,
    encode_record,
    pack_index,
    pack_revision,
    unpack_index,
)

_PUT, _DELETE = EventType.PUT, EventType.DELETE


class Writer:
    __slots__ = (
        "_events_table",
        "_garbage_table",
        "_history_table",
        "_keys_table",
        "_sub",
        "_txn",
        "compact_revision",
        "events",
        "records",
        "revision",
        "tables",
    )

    def __init__(self, txn: Transaction, tables: Tables, revision: int, compact_revision: int) -> None:
        self._txn = txn
        self.tables = tables
        self._keys_table = tables.keys
        self._events_table = tables.events
        self._history_table = tables.history
        self._garbage_table = tables.garbage
        self.revision = revision  # the newest one that counts
        self.compact_revision = compact_revision
        self._sub = 0  # changes so far in revision + 1
        self.events: list[Event] = []
        self.records: list[bytes] = []  # what the digest covers, since it was taken last

    @property
    def txn(self) -> Transaction:
        return self._txn

    @property
    def current(self) -> int:
        """The revision a reader within this transaction sees: the open one once something changed."""
        return self.revision + 1 if self._sub else self.revision

    def end(self) -> int:
        """Close the open revision; the newest revision now."""
        if self._sub:
            self.revision += 1
            self._sub = 0
        return self.revision

    def view(self) -> View:
        return View(self._txn, self.tables, self.current, self.compact_revision)

    def index_of(self, key: bytes) -> bytes | None:
        return self._txn.get(key, db=self._keys_table)

    def put(self, key: bytes, value: bytes, lease: int) -> None:
        txn = self._txn
        main, sub = self.revision + 1, self._sub
        stamp = pack_revision(main, sub)
        found = txn.get(key, db=self._keys_table)
        if found is None:
            create, version, previous, old_lease = main, 1, 0, 0
        else:
            previous, _, create, version, old_lease = unpack_index(found)
            version += 1
            self._outdate(key, found[:REVISION_BYTES], stamp, PUT_FLAG)
        record = encode_record((key, value, create, main, version, lease, previous))
        self._append(stamp, record)
        txn.put(key, pack_index(main, sub, create, version, lease), db=self._keys_table)
        if lease != old_lease:
            if old_lease:
                detach(txn, self.tables, old_lease, key)
            if lease:
                attach(txn, self.tables, lease, key)
        self.events.append(Event(_PUT, KeyValue(key, value, create, main, version, lease), previous))

    def delete(self, key: bytes, found: bytes) -> None:
        """Delete a live key whose index row is `found`."""
        main = self.revision + 1
        stamp = pack_revision(main, self._sub)
        previous, _, _, _, lease = unpack_index(found)
        self._outdate(key, found[:REVISION_BYTES], stamp, DELETE_FLAG)
        self._txn.put(key, stamp + DELETE_FLAG, db=self._history_table)
        self._append(stamp, encode_record((key, b"", 0, main, 0, 0, previous)))
        self._txn.delete(key, db=self._keys_table)
        if lease:
            detach(self._txn, self.tables, lease, key)
        self.events.append(Event(_DELETE, KeyValue(key, b"", 0, main, 0), previous))

    def delete_range(self, key: bytes, range_end: bytes, *, prev_kv: bool) -> tuple[int, list[KeyValue]]:
        """How many keys went, and what they were when `prev_kv` asks for it."""
        view = self.view()
        if range_end:
            rows = list(scan(view, key, range_end))
        else:
            found = self.index_of(key) if len(key) < len(BEYOND_KEYS) else None
            rows = [] if found is None else [(key, found)]
        previous = [load(view, index) for _, index in rows] if prev_kv else []
        for found_key, index in rows:
            self.delete(found_key, index)
        return len(rows), previous

    def _outdate(self, key: bytes, old: bytes, new: bytes, flag: bytes) -> None:
        """The version `old` is not the newest any more; compaction beyond `new` may remove it."""
        self._txn.put(key, old + PUT_FLAG, db=self._history_table)
        self._txn.put(new, old + flag + key, db=self._garbage_table, append=True)

    def _append(self, stamp: bytes, record: bytes) -> None:
        if not self._txn.put(stamp, record, db=self._events_table, append=True):
            raise StateDamaged(f"revision {self.revision + 1} is in the state already: rebuild the state")
        self.records.append(record)
        self._sub += 1
