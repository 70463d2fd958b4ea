"""The rows of the `meta` table beyond the state row, and what can be told of a state file at rest."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from ..errors import StateDamaged
from ..limits import MAP_TO_QUOTA, QUOTA_BYTES_DEFAULT
from ..model import Alarm
from ..raft.configuration import decode_configuration
from ..raft.engine import Configuration
from .schema import (
    META_ALARMS,
    META_CONFIGURATION,
    State,
    Tables,
    Transaction,
    load_state,
    open_environment,
    open_tables,
)

encode_alarms = msgspec.msgpack.Encoder().encode
_decode_alarms = msgspec.msgpack.Decoder(list[Alarm]).decode


class SnapshotMeta(NamedTuple):
    """What a copy of the state holds."""

    applied_index: int
    applied_term: int
    revision: int
    compact_revision: int
    digest: bytes
    configuration: Configuration | None
    bytes: int


def load_configuration(txn: Transaction, tables: Tables) -> Configuration | None:
    """The configuration in force; None in a state that has seen no configuration entry."""
    row = txn.get(META_CONFIGURATION, db=tables.meta)
    return None if row is None else decode_configuration(row)


def load_alarms(txn: Transaction, tables: Tables) -> frozenset[Alarm]:
    row = txn.get(META_ALARMS, db=tables.meta)
    try:
        return frozenset() if row is None else frozenset(_decode_alarms(row))
    except msgspec.DecodeError as error:
        raise StateDamaged(f"the state's alarms do not decode: {error}") from error


def in_order(alarms: frozenset[Alarm]) -> list[Alarm]:
    return sorted(alarms, key=lambda alarm: (alarm.member, alarm.type))


def store_alarms(txn: Transaction, tables: Tables, alarms: frozenset[Alarm]) -> None:
    txn.put(META_ALARMS, encode_alarms(in_order(alarms)), db=tables.meta)


def read_snapshot_meta(path: Path) -> SnapshotMeta:
    """Look into a copy without changing it. Raises StateDamaged, UnknownFormat."""
    size_bytes = path.stat().st_size
    environment = open_environment(path, map_bytes=max(size_bytes, MAP_TO_QUOTA * QUOTA_BYTES_DEFAULT), read_only=True)
    try:
        tables = open_tables(environment, path, create=False)
        with environment.begin() as txn:
            return _meta(load_state(txn, tables), load_configuration(txn, tables), size_bytes)
    finally:
        environment.close()


def _meta(state: State, configuration: Configuration | None, size_bytes: int) -> SnapshotMeta:
    return SnapshotMeta(*state, configuration, size_bytes)
