"""The state machine: etcd v3's semantics over LMDB.

`StateMachine` (machine.py) is the room's face; `Applied`, `Outcome` and the results beside it say what an
`apply` did. Nothing here knows a clock, a thread or asyncio, and nothing but `writer.py`, `lease.py`,
`sessions.py`, `meta.py` and `compaction.py` writes.
"""

from .lease import Lease
from .machine import StateMachine
from .meta import SnapshotMeta, read_snapshot_meta
from .outcome import Applied, Duplicate, Outcome, Result, SessionRegistered

__all__ = [
    "Applied",
    "Duplicate",
    "Lease",
    "Outcome",
    "Result",
    "SessionRegistered",
    "SnapshotMeta",
    "StateMachine",
    "read_snapshot_meta",
]
