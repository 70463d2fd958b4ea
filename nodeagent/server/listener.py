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

from apiserver.listening.listener import TlsListener
from apiserver.listening.places import Places
from nodeagent.errors import BadIdentity

from .authentication import may_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from apiserver.listening.connection import Connections

HANDSHAKES_MAX = 100
HELD_MAX = 100
HELD_STRANGERS_MAX = 50

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
        self._held: Places[_Held] = Places(HELD_MAX, HELD_STRANGERS_MAX, lambda _: True)
        self._port = TlsListener(self._connection, handshakes_max=HANDSHAKES_MAX)

    @property
    def port(self) -> int:
        return self._port.port

    def open(self, host: str | None, port: int, tls: ssl.SSLContext) -> None:
        """Raises OSError when the port is taken."""
        self._port.open(host, port, tls)

    async def close(self) -> None:
        await self._port.close()
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for held in list(self._held):
            held.let_go()
        if self._connections is not None:
            await self._connections.shutdown(timeout=1.0)

    def _connection(self) -> asyncio.Protocol:
        if self._connections is not None:
            return self._connections()
        return _Held(self)

    def hold(self, held: _Held) -> None:
        if self._connections is not None:  # loaded while it shook hands
            held.hand_over(self._connections())
            return
        goes = self._held.enter(held, known=held.is_known)
        if goes is not None:
            goes.let_go()
        if goes is not held and self._loading is None:
            self._loading = asyncio.create_task(self._loaded(), name="load the web server")

    def lost(self, held: _Held) -> None:
        self._held.leave(held)

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
            self._held.leave(held)
            held.hand_over(self._connections())


class _Held(asyncio.Protocol):
    """A connection from which nothing is read yet."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: Any = None
        self._early = bytearray()

    @property
    def is_known(self) -> bool:
        return may_call(self._transport.get_extra_info("peercert"))

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
