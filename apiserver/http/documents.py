"""Answers that never change while the server runs: discovery, OpenAPI, version. Built once, kept as bytes."""

from __future__ import annotations

import gzip
import hashlib
from typing import NamedTuple

#: A larger body is kept compressed only; the few clients that cannot read gzip get it unpacked each time.
PLAIN_BYTES_MAX = 64 * 1024


class Document(NamedTuple):
    """`kept` is gzip when `compressed`. `etag` is quoted, as headers carry it, and belongs to the plain body."""

    kept: bytes
    compressed: bool
    etag: str
    content_type: str
    vary: str = "Accept, Accept-Encoding"

    @classmethod
    def of(cls, body: bytes, content_type: str = "application/json") -> Document:
        etag = f'"{hashlib.sha256(body).hexdigest().upper()}"'
        if len(body) <= PLAIN_BYTES_MAX:
            return cls(body, False, etag, content_type)
        return cls(gzip.compress(body, compresslevel=6, mtime=0), True, etag, content_type)

    @property
    def hash(self) -> str:
        """The ETag without its quotes, for addresses that change with the content."""
        return self.etag.strip('"')

    def body(self) -> bytes:
        """The plain bytes."""
        return gzip.decompress(self.kept) if self.compressed else self.kept

    def answer(self, accept_encoding: str | None) -> tuple[bytes, str]:
        """The bytes to send and their Content-Encoding; "" is none."""
        if self.compressed and accepts_gzip(accept_encoding):
            return self.kept, "gzip"
        return self.body(), ""

    def is_known(self, if_none_match: str | None) -> bool:
        """The client has just this already: answer 304."""
        if not if_none_match:
            return False
        tags = [each.strip().removeprefix("W/") for each in if_none_match[:4_096].split(",")]
        return "*" in tags or self.etag in tags


def accepts_gzip(accept_encoding: str | None) -> bool:
    for each in (accept_encoding or "")[:1_024].split(","):
        name, _, parameters = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
