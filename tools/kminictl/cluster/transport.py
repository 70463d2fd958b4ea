"""The SDK's transport over connection.py: a few kept connections, streams, and connections that change protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apiserver.client.access import Credentials
from apiserver.client.requests import Request
from apiserver.client.responses import Response, error_of
from apiserver.client.transport import Stream, TransportError

from .connection import Answer, Connection

KEPT_MAX = 8


class LeanTransport:
    """Use it from one event loop."""

    def __init__(self, credentials: Credentials, *, user_agent: str) -> None:
        self._credentials = credentials
        self._user_agent = user_agent
        self._kept: dict[str, list[Connection]] = {}
        self._closed = False

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        try:
            async with asyncio.timeout(timeout_s), self._asked(server, request, timeout_s) as answer:
                return Response(answer.status, answer.headers, await answer.read())
        except TimeoutError:
            raise TransportError(f"{server}: no answer within {timeout_s:g} s", sent=True) from None

    @asynccontextmanager
    async def stream(self, server: str, request: Request, *, timeout_s: float, idle_s: float) -> AsyncIterator[Stream]:
        """Silence for longer than `idle_s` is the caller's to notice: a watch is told by its bookmarks."""
        async with self.answered(server, request, timeout_s=timeout_s) as answer:
            yield answer

    @asynccontextmanager
    async def answered(self, server: str, request: Request, *, timeout_s: float) -> AsyncIterator[Answer]:
        """An answer whose body may go on for as long as it likes. `timeout_s` is until it begins."""
        connection = await self._begin(server, request, timeout_s)
        try:
            yield await self._head(server, connection, timeout_s)
        except OSError as error:
            raise TransportError(f"{server}: {error.strerror or error}", sent=True) from error
        finally:
            connection.abort()

    async def upgraded(self, server: str, request: Request, *, timeout_s: float) -> tuple[Connection, Answer]:
        """A connection that speaks another protocol from now on; the caller closes it.

        Raises ApiError when the server does not switch, TransportError."""
        connection = await self._begin(server, request, timeout_s)
        try:
            answer = await self._head(server, connection, timeout_s)
            if answer.status == 101:
                return connection, answer
            body = await asyncio.wait_for(answer.read(), timeout_s)
        except BaseException:
            connection.abort()
            raise
        connection.abort()
        raise error_of(Response(answer.status, answer.headers, body))

    async def close(self) -> None:
        self._closed = True
        kept = [each for connections in self._kept.values() for each in connections]
        self._kept.clear()
        for each in kept:
            each.abort()
        await asyncio.sleep(0)  # their transports see it

    # --- connections ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _asked(self, server: str, request: Request, timeout_s: float) -> AsyncIterator[Answer]:
        connection = await self._begin(server, request, timeout_s)
        try:
            answer = await self._head(server, connection, timeout_s)
            yield answer
        except OSError as error:
            connection.abort()
            raise TransportError(f"{server}: {error.strerror or error}", sent=True) from error
        except BaseException:
            connection.abort()
            raise
        if answer.may_stay and not self._closed and len(self._kept.get(server, ())) < KEPT_MAX:
            connection.keep()
            self._kept.setdefault(server, []).append(connection)
        else:
            connection.abort()

    async def _begin(self, server: str, request: Request, timeout_s: float) -> Connection:
        """A connection on which the request has left."""
        if self._closed:
            raise TransportError("the client is closed", sent=False)
        try:
            tls, own = self._credentials.tls(), self._credentials.headers()
        except ValueError as error:
            raise TransportError(str(error), sent=False) from error
        connection = self._fresh(server)
        if connection is None:
            name = self._credentials.access.server_name
            connection = await Connection.open(server, tls, name, timeout_s)
        try:
            await connection.send(request, [("User-Agent", self._user_agent), *own])
        except OSError as error:
            connection.abort()
            raise TransportError(f"{server}: {error.strerror or error}", sent=True) from error
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _head(self, server: str, connection: Connection, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                return await connection.answer()
        except TimeoutError:
            raise TransportError(f"{server}: no answer within {timeout_s:g} s", sent=True) from None

    def _fresh(self, server: str) -> Connection | None:
        kept = self._kept.get(server, [])
        while kept:
            connection = kept.pop()
            if connection.is_fresh:
                return connection
            connection.abort()
        return None
