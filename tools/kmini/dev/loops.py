"""An event loop on a thread of its own: how a control plane runs beside the tests that use it.

One replica has one loop, so that it can be frozen as a whole, and so that everything it dials leaves from its own
loopback address, by which the links (links.py) know who calls.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

CALL_TIMEOUT_S = 60.0


class ReplicaLoop(uvloop.Loop):
    """Peers that this loop dials see `source` as the caller's address."""

    source = ""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if self.source and sock.family == socket.AF_INET and str(address[0]).startswith("127."):
            sock.bind((self.source, 0))
        await super().sock_connect(sock, address)


def replica_loop(source: str) -> ReplicaLoop:
    loop = ReplicaLoop()
    loop.source = source
    return loop


class LoopThread:
    """Starts at once; `close` ends it. All methods are for other threads."""

    def __init__(self, name: str, factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop) -> None:
        self._ready = threading.Event()
        self._thaw: threading.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._factory = factory
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None
        return self._loop

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, T], *, timeout_s: float = CALL_TIMEOUT_S) -> T:
        """Run it there and wait for what comes of it. Raises TimeoutError, after having cancelled it."""
        future = self.submit(work)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise

    def freeze(self) -> None:
        """The loop stands still until `thaw`: sockets stay open and nobody answers, as when a machine hangs."""
        if self._thaw is None:
            self._thaw = thaw = threading.Event()
            still = threading.Event()

            def stand() -> None:
                still.set()
                thaw.wait()

            self.loop.call_soon_threadsafe(stand)
            still.wait(CALL_TIMEOUT_S)

    def thaw(self) -> None:
        if self._thaw is not None:
            self._thaw.set()
            self._thaw = None

    def close(self) -> None:
        self.thaw()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_TIMEOUT_S)
