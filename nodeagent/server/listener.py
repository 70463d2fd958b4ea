"""The port: TLS under the node's own certificate, and HTTP once somebody knocks.

The web server costs memory that a node nobody asks should not pay. So the first connections are held, unread, while
it is loaded in a thread. A renewed certificate is taken up by the connections that come after.

Whoever has a route to the port may begin a handshake, and each costs memory and a descriptor for as long as it takes:
HANDSHAKES_MAX go on at a time, and who comes then takes the place of the one that has taken longest.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodeagent.errors import BadIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connections

HANDSHAKE_TIMEOUT_S = 10.0
HANDSHAKES_MAX = 100
ACCEPT_AGAIN_S = 1.0  # when there are no descriptors left
SHUTDOWN_TIMEOUT_S = 5.0
BACKLOG = 128
HELD_MAX = 100

log = logging.getLogger(__name__)


def server_context(authority: Path, pair: Path) -> ssl.SSLContext:
    """A client may show a certificate of the cluster CA, and nobody else's. Raises BadIdentity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL  # whoever shows none is told so in HTTP
    try:
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as error:
        raise BadIdentity(f"cannot use {authority}: {error}") from error
    take_certificate(context, pair)
    return context


def take_certificate(context: ssl.SSLContext, pair: Path) -> None:
    """For handshakes from now on. Raises BadIdentity."""
    try:
        context.load_cert_chain(pair)
    except (OSError, ssl.SSLError) as error:
        raise BadIdentity(f"cannot use {pair}: {error}") from error


class Listener:
    """`load` makes what handles connections; it is called in a thread, once."""

    def __init__(self, load: Callable[[], Callable[[], Connections]]) -> None:
        self._load = load
        self._loading: asyncio.Task[None] | None = None
        self._connections: Connections | None = None
        self._tls: ssl.SSLContext | None = None
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._shaking: dict[socket.socket, asyncio.Task[None]] = {}  # in the order in which they came
        self._leaving: set[asyncio.Task[None]] = set()  # those that had to make room
        self._held: set[_Held] = set()
        self.port = 0

    async def open(self, host: str | None, port: int, tls: ssl.SSLContext) -> None:
        """Raises OSError when the port is taken."""
        self._tls = tls
        dual = host is None and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual or ":" in (host or "") else socket.AF_INET
        self._listening = socket.create_server((host or "", port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._listening), name="the node's port")

    async def close(self) -> None:
        tasks = [
            each
            for each in (self._accepting, self._loading, *self._shaking.values(), *self._leaving)
            if each is not None
        ]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()
        for held in list(self._held):
            held.let_go()
        if self._connections is not None:
            await self._connections.shutdown(timeout=1.0)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                made, _ = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("nobody can come to the node's API", extra={"error": error.strerror or str(error)})
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self._shaking) >= HANDSHAKES_MAX:
                oldest = next(iter(self._shaking))
                leaving = self._shaking.pop(oldest)
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its handshake sees the end
            self._shaking[made] = asyncio.create_task(self._shake_hands(made), name="a handshake")

    async def _shake_hands(self, made: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection,
                made,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            log.debug("a handshake failed", extra={"error": str(error)})
        finally:
            self._shaking.pop(made, None)

    def _connection(self) -> asyncio.Protocol:
        if self._connections is not None:
            return self._connections()
        return _Held(self)

    def hold(self, held: _Held) -> None:
        if self._connections is not None:  # loaded while it shook hands
            held.hand_over(self._connections())
            return
        if len(self._held) >= HELD_MAX:
            held.let_go()
            return
        self._held.add(held)
        if self._loading is None:
            self._loading = asyncio.create_task(self._loaded(), name="load the web server")

    def lost(self, held: _Held) -> None:
        self._held.discard(held)

    async def _loaded(self) -> None:
        try:
            self._connections = (await asyncio.to_thread(self._load))()
        except Exception:
            log.exception("the node's API cannot be loaded")
            for held in list(self._held):
                held.let_go()
            self._loading = None
            return
        for held in list(self._held):
            held.hand_over(self._connections())
        self._held.clear()


class _Held(asyncio.Protocol):
    """A connection from which nothing is read yet."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: Any = None
        self._early = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.pause_reading()
        self._listener.hold(self)

    def data_received(self, data: bytes) -> None:
        self._early += data  # what had been decrypted already

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.lost(self)

    def let_go(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        if self._transport.is_closing():
            return
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._early:
            protocol.data_received(bytes(self._early))
        self._transport.resume_reading()
