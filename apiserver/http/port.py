"""The API's port: it listens before there is anything to serve, and hands requests to whoever serves by then.

Until the API server is up, health and version are answered, everything else with 503 and Retry-After. Connections,
heads and handshakes are bounded here; everything else is the frontend's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from aiohttp import web

from apiserver.api.errors import ServiceUnavailable
from apiserver.http.discovery import version_document
from apiserver.http.frontend import BODY_BYTES_MAX, Frontend
from apiserver.http.health import Checks, Observed, readiness
from apiserver.http.http_connection import HttpServer
from apiserver.http.responses import Reply, failure, send
from apiserver.http.special import health_response, shown

HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 5.0  # for what is buffered when a connection is closed, and for the other side to say so too
KEEP_ALIVE_S = 90.0
BACKLOG = 1024
LINE_BYTES_MAX = 40 * 1024  # the request line: a path and a query at their bounds
FIELD_BYTES_MAX = 40 * 1024  # one header: a bearer token at its bound


class ApiPort:
    """Use as an asynchronous context manager. `observed` is shown by health and metrics."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, observed: Observed, version: str) -> None:
        self.observed = observed
        self.host = host
        self.port = port
        self._tls = tls
        self._version = version_document(version)
        self._frontend: Frontend | None = None
        self._checks: Callable[[], Checks] = lambda: readiness(self.observed.status())
        self._web: HttpServer | None = None
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> ApiPort:
        """Raises OSError when the port is taken."""
        self._web = HttpServer(
            self._handle,
            request_factory=_request,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_S,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
            auto_decompress=False,
            handler_cancellation=True,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._web,
            self.host,
            self.port,
            ssl=self._tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._web is not None:
            await self._web.shutdown(timeout=1.0)
        if self._listener is not None:
            await self._listener.wait_closed()

    def serve(self, frontend: Frontend | None, checks: Callable[[], Checks]) -> None:
        """From now on requests go to `frontend`; None: nobody serves any more."""
        self._frontend = frontend
        self._checks = checks

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.protocol.writing_paused:  # the answers of before come first: a client takes them or gets no more
            await request.writer.drain()
        if self._frontend is not None:
            return await self._frontend(request)
        return send(request, self._answer(request), "0", close=True)

    def _answer(self, request: web.BaseRequest) -> Reply:
        path, _, query = request.raw_path.partition("?")
        verbose = "verbose" in query
        if path == "/livez":
            return health_response({"ping": ""}, verbose=verbose)
        if path in ("/readyz", "/healthz"):
            return health_response(self._checks(), verbose=verbose)
        if path == "/version":
            return shown(request, self._version)
        return failure(ServiceUnavailable("the server is starting or going down", retry_after_s=1))


def _request(
    message: Any,
    payload: Any,
    protocol: Any,
    writer: Any,
    task: Any,
) -> web.BaseRequest:
    return web.BaseRequest(
        message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=BODY_BYTES_MAX
    )
