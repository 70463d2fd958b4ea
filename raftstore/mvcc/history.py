"""Events of the past, from the revision-ordered table: what catches a watcher up."""

from __future__ import annotations

from ..model import Event
from .read import View
from .schema import decode_record, pack_number, within


def events_from(
    view: View, start_revision: int, key: bytes, range_end: bytes, *, revisions_max: int, bytes_max: int
) -> tuple[list[Event], int]:
    """Whole revisions of a range, and the revision to ask for next.

    Every revision looked at counts against the bounds, also those that changed nothing in the range.
    """
    end = within(key, range_end)
    events: list[Event] = []
    cursor = view.txn.cursor(db=view.tables.events)
    if not cursor.set_range(pack_number(start_revision)):
        return events, max(start_revision, view.revision + 1)
    main = b""
    for stamp, record in cursor.iternext():
        if stamp[:8] != main:
            if main and (revisions_max <= 0 or bytes_max <= 0):
                return events, int.from_bytes(stamp[:8], "big")
            main = stamp[:8]
            revisions_max -= 1
        bytes_max -= len(record)
        found = decode_record(record)
        if key <= found.key < end:
            events.append(found.event())
    return events, view.revision + 1
