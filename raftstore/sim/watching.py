"""Virtual watchers: they write down all they are told, and resume elsewhere when their replica is gone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..errors import WatchCanceled, WatchCompacted
from .history import WatchBatch, WatchedEvent, WatchLog, WatchProgress, WatchSegment
from .port import Port, WatchHandle
from .workload import World

_RANGES = ((b"r/", b"r0"), (b"m/", b"m0"), (b"\0", b"\0"), (b"r/0", b""), (b"l/", b"l0"))


class Watcher:
    """One logical watch over all its resumptions."""

    def __init__(self, world: World, client: int, rng: random.Random) -> None:
        key, range_end = rng.choice(_RANGES)
        self.log = WatchLog(client, key, range_end, previous_wanted=rng.random() < 0.5)
        self._world = world
        self._rng = rng
        self._next_revision = 1
        self._sink: _Sink | None = None
        self._port: Port | None = None
        world.history.watches.append(self.log)

    def start(self) -> None:
        self._world.schedule.after(self._rng.random(), self._look)

    def _look(self) -> None:
        """Now and then: is the replica still there, do we want a bookmark, do we feel like moving?"""
        self._world.schedule.after(0.1 + 0.5 * self._rng.random(), self._look)
        if self._sink is not None and (self._sink.ended or self._port not in self._world.alive()):
            self._sink.close()
            self._sink = None
        if self._sink is None:
            self._open()
            return
        draw = self._rng.random()
        if self._world.stopped:
            return
        if draw < 0.2:
            self._sink.ask_progress()
        elif draw < 0.23:
            self._sink.close()
            self._sink = None

    def _open(self) -> None:
        alive: Sequence[Port] = self._world.alive()
        if not alive:
            return
        self._port = self._rng.choice(alive)
        segment = WatchSegment(self._port.member_id, self._next_revision)
        self.log.segments.append(segment)
        self._sink = _Sink(self, segment)
        self._world.schedule.trace(f"watch {self.log.client} from {self._next_revision} on {self._port.member_id}")
        self._sink.handle = self._port.watch(
            self.log.key, self.log.range_end, self._next_revision, self.log.previous_wanted, self._sink
        )

    def received(self, segment: WatchSegment, item: WatchBatch | WatchProgress) -> None:
        segment.received.append(item)
        if isinstance(item, WatchProgress):
            self._next_revision = max(self._next_revision, item.revision + 1)
        elif item.events:
            self._next_revision = max(self._next_revision, item.events[-1].revision + 1)

    def canceled(self, segment: WatchSegment, error: WatchCanceled) -> None:
        if isinstance(error, WatchCompacted):
            segment.compacted_revision = error.compact_revision
            self._next_revision = max(self._next_revision, error.compact_revision + 1)
        else:
            self._next_revision = error.resume_revision

    @property
    def now_s(self) -> float:
        return self._world.schedule.now_s

    def trace(self, line: str) -> None:
        self._world.schedule.trace(f"watch {self.log.client} {line}")


class _Sink:
    """The receiving end of one watch; silent once closed, as a closed stream is."""

    def __init__(self, watcher: Watcher, segment: WatchSegment) -> None:
        self.handle: WatchHandle | None = None
        self.ended = False
        self._watcher = watcher
        self._segment = segment

    def events(self, events: tuple[WatchedEvent, ...]) -> None:
        if not self.ended:
            self._watcher.trace(f"got {[event.revision for event in events]}")
            self._watcher.received(self._segment, WatchBatch(self._watcher.now_s, events))

    def progress(self, revision: int) -> None:
        if not self.ended:
            self._watcher.trace(f"bookmark {revision}")
            self._watcher.received(self._segment, WatchProgress(self._watcher.now_s, revision))

    def canceled(self, error: WatchCanceled) -> None:
        if not self.ended:
            self.ended = True
            self._watcher.trace(f"canceled {type(error).__name__} {error.resume_revision} {error.compact_revision}")
            self._watcher.canceled(self._segment, error)

    def ask_progress(self) -> None:
        if self.handle is not None:
            self.handle.request_progress()

    def close(self) -> None:
        self.ended = True
        if self.handle is not None:
            self.handle.cancel()
