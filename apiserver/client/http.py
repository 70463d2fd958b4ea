"""The transport over aiohttp, which is imported when the first request is sent.

Never follows a redirect (it would carry the token along), takes no proxy from the environment, keeps no cookies,
and sends nothing twice by itself. Dead peers are noticed by TCP keepalive, also on watches that have nothing to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .access import Credentials
from .requests import Request
from .responses import Response
from .sockets import OwnedSocket, make_socket
from .transport import Stream, TransportError

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 15.0  # below what servers keep: a request on a connection that is being closed is indefinite
RESPONSE_BYTES_MAX = 256 << 20
LINE_BYTES_MAX = 16 << 20
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
_USER_TIMEOUT_MS = 30_000
_CLOSING_TURNS_MAX = 100


class HttpTransport:
    """One pool of connections to every server. Use it from one event loop."""

    def __init__(self, credentials: Credentials, *, user_agent: str) -> None:
        self._credentials = credentials
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._sockets: WeakSet[OwnedSocket] = WeakSet()

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        async with self._open(server, request, timeout_s=timeout_s, total_s=timeout_s, idle_s=None) as answer:
            body = await _read(answer, RESPONSE_BYTES_MAX)
            return Response(answer.status, _lowered(answer.headers), body)

    @asynccontextmanager
    async def stream(self, server: str, request: Request, *, timeout_s: float, idle_s: float) -> AsyncIterator[Stream]:
        async with self._open(server, request, timeout_s=timeout_s, total_s=None, idle_s=idle_s) as answer:
            yield _HttpStream(answer)

    async def close(self) -> None:
        """Nothing is open afterwards, also no connection on which a peer is to say goodbye first and does not."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        for _ in range(_CLOSING_TURNS_MAX):
            left = [each for each in self._sockets if each.is_open]
            if not left:
                return
            for each in left:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # its transport sees the end, and closes
            await asyncio.sleep(0)

    @asynccontextmanager
    async def _open(
        self, server: str, request: Request, *, timeout_s: float, total_s: float | None, idle_s: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp
        import yarl

        session = self._ensure_session()
        connect_s = min(CONNECT_TIMEOUT_S, timeout_s)
        try:
            tls, own_headers = self._credentials.tls(), self._credentials.headers()
        except ValueError as error:
            raise TransportError(str(error), sent=False) from error
        try:
            async with asyncio.timeout(timeout_s) as beginning:
                answer = await session.request(
                    request.method,
                    yarl.URL(server + request.target, encoded=True),
                    data=request.body,
                    headers=[*request.headers, *own_headers],
                    ssl=tls,
                    server_hostname=self._credentials.access.server_name or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=idle_s),
                )
                if total_s is None:
                    beginning.reschedule(None)
                async with answer:
                    yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _transport_error(server, error, timeout_s) from error

    def _ensure_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportError("the client is closed", sent=False)
        if self._session is None:
            import aiohttp

            connector = aiohttp.TCPConnector(
                limit=0,  # the client bounds what is in flight
                keepalive_timeout=IDLE_CONNECTION_S,
                use_dns_cache=False,
                socket_factory=self._make_socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent},
                skip_auto_headers=["Accept-Encoding"],
                auto_decompress=False,
            )
            # By default aiohttp sends a PUT or DELETE again when a kept connection ends under it. The server may
            # have acted on the first one: that decision is the client's (retry.py).
            self._session._retry_connection = False
        return self._session

    def _make_socket(self, address: Any) -> OwnedSocket:
        """A socket that notices a peer that is gone within about half a minute."""
        made = make_socket(address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        self._sockets.add(made)
        return made


class _HttpStream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = _lowered(answer.headers)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Lines without their end. A last one that is not ended was cut off, and is not given."""
        held = bytearray()
        async for chunk in self._answer.content.iter_any():
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                line = bytes(held) + chunk[start:end] if held else chunk[start:end]
                held.clear()
                start = end + 1
                if line:
                    yield line
            held += chunk[start:]
            if len(held) > LINE_BYTES_MAX:
                raise TransportError(f"a line of the answer is longer than {LINE_BYTES_MAX} bytes", sent=True)

    async def read(self) -> bytes:
        return await _read(self._answer, RESPONSE_BYTES_MAX)

    def abort(self) -> None:
        connection = self._answer.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()


async def _read(answer: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    parts, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > bytes_max:
            answer.close()
            raise TransportError(f"the answer is larger than {bytes_max} bytes", sent=True)
        parts.append(chunk)
    return b"".join(parts)


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """By lower-case name; a header that is there several times is one with commas (RFC 9110 5.2)."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found


def _transport_error(server: str, error: BaseException, timeout_s: float) -> TransportError:
    import aiohttp

    sent = not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.InvalidURL)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return TransportError(f"{server}: no connection within {min(CONNECT_TIMEOUT_S, timeout_s):g} s", sent=False)
    if isinstance(error, TimeoutError):
        return TransportError(f"{server}: no answer within {timeout_s:g} s", sent=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TransportError(f"{server}: its certificate is not trusted: {error.certificate_error}", sent=False)
    cause = getattr(error, "os_error", None) or error
    text = getattr(cause, "strerror", None) or str(cause) or type(error).__name__
    return TransportError(f"{server}: {text}", sent=sent)
