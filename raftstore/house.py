"""What the rooms of one replica share: the world outside, and what is known of the cluster right now.

Rooms (proposals, reading, leases, ...) hold the house and never each other's insides. Only the replica
writes the fields below the line; every room may read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import StoreError
from .metrics import Metrics
from .mvcc.machine import StateMachine
from .options import ReplicaOptions
from .raft.engine import Engine, Role
from .runtime import Runtime

#: Called once with a result or a StoreError, never from within the call that was given it.
Done = Callable[[Any], None]


class House:
    def __init__(
        self, *, runtime: Runtime, member_id: int, machine: StateMachine, options: ReplicaOptions, metrics: Metrics
    ) -> None:
        self.runtime = runtime
        self.member_id = member_id
        self.options = options
        self.metrics = metrics
        # ------------------------------------------------------------------------------------------
        self.machine = machine  # replaced when a snapshot is installed
        self.engine: Engine
        self.role = Role.FOLLOWER
        self.term = 0
        self.leader = 0
        self.refusal: StoreError | None = None  # why this replica serves nothing: stopped, quarantined, damaged
        self.write_refusal: StoreError | None = None  # why it takes no writes: its disk is full
        self.stopped = False
        self.quarantined = False  # waits for a snapshot to replace its state
        self.installs = 0  # snapshots installed over the state since it was opened

    @property
    def leading(self) -> bool:
        return self.role is Role.LEADER

    def answer_soon(self, done: Done, outcome: Any) -> None:
        """Answer a caller that is still on the stack."""
        self.runtime.call_soon(lambda: done(outcome))
