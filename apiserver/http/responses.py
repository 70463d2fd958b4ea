"""Answers and how they get onto the wire; errors as Status objects.

Handlers return a `Reply`; `send` writes its head and body in one piece. aiohttp's own responses would cost more than
everything else a read does, so they are left to those who stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web

from apiserver.api.errors import ApiError
from apiserver.http.connection import SENT_AND_CLOSE, SENT_AND_OPEN
from apiserver.http.forms import value_bytes
from apiserver.http.negotiation import negotiate_or_json

WARNINGS_MAX = 20
COPIED_BYTES_MAX = 64 * 1024  # a longer body goes out beside its head instead of being copied behind it
WARNING_CHARACTERS_MAX = 512
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_HEADS_REMEMBERED = 256
_BODILESS = frozenset({204, 304})


class Reply:
    """`headers` are beside Content-Type, Content-Length and those that every answer has."""

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self, body: bytes, content_type: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.body = body
        self.content_type = content_type
        self.status = status
        self.headers = headers


#: What handlers return: a reply, or what aiohttp is told when somebody wrote by himself.
Answered = Reply | web.StreamResponse


def response(body: bytes, content_type: str, *, status: int = 200, warnings: Sequence[str] = ()) -> Reply:
    if not warnings:
        return Reply(body, content_type, status)
    return Reply(body, content_type, status, [("Warning", warning_header(text)) for text in warnings[:WARNINGS_MAX]])


def warning_header(text: str) -> str:
    """RFC 7234's form: `299 - "text"`."""
    plain = "".join(character if character.isprintable() else " " for character in text)[:WARNING_CHARACTERS_MAX]
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted.encode("ascii", "replace").decode()}"'


def failure(error: ApiError, accept: str | None = None) -> Reply:
    """A Status object."""
    accepted = negotiate_or_json(accept)
    headers: list[tuple[str, str]] = []
    if error.retry_after_s:
        headers.append(("Retry-After", str(error.retry_after_s)))
    if error.status_code == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    return Reply(value_bytes(error.status(), accepted), accepted.content_type, error.status_code, headers)


def head_of(status: int, fields: Iterable[tuple[str, Any]]) -> bytes:
    """The head of an HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


@lru_cache(_HEADS_REMEMBERED)
def _begin_of_head(status: int, content_type: str) -> bytes:
    """What is the same for all answers of a kind."""
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\nContent-Type: {content_type}\r\n"
        "Cache-Control: no-cache, private\r\nX-Request-Id: "
    ).encode("latin-1", "replace")


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace") if text else b""


def send(request: web.BaseRequest, reply: Reply, request_id: str, *, close: bool = False) -> web.StreamResponse:
    """Write a reply; what it returns tells aiohttp whether the connection stays."""
    transport = request.transport
    close = close or not request.keep_alive
    if transport is None or transport.is_closing():
        return SENT_AND_CLOSE
    body = b"" if request.method == "HEAD" or reply.status in _BODILESS else reply.body
    more = ""
    if close:
        more = "Connection: close\r\n"
    elif request.version != HttpVersion11:
        more = "Connection: keep-alive\r\n"
    for name, value in reply.headers:
        more += f"{name}: {value}\r\n"
    begin = _begin_of_head(reply.status, reply.content_type)
    identity = _latin(request_id)
    head = b"%s%s\r\nContent-Length: %d\r\n%s\r\n" % (begin, identity, len(reply.body), _latin(more))
    if len(body) < COPIED_BYTES_MAX:
        transport.write(head + body)
    else:
        transport.writelines((head, body))
    return SENT_AND_CLOSE if close else SENT_AND_OPEN
