"""A GET for probes and hooks: what the kubelet asks of a pod, over a connection of its own.

Not by the API client's library: that costs the node more than twice as much for each of many questions, and a
path, a Host and headers are to leave as they were written. Nothing is kept open, unpacked, or believed: the answer is
the pod's, so its head and its body are read up to a bound. Certificates are not looked at, as with the kubelet.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache

import msgspec

from .actions import HttpWish

BODY_BYTES_MAX = 10 * 1024
HEAD_LINES_MAX = 128
INTERIM_MAX = 5  # a hook has a day: who says nothing else must not keep us busy for so long
LINE_BYTES_MAX = 16 * 1024
_INTERIM = range(100, 200)
_NO_BODY = (204, 304)


class BadAnswer(Exception):
    """It is not HTTP, or too long."""


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is its beginning: not more than BODY_BYTES_MAX. `location` is empty when there is none."""

    status: int
    location: str = ""
    body: bytes = b""


async def get(wish: HttpWish) -> HttpAnswer:
    """Follows no redirect. Raises OSError, BadAnswer; cancel it when it takes too long."""
    reader, writer = await asyncio.open_connection(
        wish.host, wish.port, ssl=_anybody() if wish.secure else None, limit=LINE_BYTES_MAX
    )
    try:
        writer.write(_request(wish))
        return await _answer(reader)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as error:
        raise BadAnswer("malformed HTTP response" if not isinstance(error, EOFError) else "EOF") from error
    finally:
        writer.transport.abort()  # there is nothing left to say, and nobody to wait for


@cache
def _anybody() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _request(wish: HttpWish) -> bytes:
    lines = [f"GET {wish.target} HTTP/1.1", *(f"{name}: {value}" for name, value in wish.headers), "Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")


async def _answer(reader: asyncio.StreamReader) -> HttpAnswer:
    for _ in range(INTERIM_MAX + 1):
        status, headers = await _head(reader)
        if status not in _INTERIM:
            break
    else:
        raise BadAnswer(f"more than {INTERIM_MAX} interim answers")
    body = b"" if status in _NO_BODY else await _body(reader, headers)
    return HttpAnswer(status=status, location=headers.get("location", ""), body=body)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    version, _, rest = (await _line(reader)).partition(" ")
    code = rest[:3]
    if not version.startswith("HTTP/1.") or len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise BadAnswer("malformed HTTP response")
    headers: dict[str, str] = {}
    for _ in range(HEAD_LINES_MAX):
        line = await _line(reader)
        if not line:
            return int(code), headers
        name, colon, value = line.partition(":")
        if not colon:
            raise BadAnswer("malformed HTTP response: a header without a colon")
        headers.setdefault(name.strip().lower(), value.strip())
    raise BadAnswer(f"more than {HEAD_LINES_MAX} headers")


async def _line(reader: asyncio.StreamReader) -> str:
    line = await reader.readuntil(b"\n")
    return line.rstrip(b"\r\n").decode("latin-1")


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        return await _chunks(reader)
    length = headers.get("content-length")
    if length is None:
        return await _up_to(reader, BODY_BYTES_MAX)
    if not (length.isascii() and length.isdigit()):
        raise BadAnswer("malformed HTTP response: a length that is no number")
    wanted = min(int(length[:20]), BODY_BYTES_MAX)
    body = await _up_to(reader, wanted)
    if len(body) < wanted:
        raise BadAnswer("unexpected EOF")
    return body


async def _up_to(reader: asyncio.StreamReader, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        data = await reader.read(count - len(found))
        if not data:
            break
        found += data
    return bytes(found)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Chunks have a length before them in hexadecimal, and a line's end behind them; the last one is empty."""
    found = bytearray()
    while len(found) < BODY_BYTES_MAX:
        size = int((await _line(reader)).partition(";")[0].strip()[:16], 16)
        if size <= 0:
            break
        wanted = min(size, BODY_BYTES_MAX - len(found))
        found += await reader.readexactly(wanted)
        if wanted < size:
            break
        await reader.readexactly(2)
    return bytes(found)
