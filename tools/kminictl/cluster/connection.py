"""One HTTP/1.1 connection to a server: a request goes out, an answer comes in, or the connection changes its protocol.

Only what this client needs of HTTP, so that a command starts in the time that importing a whole HTTP library takes.
Nothing is sent twice, no redirect is followed, no proxy is asked; heads, lines and bodies are bounded.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from apiserver.client.requests import Request
from apiserver.client.transport import TransportError

CONNECT_TIMEOUT_S = 5.0
HEAD_BYTES_MAX = 64 << 10
BODY_BYTES_MAX = 256 << 20
LINE_BYTES_MAX = 16 << 20
READ_BYTES = 64 << 10
#: A kept connection that was quiet for longer may be going down at this very moment: it is not used again.
KEPT_S = 10.0


class Place(NamedTuple):
    """Where a server is: scheme, host and port of its address, and the path that goes before all others."""

    scheme: str
    host: str
    port: int
    prefix: str

    @classmethod
    def of(cls, server: str) -> Place:
        parts = urlsplit(server)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Connection:
    """`sent`: a request has left on it, and nobody can say what became of it until its answer is here."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self.reader = reader
        self.writer = writer
        self.sent = False
        self.idle_since = time.monotonic()

    @classmethod
    async def open(cls, server: str, tls: ssl.SSLContext, server_name: str, timeout_s: float) -> Connection:
        """Raises TransportError."""
        place = Place.of(server)
        secure = place.scheme == "https"
        limit_s = min(CONNECT_TIMEOUT_S, timeout_s)
        try:
            async with asyncio.timeout(limit_s):
                reader, writer = await asyncio.open_connection(
                    place.host,
                    place.port,
                    ssl=tls if secure else None,
                    server_hostname=(server_name or place.host) if secure else None,
                    limit=HEAD_BYTES_MAX,
                )
        except TimeoutError:
            raise TransportError(f"{server}: no connection within {limit_s:g} s", sent=False) from None
        except ssl.SSLCertVerificationError as error:
            raise TransportError(
                f"{server}: its certificate is not trusted: {error.verify_message}", sent=False
            ) from None
        except OSError as error:
            raise TransportError(f"{server}: {error.strerror or error}", sent=False) from error
        return cls(place, reader, writer)

    @property
    def is_fresh(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing() and time.monotonic() - self.idle_since < KEPT_S

    async def send(self, request: Request, headers: list[tuple[str, str]]) -> None:
        """Raises OSError. Nothing in a header can begin another one."""
        body = request.body
        lines = [f"{request.method} {self.place.prefix}{request.target} HTTP/1.1", f"Host: {self.place.authority}"]
        for name, value in [*request.headers, *headers]:
            if "\r" in value or "\n" in value:
                raise TransportError(f"the header {name} holds a line end", sent=False)
            lines.append(f"{name}: {value}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "strict")
        self.sent = True
        self.writer.write(head + (body or b""))
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The head of the answer; 1xx that only announce are read over. Raises TransportError, OSError."""
        while True:
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                raise TransportError("the connection ended without an answer", sent=True) from None
            except asyncio.LimitOverrunError:
                raise TransportError(
                    f"the head of the answer is larger than {HEAD_BYTES_MAX} bytes", sent=True
                ) from None
            found = _parsed(head, self)
            if found.status == 101 or found.status >= 200:
                return found

    def keep(self) -> None:
        self.idle_since = time.monotonic()
        self.sent = False

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self.writer.wait_closed()

    def abort(self) -> None:
        self.writer.transport.abort()


class Answer:
    """`headers` have lower-case names; one that came several times has commas. The body is read once, in one way."""

    def __init__(self, status: int, headers: Mapping[str, str], connection: Connection) -> None:
        self.status = status
        self.headers = headers
        self.ended = False
        self._connection = connection

    @property
    def may_stay(self) -> bool:
        """The connection can carry another request."""
        return self.ended and self.headers.get("connection", "").lower() != "close"

    async def read(self) -> bytes:
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise TransportError(f"the answer is larger than {BODY_BYTES_MAX} bytes", sent=True)
            parts.append(chunk)
        return b"".join(parts)

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Lines without their end. A last one that is not ended was cut off, and is not given."""
        held = bytearray()
        async for chunk in self.chunks():
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                line = bytes(held) + chunk[start:end]
                held.clear()
                start = end + 1
                if line:
                    yield line
            held += chunk[start:]
            if len(held) > LINE_BYTES_MAX:
                raise TransportError(f"a line of the answer is longer than {LINE_BYTES_MAX} bytes", sent=True)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises TransportError when it is cut off."""
        try:
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                async for chunk in self._in_pieces():
                    yield chunk
            elif "content-length" in self.headers:
                async for chunk in self._counted(_length(self.headers["content-length"])):
                    yield chunk
            elif self.status not in (204, 304):
                while chunk := await self._connection.reader.read(READ_BYTES):
                    yield chunk
                return
        except (OSError, asyncio.IncompleteReadError) as error:
            raise TransportError(f"the answer was cut off: {error or type(error).__name__}", sent=True) from error
        self.ended = True

    async def _counted(self, left: int) -> AsyncGenerator[bytes, None]:
        while left:
            chunk = await self._connection.reader.read(min(left, READ_BYTES))
            if not chunk:
                raise TransportError("the answer was cut off", sent=True)
            left -= len(chunk)
            yield chunk

    async def _in_pieces(self) -> AsyncGenerator[bytes, None]:
        reader = self._connection.reader
        while True:
            try:
                line = await reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError:
                raise TransportError("the answer is not in pieces as it says", sent=True) from None
            size = _size(line)
            if size == 0:
                while await reader.readuntil(b"\r\n") != b"\r\n":
                    continue
                return
            async for chunk in self._counted(size):
                yield chunk
            await reader.readexactly(2)

    def abort(self) -> None:
        self._connection.abort()


def _parsed(head: bytes, connection: Connection) -> Answer:
    first, *others = head[:-4].decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise TransportError(f"what answers is no HTTP server: {first[:80]!r}", sent=True)
    headers: dict[str, str] = {}
    for line in others:
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise TransportError(f"the answer has a header that is none: {line[:80]!r}", sent=True)
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Answer(int(status), headers, connection)


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise TransportError(f"the answer has a length that is none: {text[:40]!r}", sent=True)
    return int(text)


def _size(line: bytes) -> int:
    text = line.strip().partition(b";")[0]
    try:
        if len(text) > 16 or text[:1] in b"+-":
            raise ValueError
        return int(text, 16)
    except ValueError:
        raise TransportError(f"the answer has a piece of no size: {line[:40]!r}", sent=True) from None
