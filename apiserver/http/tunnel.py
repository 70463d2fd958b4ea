"""Connections that change their protocol: bytes go through in both directions, and nobody here understands them.

`upgrade` asks the far side to switch (RFC 9110, section 7.8). Only its 101 joins the two connections: any other answer
is read and handed back, so that a client never gets hold of a connection that still speaks HTTP under the server's
certificate. Joined, each side writes what the other receives and stops it from reading while its own buffer is full:
a tunnel holds a few hundred KiB at most, whatever either side does. TLS closes both directions at once, so whichever
side ends, what it sent before is flushed to the other, then both are closed. A tunnel without a byte for IDLE_S ends.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiohttp import web

from apiserver.api.errors import ServiceUnavailable, Timeout
from apiserver.http.http_connection import HttpConnection

DIAL_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0  # until the far side says whether it switches
LINGER_S = 10.0  # for what is buffered when one side has ended
IDLE_S = 4 * 3600.0  # as kubelet's streamingConnectionIdleTimeout
BUFFER_BYTES_MAX = 64 * 1024  # of each direction, above TLS
HEAD_BYTES_MAX = 64 * 1024
REFUSAL_BYTES_MAX = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class Place(NamedTuple):
    """Where a connection goes. With `tls`, `server_name` is what the certificate must say; "" is not checked."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Refusal(NamedTuple):
    """The far side's answer when it does not switch."""

    status: int
    content_type: str
    body: bytes


def dial_failure(place: Place, error: BaseException) -> ServiceUnavailable:
    """In the words Kubernetes uses; the cause is said, nothing else of the system."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"tls: failed to verify certificate: {error.verify_message}"
    elif isinstance(error, ssl.SSLError):
        why = f"tls: {error.reason or 'handshake failed'}"
    elif isinstance(error, TimeoutError):
        why = "i/o timeout"
    elif isinstance(error, ConnectionRefusedError):
        why = "connect: connection refused"
    else:
        why = f"connect: {getattr(error, 'strerror', None) or type(error).__name__}"
    return ServiceUnavailable(f"error dialing backend: dial tcp {place.authority}: {why}")


class _Side(asyncio.Protocol):
    """One of a tunnel's two connections. `lost` is told when it is gone."""

    def __init__(self, tunnel: Tunnel, lost: Callable[[Exception | None], None] | None = None) -> None:
        self._tunnel = tunnel
        self._lost = lost
        self.transport: Any = None
        self.other: _Side | None = None
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        self._tunnel.moved = True
        if self.other is None:
            self._tunnel.answered(data)
        else:
            self.other.transport.write(data)

    def eof_received(self) -> None:
        self._tunnel.end()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._lost is not None:
            self._lost(exc)
        self._tunnel.end()


class Tunnel:
    """One upgrade. `run` until it is over; `end` from anywhere ends it."""

    def __init__(self, *, idle_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle_s = idle_s
        self._far = _Side(self)
        self._near: _Side | None = None
        self._received = bytearray()
        self._progress: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.moved = False

    async def upgrade(self, place: Place, head: bytes) -> Refusal | None:
        """Dial and ask; None when the far side switches. Raises ServiceUnavailable, Timeout."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await self._loop.create_connection(
                    lambda: self._far,
                    place.host,
                    place.port,
                    ssl=place.tls,
                    server_hostname=(place.server_name or place.host) if place.tls else None,
                )
        except (OSError, TimeoutError) as error:
            raise dial_failure(place, error) from None
        self._far.transport.write(head)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._answer(place)
        except TimeoutError:
            raise Timeout(f"{place.authority} did not answer within {ANSWER_TIMEOUT_S:.0f} s") from None

    async def _answer(self, place: Place) -> Refusal | None:
        while _END_OF_HEAD not in self._received:
            if len(self._received) > HEAD_BYTES_MAX or self._ended:
                raise ServiceUnavailable(f"{place.authority} did not answer with HTTP")
            await self._more()
        head, _, body = bytes(self._received).partition(_END_OF_HEAD)
        status, fields = _parse_head(head)
        if status == 101:
            return None
        if status < 200:
            raise ServiceUnavailable(f"{place.authority} answered with status {status}, which nobody asked for")
        length = fields.get("content-length", "")
        wanted = int(length) if length.isascii() and length.isdigit() else REFUSAL_BYTES_MAX
        chunked = "chunked" in fields.get("transfer-encoding", "").lower()
        while len(body) < min(wanted, REFUSAL_BYTES_MAX) and not (chunked and body.endswith(b"0\r\n\r\n")):
            if self._ended:
                break
            await self._more()
            body = bytes(self._received[len(head) + len(_END_OF_HEAD) :])
        body = _unchunked(body) if chunked else body[:wanted]
        return Refusal(status, fields.get("content-type", ""), body[:REFUSAL_BYTES_MAX])

    def answered(self, data: bytes) -> None:
        """Bytes of the far side before the tunnel is joined."""
        self._received += data
        if len(self._received) > HEAD_BYTES_MAX + REFUSAL_BYTES_MAX:
            self._far.transport.pause_reading()
        self._wake()

    async def _more(self) -> None:
        """Wait until the far side sends more, or ends."""
        self._progress = self._loop.create_future()
        await self._progress

    def _wake(self) -> None:
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    async def run(self, request: web.BaseRequest) -> None:
        """Join the client's connection to the far side, which has answered 101; return when both are closed."""
        connection = request.protocol
        client = request.transport
        if client is None or client.is_closing():
            self.end()
            return
        if self._ended:  # it said 101 and went
            client.write(bytes(self._received))
            return
        assert isinstance(connection, HttpConnection)
        near = self._near = _Side(self, connection.connection_lost)
        near.connection_made(client)
        near.other, self._far.other = self._far, near
        early = connection.hand_over(near)
        client.write(bytes(self._received))
        self._received.clear()
        if early:
            self._far.transport.write(early)
        self._far.transport.resume_reading()
        self._timer = self._loop.call_later(self._idle_s, self._look)
        try:
            await asyncio.shield(self._over)
        finally:
            self.end()  # not abort: what the client sent last is still on its way

    def _look(self) -> None:
        """End a tunnel through which nothing has gone since the last look."""
        if not self.moved:
            self.end()
            return
        self.moved = False
        self._timer = self._loop.call_later(self._idle_s, self._look)

    def end(self) -> None:
        """One side is over: flush what it sent, close both, for a bounded time."""
        sides = [side for side in (self._near, self._far) if side is not None and side.transport is not None]
        if not self._ended:
            self._ended = True
            self._wake()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(LINGER_S, self.abort)
            for side in sides:
                side.transport.close()
        if all(side.gone for side in sides):
            self._finish()

    def abort(self) -> None:
        """Close both sides at once, whatever is buffered."""
        self._ended = True
        self._wake()
        for side in (self._near, self._far):
            if side is not None and side.transport is not None and not side.gone:
                side.transport.abort()
        self._finish()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._over.done():
            self._over.set_result(None)


def request_head(method: str, path: str, place: Place, fields: Iterable[tuple[str, str]], protocol: str) -> bytes:
    """The head of a request to switch to `protocol`; `fields` hold nothing that is for one connection only."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {place.authority}",
        "Connection: Upgrade",
        f"Upgrade: {protocol}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields by name in lower case. Raises ServiceUnavailable."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise ServiceUnavailable("the backend did not answer with HTTP")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    return int(status), fields


def _unchunked(body: bytes) -> bytes:
    """The content of a chunked body, as far as it goes."""
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            break
        if length <= 0:
            break
        content += rest[:length]
        body = rest[length + 2 :]
    return content
