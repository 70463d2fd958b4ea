"""TCP and TLS between replicas: listening, dialling, and what every such socket is set to.

Sockets are made here rather than by asyncio so that a failed handshake is an exception with a reason (a
server of asyncio's own swallows it) and so that dead peers are noticed by the kernel too.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..limits import HANDSHAKES_MAX
from .addresses import split_address
from .connection import Connection, LinkMetrics
from .credentials import Refusal, TlsContexts, handshake_refusal

_log = logging.getLogger("raftstore.transport")

_BACKLOG = 128
_SHUTDOWN_S = 1.0
_NO_DESCRIPTORS_PAUSE_S = 0.1
_REFUSAL_LOG_EVERY_S = 10.0
_REFUSAL_SOURCES_MAX = 1024

SomeConnection = TypeVar("SomeConnection", bound=Connection)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    listener.setblocking(False)
    return listener


def tune(connected: socket.socket, dead_s: float) -> None:
    """Send at once, and give up on a peer whose kernel acknowledges nothing for `dead_s`."""
    connected.setblocking(False)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(dead_s * 1000))


async def dial(
    address: str,
    make: Callable[[], SomeConnection],
    contexts: TlsContexts,
    *,
    timeout_s: float,
    dead_s: float,
    connect_s: float | None = None,
) -> SomeConnection:
    """Connect and shake hands, `timeout_s` for both; `connect_s` for the first, when that shall be less.

    Raises OSError (ssl.SSLError and TimeoutError are), ValueError for the address.
    """
    host, port = split_address(address)
    loop = asyncio.get_running_loop()
    connection = make()
    async with asyncio.timeout(timeout_s):
        async with asyncio.timeout(connect_s):
            connected = await _connect(loop, host, port)
        inode = os.fstat(connected.fileno()).st_ino
        try:
            tune(connected, dead_s)
            await loop.create_connection(
                lambda: connection,
                sock=connected,
                ssl=contexts.client,
                server_hostname=host,
                ssl_handshake_timeout=timeout_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
        except BaseException:
            connection.abandon("given up")  # TLS may be up already, and its end would wait for the other side
            _close(connected, inode)
            raise
    return connection


def _close(connected: socket.socket, inode: int) -> None:
    """Unless the loop has: when a peer resets a connection in the very turn in which it is made, uvloop closes the
    descriptor and leaves the object with its number, and whatever has that number next would be closed in its stead.
    """
    with contextlib.suppress(OSError):
        if os.fstat(connected.fileno()).st_ino == inode:
            connected.close()
            return
    connected.detach()


async def _connect(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """The first of the host's addresses that answers."""
    failure: OSError = OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    for family, kind, protocol, _, target in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        candidate = socket.socket(family, kind, protocol)
        candidate.setblocking(False)
        try:
            await loop.sock_connect(candidate, target)
        except OSError as error:
            candidate.close()
            failure = error
        except BaseException:
            candidate.close()
            raise
        else:
            return candidate
    raise failure


class Refusals:
    """Counts every refusal, and logs each kind from one place at most every ten seconds."""

    def __init__(self, metrics: LinkMetrics) -> None:
        self._metrics = metrics
        self._logged: dict[tuple[str, str], float] = {}

    def note(self, refusal: Refusal, address: str) -> None:
        self._metrics.refused[refusal.reason] += 1
        key = (refusal.reason, address.rpartition(":")[0])
        now = asyncio.get_running_loop().time()
        if now - self._logged.get(key, -_REFUSAL_LOG_EVERY_S) < _REFUSAL_LOG_EVERY_S:
            return
        if len(self._logged) >= _REFUSAL_SOURCES_MAX:
            self._logged.clear()
        self._logged[key] = now
        _log.warning("peer connection refused", extra={"reason": refusal.reason, "peer": address, "why": str(refusal)})


class Door:
    """The peer port: accepts, shakes hands, and lets nobody in without a certificate of the peer CA.

    At most HANDSHAKES_MAX handshakes run at once; further callers are hung up on and counted.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        make: Callable[[], Connection],
        contexts: Callable[[], TlsContexts],
        metrics: LinkMetrics,
        handshake_s: float,
        dead_s: float,
    ) -> None:
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._make = make
        self._contexts = contexts
        self._metrics = metrics
        self._refusals = Refusals(metrics)
        self._handshake_s, self._dead_s = handshake_s, dead_s
        self._handshakes: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._listen()

    def close(self) -> None:
        self._loop.remove_reader(self._listener)
        if self._again is not None:
            self._again.cancel()
        for handshake in self._handshakes:
            handshake.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        self._listener.close()

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """One caller; not by a coroutine, which loses whoever comes in the moment in which it is cancelled."""
        try:
            connected, _ = self._listener.accept()
        except BlockingIOError:  # the caller went away
            return
        except OSError as error:  # out of descriptors: that does not end the door
            _log.warning("accept on the peer port failed", extra={"why": str(error)})
            self._loop.remove_reader(self._listener)
            self._again = self._loop.call_later(_NO_DESCRIPTORS_PAUSE_S, self._listen)
            return
        if len(self._handshakes) >= HANDSHAKES_MAX:
            self._metrics.refused["too_many_handshakes"] += 1
            connected.close()
            return
        handshake = self._loop.create_task(self._shake_hands(connected), name="peer-handshake")
        self._handshakes.add(handshake)
        handshake.add_done_callback(partial(self._shaken, connected))

    def _shaken(self, connected: socket.socket, handshake: asyncio.Task[None]) -> None:
        self._handshakes.discard(handshake)
        if handshake.cancelled():  # perhaps before it began
            connected.close()

    async def _shake_hands(self, connected: socket.socket) -> None:
        address = "unknown"
        connection = self._make()
        try:
            with contextlib.suppress(OSError):
                host, port, *_ = connected.getpeername()
                address = f"{host}:{port}"
            tune(connected, self._dead_s)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                connected,
                ssl=self._contexts().server,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=_SHUTDOWN_S,
            )
            self._metrics.accepted += 1
        except OSError as error:  # ssl.SSLError and TimeoutError are
            connected.close()
            self._refusals.note(handshake_refusal(error), address)
        except asyncio.CancelledError:
            connection.abandon("closing")  # TLS may be up already: the loop would wait for its end on a closed socket
            raise
