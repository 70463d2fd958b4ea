"""How the controllers of a server's own process reach its API: their requests take no connection.

Rights, lanes, admission, rules, fences and numbers are those of every request; what is left out is TLS, HTTP and their
parsing, which are more than half of what a small write costs. Watches are few and long: they take the wire.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, urlencode

from apiserver.auth import pki
from apiserver.auth.user import GROUP_AUTHENTICATED, User
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from apiserver.client.transport import Stream, Transport, TransportError
from apiserver.http.frontend import Frontend, LocalRequest

#: Whom the controllers' certificate names: a request by the wire and one without it have the same rights.
CONTROLLERS = User(name=pki.CONTROLLERS_USER, groups=(GROUP_AUTHENTICATED,))
_SEND = frozenset({"Retry-After", "Warning"})


class LocalTransport:
    """A client's Transport. `wire` takes the streams, and is closed with this."""

    def __init__(self, frontend: Frontend, wire: Transport) -> None:
        self._frontend = frontend
        self._wire = wire

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        asked = LocalRequest(
            CONTROLLERS,
            request.method,
            request.path,
            urlencode(request.query, quote_via=quote) if request.query else "",
            dict(request.headers),
            request.body or b"",
        )
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._frontend.local(asked)
        except TimeoutError:
            raise TransportError(f"no answer within {timeout_s:g} s", sent=True) from None
        headers = {name.lower(): value for name, value in reply.headers if name in _SEND}
        return Response(reply.status, headers, reply.body)

    def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AbstractAsyncContextManager[Stream]:
        return self._wire.stream(server, request, timeout_s=timeout_s, idle_s=idle_s)

    async def close(self) -> None:
        await self._wire.close()
