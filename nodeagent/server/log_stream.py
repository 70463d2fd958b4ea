"""One client's view of one container's log: read in threads, sent as fast as the client takes it.

While it follows, nothing is read before there is something new: size and change time of an open file are looked at,
which costs a microsecond and touches no disk. It ends when the container had ended before the last look found nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

from .log_lines import LogLines
from .log_options import LogOptions
from .log_reader import LogReader

BLOCKS_PER_STEP = 16  # of which nothing is shown, before somebody else gets the thread
POLL_FIRST_S = 0.05
POLL_SLOWEST_S = 0.4

Write = Callable[[bytes], Awaitable[None]]
#: Whether the container has ended.
Over = Callable[[], Awaitable[bool]]


class LogStream:
    """`open`, `copy`, and `close` whatever happened. All but `copy` block."""

    def __init__(self, log: Path, options: LogOptions) -> None:
        self._options = options
        self._lines = LogLines(
            timestamps=options.timestamps, since_ns=options.since_ns, limit_bytes=options.limit_bytes
        )
        self._lock = threading.Lock()  # a reader whose client went is closed while a thread may still read for it
        self._reader: LogReader | None = LogReader(log)
        if options.tail_lines is not None:
            self._reader.seek_last(options.tail_lines)
        if options.since_ns is not None:
            self._reader.skip_older(options.since_ns / 1e9)

    def close(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    async def copy(self, threads: Executor, write: Write, over: Over) -> None:
        """Raises OSError, and what `write` raises."""
        loop, follows = asyncio.get_running_loop(), self._options.follow
        while True:
            done, seen = not follows or await over(), self._state()
            at_end = False
            while not at_end:
                text, at_end = await loop.run_in_executor(threads, self._step)
                if text:
                    await write(text)
            if self._lines.full:
                return
            if follows and await loop.run_in_executor(threads, self._look_for_newer):
                await asyncio.sleep(POLL_FIRST_S)
            elif done:
                if text := await loop.run_in_executor(threads, self._last):
                    await write(text)
                return
            else:
                await self._change(seen, over)

    async def _change(self, seen: object, over: Over) -> None:
        pause_s = POLL_FIRST_S
        while self._state() == seen and not await over():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, POLL_SLOWEST_S)

    def _state(self) -> object:
        return self._reader.state if self._reader is not None else None

    def _step(self) -> tuple[bytes, bool]:
        """What to send next, and whether that was all there is."""
        with self._lock:
            for _ in range(BLOCKS_PER_STEP):
                raw = self._reader.read() if self._reader is not None else b""
                if not raw:
                    return b"", True
                text = self._lines.shown(raw)
                if text or self._lines.full:
                    return text, self._lines.full
        return b"", False

    def _look_for_newer(self) -> bool:
        with self._lock:
            return self._reader is not None and self._reader.look_for_newer()

    def _last(self) -> bytes:
        with self._lock:
            return self._lines.shown(self._reader.rest()) if self._reader is not None else b""
