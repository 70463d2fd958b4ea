"""What both sides of the comparison must be able to do, and the work both are given."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from .process import Memory

MEMBERS = 3
CLIENTS = 64
WATCHERS = 100
RANGE_KEYS = 10_000
VALUE = bytes(range(256)) * 4  # 1 KiB
HOT_KEY = b"/bench/hot"  # every load of puts and gets is on this key: h2load can send only one body
WATCH_KEY = b"/bench/watched"
RANGE_PREFIX = b"/bench/range/"
RANGE_END = b"/bench/range0"
FILL_PREFIX = b"/bench/fill/"
PROBE_KEY = b"/bench/probe"
PROBE_INTERVAL_S = 0.01


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Answers per second, and the load generator's own processor share (of one core; 0 where it is in process)."""

    rate: float
    client_cpu: float = 0.0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    samples_s: list[float]
    client_cpu: float = 0.0


class WorkNotDone(Exception):
    """Answers were counted but the server's state does not show the work: such a figure is worth nothing."""


class Cluster(Protocol):
    """Three processes on this machine, durable. All times are seconds of one monotonic clock."""

    name: str

    async def start(self, folder: Path) -> None:
        """Three empty members in `folder`; returns when each has answered."""

    async def stop(self) -> None:
        """End every process. May be called twice."""

    async def leader_port(self) -> int:
        """The leader's etcd v3 gRPC port (h2c)."""

    async def fill(self, prefix: bytes, count: int) -> Rate:
        """Put `count` distinct keys, 64 in flight; all acknowledged."""

    async def fail_over(self) -> float:
        """Seconds from kill -9 of the leader to the first put acknowledged elsewhere; then it is brought back."""

    async def restart(self) -> float:
        """kill -9 of all, start all: seconds from the first start to the first acknowledged put."""

    def memory(self) -> list[Memory]:
        """Of each member."""

    def written_bytes(self) -> int:
        """Of all members together since their start."""

    def cpu_s(self) -> float:
        """Of all members together since their start."""
