"""A replica as its clients see it: the calls that the workload makes, and nothing else.

Calls enter the replica's process through its runtime, so a paused replica answers late and a dead one
never. `done` gets a result or a StoreError, once, or is never called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..command import Command
from ..errors import WatchCanceled
from ..model import Range
from .history import WatchedEvent

Done = Callable[[Any], None]


class WatchSink(Protocol):
    """Where a watch of a replica ends up; called inside the replica's process."""

    def events(self, events: tuple[WatchedEvent, ...]) -> None: ...
    def progress(self, revision: int) -> None: ...
    def canceled(self, error: WatchCanceled) -> None: ...


class WatchHandle(Protocol):
    def request_progress(self) -> None: ...
    def cancel(self) -> None: ...


class Port(Protocol):
    member_id: int

    @property
    def alive(self) -> bool:
        """Whether a process is there to be asked (it may be paused)."""

    def write(self, command: Command, timeout_s: float, done: Done) -> None: ...
    def read(self, request: Range, timeout_s: float, done: Done) -> None: ...
    def read_local(self, request: Range, done: Done) -> None: ...
    def keep_alive(self, lease: int, timeout_s: float, done: Done) -> None: ...
    def watch(
        self, key: bytes, range_end: bytes, start_revision: int, previous_wanted: bool, sink: WatchSink
    ) -> WatchHandle: ...
