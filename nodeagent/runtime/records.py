"""What the simulated runtime remembers, and how it tells what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from .interface import Container, ContainerConfig, Sandbox, SandboxConfig


class SandboxRecord:
    __slots__ = ("config", "containers", "state")

    def __init__(self, config: SandboxConfig, state: Sandbox) -> None:
        self.config = config
        self.state = state
        self.containers: dict[str, ContainerRecord] = {}


class ContainerRecord:
    """`started` is by the loop's clock. `gone` is set at its exit, for who waits. `exit_timer` is what ends it."""

    __slots__ = ("config", "exit_timer", "gone", "sandbox", "started", "state", "stopping")

    def __init__(self, config: ContainerConfig, state: Container, sandbox: SandboxRecord) -> None:
        self.config = config
        self.state = state
        self.sandbox = sandbox
        self.started = 0.0
        self.stopping = False  # somebody asked it to end
        self.exit_timer: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()

    def end_at(self, timer: asyncio.TimerHandle) -> None:
        """The earlier of this timer and the one there is."""
        if self.exit_timer is not None and not self.exit_timer.cancelled():
            if self.exit_timer.when() <= timer.when():
                timer.cancel()
                return
            self.exit_timer.cancel()
        self.exit_timer = timer

    def let_live(self) -> None:
        if self.exit_timer is not None:
            self.exit_timer.cancel()
            self.exit_timer = None


class EventStream:
    """Uids of pods that changed, each once until it is taken: never more than there are pods."""

    def __init__(self) -> None:
        self._changed: dict[str, None] = {}
        self._news = asyncio.Event()

    def add(self, pod_uid: str) -> None:
        self._changed[pod_uid] = None
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def take(self) -> Iterable[str]:
        await self._news.wait()
        self._news.clear()
        taken, self._changed = self._changed, {}
        return taken
