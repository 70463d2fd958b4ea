"""How requests reach one server. The seam: tests put a scripted twin here, everything above stays the same.

A transport sends once and never again by itself. When that fails it says whether anything may have left: only then
can a write be sent to somebody else without the risk of doing it twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from .requests import Request
from .responses import Response


class TransportError(Exception):
    """No answer. `sent`: the server may have the request and may act on it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Stream(Protocol):
    """An answer that goes on. `lines` raises TransportError when it breaks and ends when the server ends it."""

    status: int
    headers: Mapping[str, str]

    def lines(self) -> AsyncGenerator[bytes, None]: ...

    async def read(self) -> bytes:
        """All of it, for answers that are errors."""

    def abort(self) -> None:
        """Nothing more is wanted of it: whoever reads gets a TransportError. Idempotent."""


class Transport(Protocol):
    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response: ...

    def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AbstractAsyncContextManager[Stream]:
        """`timeout_s` bounds the time until the answer begins, `idle_s` the time without a byte of it."""

    async def close(self) -> None: ...
