"""Feels the pulse of servers whose watches are silent: one that hangs, or was cut off from the others, says nothing and
ends nothing, and whoever listens to it would wait long for news that others have.

A probe asks for readiness over another connection. Two that fail end the server's streams, so that watches are taken up
elsewhere. With one server known there is no elsewhere, and nobody is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from . import requests
from .servers import Servers
from .transport import Stream, Transport, TransportError

log = logging.getLogger(__name__)

SILENCE_S = 10.0
PROBE_TIMEOUT_S = 5.0
AGAIN_S = 1.0
FAILURES = 2


class Pulse:
    """Its clock is the running loop's. `close` it with the client."""

    def __init__(self, transport: Transport, servers: Servers) -> None:
        self._transport = transport
        self._servers = servers
        self._streams: dict[str, set[Stream]] = {}
        self._heard: dict[str, float] = {}
        self._feeling: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # until they have ended

    def heard(self, server: str) -> None:
        self._heard[server] = asyncio.get_running_loop().time()

    @contextlib.contextmanager
    def listening(self, server: str, stream: Stream) -> Iterator[None]:
        """The stream is open as long as this is."""
        self.heard(server)
        self._streams.setdefault(server, set()).add(stream)
        if server not in self._feeling and len(self._servers.all) > 1:
            task = self._feeling[server] = asyncio.create_task(self._feel(server), name=f"pulse of {server}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            yield
        finally:
            self._streams[server].discard(stream)
            if not self._streams[server]:
                del self._streams[server]
                feeling = self._feeling.pop(server, None)
                if feeling is not None:
                    feeling.cancel()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _feel(self, server: str) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(max(AGAIN_S, self._heard[server] + SILENCE_S - now()))
            if now() - self._heard[server] < SILENCE_S:
                continue
            if await self._is_well(server):
                self.heard(server)
                continue
            log.warning("a server that watches listen to does not answer, or is not ready", extra={"server": server})
            self._servers.failed(server)
            for stream in list(self._streams[server]):
                stream.abort()

    async def _is_well(self, server: str) -> bool:
        for failures in range(FAILURES):
            if failures:
                await asyncio.sleep(AGAIN_S)
            with contextlib.suppress(TransportError):
                answer = await self._transport.send(server, requests.get("/readyz"), timeout_s=PROBE_TIMEOUT_S)
                if answer.status < 500:
                    return True
        return False
