"""The port: TLS under the node's own certificate, and HTTP once somebody knocks.

The web server costs memory that a node nobody asks should not pay. So the first connections are held, unread, while
it is loaded in a thread. A renewed certificate is taken up by the connections that come after.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodeagent.errors import BadIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connection import Connections

HANDSHAKE_TIMEOUT_S = 10.0
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
        self._listener: asyncio.Server | None = None
        self._held: set[_Held] = set()
        self.port = 0

    async def open(self, host: str | None, port: int, tls: ssl.SSLContext) -> None:
        """Raises OSError when the port is taken."""
        self._listener = await asyncio.get_running_loop().create_server(
            self._connection,
            host,
            port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for held in list(self._held):
            held.let_go()
        if self._connections is not None:
            await self._connections.shutdown(timeout=1.0)
        if self._listener is not None:
            await self._listener.wait_closed()

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
