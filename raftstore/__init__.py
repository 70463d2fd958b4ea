"""raftstore: a linearizable, durable, watchable key-value store that every replica embeds.

    async with await Store.open(StoreConfig(name="a", data_dir=path)) as store:
        result = await store.put(b"k", b"v")
        got = await store.get(b"k")

This is the public face: what is not named here may change without notice.
"""

from .config import StoreConfig
from .limits import Timing
from .model import (
    Alarm,
    AlarmResult,
    AlarmType,
    CompactResult,
    Compare,
    CompareOp,
    CompareTarget,
    Delete,
    DeleteResult,
    Event,
    EventType,
    HashResult,
    KeyValue,
    LeaseResult,
    LeaseStatus,
    Put,
    PutResult,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
    Txn,
    TxnResult,
    prefix_end,
)
from .options import ReplicaOptions, SnapshotOptions
from .raft.credentials import Credentials
from .raft.engine import Configuration, Member, Role
from .replica import ReplicaStatus
from .store import Store
from .watching import Watch, WatchBatch

__all__ = [
    "Alarm",
    "AlarmResult",
    "AlarmType",
    "CompactResult",
    "Compare",
    "CompareOp",
    "CompareTarget",
    "Configuration",
    "Credentials",
    "Delete",
    "DeleteResult",
    "Event",
    "EventType",
    "HashResult",
    "KeyValue",
    "LeaseResult",
    "LeaseStatus",
    "Member",
    "Put",
    "PutResult",
    "Range",
    "RangeResult",
    "ReplicaOptions",
    "ReplicaStatus",
    "Role",
    "SnapshotOptions",
    "SortOrder",
    "SortTarget",
    "Store",
    "StoreConfig",
    "Timing",
    "Txn",
    "TxnResult",
    "Watch",
    "WatchBatch",
    "prefix_end",
]
