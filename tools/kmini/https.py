"""The smallest HTTPS server that does: GET of a fixed set of paths, answered from memory.

It serves health, version, metrics and status until the API server takes the port over. What must always
hold: a path that does not say `open_to_all` answers only a client whose certificate, verified under the
cluster CA, is in `system:masters`; heads, connections and time are bounded; a bad request gets a status
and never a traceback.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from .access import MASTERS

log = logging.getLogger("kmini.https")

HEAD_BYTES_MAX = 8 * 1024
CONNECTIONS_MAX = 256
REQUEST_TIMEOUT_S = 10.0
HANDSHAKE_TIMEOUT_S = 10.0

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Response(NamedTuple):
    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK


class Route(NamedTuple):
    """`answer(query)` must return at once: it runs on the event loop."""

    answer: Callable[[Mapping[str, list[str]]], Response]
    open_to_all: bool = False


class BadRequest(Exception):
    """The head of a request is not one we take."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def server_context(certificate: Path, key: Path, client_authority: Path) -> ssl.SSLContext:
    """TLS for servers; a client may show a certificate, and a bad one ends the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def groups_of(peer_certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """The organizations of a verified client certificate as `ssl` shows it; none without a certificate."""
    if not peer_certificate:
        return frozenset()
    subject = peer_certificate.get("subject", ())
    return frozenset(value for names in subject for field, value in names if field == "organizationName")


def parse_head(head: bytes) -> tuple[str, str, Mapping[str, list[str]]]:
    """(method, path, query) of a request's head. Raises BadRequest."""
    try:
        method, target, protocol = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        parts = urlsplit(target)
    except ValueError:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "not an HTTP request") from None
    if protocol not in ("HTTP/1.1", "HTTP/1.0"):
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 only")
    return method, parts.path, parse_qs(parts.query, keep_blank_values=True)


def encode(response: Response, *, with_body: bool = True) -> bytes:
    head = (
        f"HTTP/1.1 {response.status.value} {response.status.phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        "Cache-Control: no-cache, private\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (response.body if with_body else b"")


class HttpsServer:
    """Owns its connections: `stop()` ends them all."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; returns the port (for port 0 the one that was free). Raises OSError."""
        self._server = await asyncio.start_server(
            self._connected,
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            limit=HEAD_BYTES_MAX,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                writer.write(await self._serve(reader, writer))
                await writer.drain()
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError) as error:
            log.debug("connection ended early", extra={"error": repr(error)})
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if len(self._tasks) > CONNECTIONS_MAX:
            return encode(_plain(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections"))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, path, query = parse_head(head)
        except asyncio.LimitOverrunError:
            return encode(_plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"head over {HEAD_BYTES_MAX} bytes"))
        except BadRequest as error:
            return encode(_plain(error.status, str(error)))
        response = self._answer(method, path, query, groups_of(writer.get_extra_info("peercert")))
        return encode(response, with_body=method != "HEAD")

    def _answer(self, method: str, path: str, query: Mapping[str, list[str]], groups: frozenset[str]) -> Response:
        route = self._routes.get(path)
        if route is None or not (route.open_to_all or MASTERS in groups):
            if not groups:
                return _plain(HTTPStatus.UNAUTHORIZED, "a client certificate is needed")
            if MASTERS not in groups:
                return _plain(HTTPStatus.FORBIDDEN, f"for {MASTERS} only")
            return _plain(HTTPStatus.NOT_FOUND, f"no such path: {path}")
        if method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "GET only")
        try:
            return route.answer(query)
        except Exception:
            log.exception("request failed", extra={"path": path})
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: see this server's log")


def _plain(status: HTTPStatus, message: str) -> Response:
    return Response(f"{message}\n".encode(), status=status)
