"""The API's port: it listens before there is anything to serve, and hands requests to whoever serves by then.

Until the API server is up, health and version are answered, everything else with 503 and Retry-After. Connections,
heads and handshakes are bounded here; everything else is the frontend's.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from apiserver.api.errors import ServiceUnavailable
from apiserver.http.discovery import version_document
from apiserver.http.frontend import Frontend
from apiserver.http.health import Checks, Observed, readiness
from apiserver.http.http_connection import LIMITS, HttpConnection
from apiserver.http.responses import Reply, failure, send
from apiserver.http.special import health_response, shown
from apiserver.listening.connection import Connections
from apiserver.listening.listener import TlsListener

#: As many as come from one busy process, as simulated nodes do; each costs some 55 KiB.
HANDSHAKES_MAX = 2_000


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
        self.connections: Connections | None = None
        self._listener: TlsListener | None = None

    async def __aenter__(self) -> ApiPort:
        """Raises OSError when the port is taken."""
        self.connections = Connections(self._handle, HttpConnection, LIMITS)
        self._listener = TlsListener(self.connections, handshakes_max=HANDSHAKES_MAX)
        self._listener.open(self.host, self.port, self._tls)
        self.port = self._listener.port
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            await self._listener.close()
        if self.connections is not None:
            await self.connections.shutdown(timeout=1.0)

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
