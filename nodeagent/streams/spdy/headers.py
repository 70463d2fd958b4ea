"""The names and values that open a stream: a block, compressed with what was sent before on the same connection.

Both sides begin with the dictionary that the protocol names. A block is bounded when it is unpacked, so a few bytes
cannot become many. Those that open streams here have three short headers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

BLOCK_BYTES_MAX = 4 * 1024
HEADERS_MAX = 16
_LENGTH = struct.Struct(">I")
_ENCODING = ("utf-8", "surrogateescape")

_PLAIN_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_WORDS = [*_PLAIN_WORDS.split(), "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(_LENGTH.pack(len(word)) + word.encode() for word in _WORDS) + _REST.encode()


class HeaderError(ValueError):
    """A block that is none, or too large."""


class HeaderPacker:
    """Of one direction of one connection."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(zdict=DICTIONARY)

    def pack(self, headers: Mapping[str, str]) -> bytes:
        block = bytearray(_LENGTH.pack(len(headers)))
        for each in headers.items():
            for text in each:
                encoded = text.encode(*_ENCODING)
                block += _LENGTH.pack(len(encoded)) + encoded
        return self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


class HeaderUnpacker:
    """Of one direction of one connection; after a HeaderError it is of no more use."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(zdict=DICTIONARY)

    def unpack(self, data: bytes) -> dict[str, str]:
        try:
            block = self._decompressor.decompress(data, BLOCK_BYTES_MAX)
        except zlib.error as error:
            raise HeaderError(f"headers cannot be unpacked: {error}") from None
        if self._decompressor.unconsumed_tail or self._decompressor.eof:
            raise HeaderError(f"headers have more than {BLOCK_BYTES_MAX} bytes, or an end")
        return _parsed(block)


def _parsed(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    count, at = _number(block, 0)
    if count > HEADERS_MAX:
        raise HeaderError(f"more than {HEADERS_MAX} headers")
    for _ in range(count):
        name, at = _text(block, at)
        value, at = _text(block, at)
        if not name or name != name.lower() or name in headers:
            raise HeaderError("a name of a header is empty, not in lower case, or there twice")
        headers[name] = value
    if at != len(block):
        raise HeaderError("something follows the headers")
    return headers


def _number(block: bytes, at: int) -> tuple[int, int]:
    if at + _LENGTH.size > len(block):
        raise HeaderError("headers are cut off")
    return _LENGTH.unpack_from(block, at)[0], at + _LENGTH.size


def _text(block: bytes, at: int) -> tuple[str, int]:
    length, at = _number(block, at)
    if length > len(block) - at:
        raise HeaderError("headers are cut off")
    return block[at : at + length].decode(*_ENCODING), at + length
