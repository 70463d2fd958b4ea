"""What applying says back: one outcome per request, the events, and the configuration if it changed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..errors import StoreError
from ..model import AlarmResult, CompactResult, DeleteResult, Event, LeaseResult, PutResult, TxnResult
from ..raft.engine import Configuration


class SessionRegistered(msgspec.Struct, frozen=True):
    session: int


class Duplicate(msgspec.Struct, frozen=True):
    """The request was applied before under this (session, sequence); its outcome was given then."""


Result = (
    PutResult
    | DeleteResult
    | TxnResult
    | LeaseResult
    | CompactResult
    | AlarmResult
    | SessionRegistered
    | Duplicate
    | StoreError
)


class Outcome(NamedTuple):
    """The result of the request that (session, sequence) names; a StoreError is a result like any other."""

    session: int
    sequence: int
    result: Result


class Applied(NamedTuple):
    """What one `apply` did. `events` are in revision order; `configuration` is the last one applied."""

    outcomes: list[Outcome]
    events: list[Event]
    configuration: Configuration | None
