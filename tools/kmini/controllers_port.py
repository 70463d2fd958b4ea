"""Health and numbers of controllers that run as a process of their own: `kmini controllers --metrics-port`.

As with Kubernetes' components the certificate is made at the start and vouched for by nobody; what protects the numbers
is that a bearer token is asked for, which the API must know (TokenReview), of a user who may get /metrics there
(SubjectAccessReview). Whether the process lives, and whether it works or waits, may be asked by anybody. Nobody shows a
certificate, so all are strangers: who asks for nothing makes room.
"""

from __future__ import annotations

import ssl
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from apiserver.api.authentication import TokenReview, TokenReviewSpec
from apiserver.api.authorization import (
    NonResourceAttributes,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from apiserver.api.errors import ApiError
from apiserver.auth import pki
from apiserver.client import Client
from apiserver.listening.connection import Connection, Connections, Limits
from apiserver.listening.listener import TlsListener

from .errors import CommandError

if TYPE_CHECKING:
    from controlplane.runtime.manager import Manager

METRICS = "/metrics"
TOKEN_CHARACTERS_MAX = 32 * 1024
REMEMBERED_S, REMEMBERED_MAX = 10.0, 256
HANDSHAKES_MAX = 50
LIMITS = Limits(
    connections=100,
    strangers=100,
    head_timeout_s=10.0,
    head_bytes=64 * 1024,
    line_bytes=40 * 1024,  # a bearer token at its bound
    body_bytes=1,
    keep_alive_s=90.0,  # from one look of a monitor to the next
    stall_s=60.0,
)


class Port:
    """Answers for one manager."""

    def __init__(self, manager: Manager, client: Client, identity: str) -> None:
        self._manager = manager
        self._client = client
        self._identity = identity
        self._known: OrderedDict[str, tuple[float, bool]] = OrderedDict()  # token -> until when, whether it may
        self._answers: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/livez": self._alive,
            "/healthz": self._alive,
            "/readyz": self._ready,
            METRICS: self._metrics,
        }

    @asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[int]:
        """Gives the port, which is a free one for 0. Raises CommandError when it is taken."""
        connections = Connections(self._handle, Connection, LIMITS)
        listener = TlsListener(connections, handshakes_max=HANDSHAKES_MAX)
        try:
            listener.open(host, port, _context(self._identity, host))
        except OSError as error:
            raise CommandError(f"cannot listen on --metrics-port {port}: {error.strerror or error}") from error
        try:
            yield listener.port
        finally:
            await listener.close()
            await connections.shutdown(timeout=1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._answers.get(request.path)
        if answer is None:
            raise web.HTTPNotFound(text=f"{', '.join(self._answers)} are answered here")
        if request.method not in ("GET", "HEAD"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
        return await answer(request)

    async def _alive(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    async def _ready(self, _request: web.BaseRequest) -> web.Response:
        """A candidate that waits is as ready as one that works: the text says which it is."""
        if not self._manager.leads:
            return web.Response(text="ok: another process leads")
        return web.Response(text=f"ok: leads, {len(self._manager.running)} parts run")

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_CHARACTERS_MAX:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, text="a bearer token is needed")
        if not await self._may(token):
            raise web.HTTPForbidden(text=f"the token's user may not get {METRICS}")
        body = generate_latest(self._manager.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _may(self, token: str) -> bool:
        """Asked of the API, and remembered for a moment. What cannot be asked is refused."""
        now = self._client.caller.clock()
        until, allowed = self._known.get(token, (0.0, False))
        if now < until:
            return allowed
        try:
            allowed = await self._ask(token)
        except ApiError as error:
            raise web.HTTPServiceUnavailable(text=f"the API cannot be asked: {error.message}") from error
        self._known[token] = (now + REMEMBERED_S, allowed)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return allowed

    async def _ask(self, token: str) -> bool:
        who = await self._client.create(TokenReview(spec=TokenReviewSpec(token=token)))
        if not who.status.authenticated:
            return False
        user = who.status.user
        asked = SubjectAccessReviewSpec(
            non_resource_attributes=NonResourceAttributes(path=METRICS, verb="get"),
            user=user.username,
            groups=user.groups,
            uid=user.uid,
            extra=user.extra,
        )
        answer = await self._client.create(SubjectAccessReview(spec=asked))
        return answer.status.allowed


def _context(identity: str, host: str) -> ssl.SSLContext:
    """A certificate of this process's own. Its key is on a disk for a moment only, in a folder of ours."""
    pair = pki.issue_serving(pki.make_authority(f"kmini controllers {identity}"), ["localhost", host])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="kmini-") as folder:
        pki.write_pair(Path(folder), "port", pair)
        context.load_cert_chain(Path(folder) / "port.crt", Path(folder) / "port.key")
    return context
