"""What is kept under tests/fixtures for ever, and the facts that any later version must find in it.

A folder per format version: `data-directory.zip` with `data-directory.json`, and `log.msgpack.gz` (a
list of `[payload, index, term]`) with `log.json`. tests/fixtures/make.py made them once; nothing may change them.
"""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import msgspec

from raftstore import Range, ReplicaOptions, SnapshotOptions, StoreConfig
from raftstore.limits import KIB, MIB
from raftstore.model import Alarm, KeyValue
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.engine import Configuration, Entry
from raftstore.raft.journal import JournalOptions

V1 = Path(__file__).resolve().parents[1] / "fixtures" / "v1"
DATA_DIRECTORY = "data-directory.zip"
LOG = "log.msgpack.gz"
JOURNAL = JournalOptions(segment_bytes=8 * KIB, fill_bytes=2 * KIB)
#: No snapshot and no compaction but those that are asked for.
OPTIONS = ReplicaOptions(
    quota_bytes=16 * MIB,
    compaction_age_s=0.0,
    snapshot=SnapshotOptions(every_s=0.0, tail_entries=8),
)


class LeaseFacts(msgspec.Struct, frozen=True):
    id: int
    ttl: int
    keys: list[bytes]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that a state holds, and its two digests in hex."""

    applied_index: int
    applied_term: int
    revision: int
    compact_revision: int
    chain_digest: str
    hash_kv: str
    keys: list[KeyValue]
    leases: list[LeaseFacts]
    alarms: list[Alarm]
    sessions: int
    configuration: Configuration | None


class DataDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """Whose it is, and what must come back from it."""

    name: str
    cluster_id: int
    member_id: int
    facts: Facts


class RecordedLog(msgspec.Struct, frozen=True, kw_only=True):
    """`results` names the result of each request, in order."""

    facts: Facts
    results: list[str]


def facts_of(machine: StateMachine) -> Facts:
    scan = machine.hash_kv()
    while scan.step():
        pass
    return Facts(
        applied_index=machine.applied_index,
        applied_term=machine.applied_term,
        revision=machine.revision,
        compact_revision=machine.compact_revision,
        chain_digest=machine.digest.hex(),
        hash_kv=scan.digest.hex(),
        keys=machine.range(Range(b"\0", b"\0")).kvs,
        leases=[LeaseFacts(lease.id, lease.granted_ttl_s, machine.lease_keys(lease.id)) for lease in machine.leases()],
        alarms=sorted(machine.alarms, key=lambda alarm: (alarm.member, alarm.type)),
        sessions=machine.session_count,
        configuration=machine.configuration,
    )


def store_config(name: str, folder: Path) -> StoreConfig:
    return StoreConfig(name=name, data_dir=folder, options=OPTIONS, journal=JOURNAL)


def read_directory_facts(folder: Path) -> DataDirectory:
    return msgspec.json.decode((folder / "data-directory.json").read_bytes(), type=DataDirectory)


def read_log(folder: Path) -> list[Entry]:
    rows = msgspec.msgpack.decode(gzip.decompress((folder / LOG).read_bytes()), type=list[tuple[bytes, int, int]])
    return [Entry(*row) for row in rows]


def read_log_facts(folder: Path) -> RecordedLog:
    return msgspec.json.decode((folder / "log.json").read_bytes(), type=RecordedLog)


def unpack(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(folder / DATA_DIRECTORY) as archive:
        archive.extractall(target)
