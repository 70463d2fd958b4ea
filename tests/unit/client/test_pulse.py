"""Watches leave a server that hangs, or was cut off from the others, long before their own patience ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

import msgspec
import virtual_time

from apiserver.api.core.config import ConfigMap
from apiserver.client import Client
from apiserver.client.pulse import AGAIN_S, FAILURES, PROBE_TIMEOUT_S, SILENCE_S
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from apiserver.client.transport import TransportError
from apiserver.client.watching import IDLE_S

A, B = "https://a:1", "https://b:1"
NOTICED_S = SILENCE_S + FAILURES * (PROBE_TIMEOUT_S + AGAIN_S)


class Silent:
    """A transport of servers whose watches say nothing but when they began."""

    def __init__(self) -> None:
        self.hanging: set[str] = set()
        self.unready: set[str] = set()
        self.watched: list[tuple[float, str]] = []
        self.probed: list[str] = []

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        assert request.target == "/readyz"
        self.probed.append(server)
        if server in self.hanging:
            await asyncio.sleep(timeout_s)
            raise TransportError(f"{server}: no answer", sent=True)
        return Response(503 if server in self.unready else 200, {}, b"")

    @asynccontextmanager
    async def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AsyncIterator[SilentStream]:
        self.watched.append((asyncio.get_running_loop().time(), server))
        yield SilentStream(server, idle_s)

    async def close(self) -> None:
        return


class SilentStream:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, server: str, idle_s: float) -> None:
        self._server = server
        self._idle_s = idle_s
        self._aborted = asyncio.Event()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        obj = {"kind": "ConfigMap", "metadata": {"name": "x", "resourceVersion": "7"}}
        yield msgspec.json.encode({"type": "BOOKMARK", "object": obj})
        try:
            async with asyncio.timeout(self._idle_s):
                await self._aborted.wait()
        except TimeoutError:
            pass
        raise TransportError(f"{self._server}: ended", sent=True)

    async def read(self) -> bytes:
        return b""

    def abort(self) -> None:
        self._aborted.set()


def watched(transport: Silent, *servers: str, for_s: float) -> list[tuple[float, str]]:
    """When watches began at which server."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        client = Client(servers=servers, transport=transport, learn=False, clock=loop.time)
        async with client:
            try:
                async with (
                    asyncio.timeout(for_s),
                    aclosing(client.watch(ConfigMap, resource_version="5", bookmarks=True)) as events,
                ):
                    async for _ in events:
                        continue
            except TimeoutError:
                pass
        assert not [task for task in asyncio.all_tasks() if "pulse" in task.get_name()]

    virtual_time.run(body())
    return transport.watched


def test_a_server_that_answers_is_not_left() -> None:
    transport = Silent()
    assert watched(transport, A, B, for_s=IDLE_S - 1) == [(0, A)]
    assert len(transport.probed) >= IDLE_S / SILENCE_S - 2


def test_a_server_that_hangs_is_left() -> None:
    transport = Silent()
    transport.hanging.add(A)
    (_, first), (moved, second) = watched(transport, A, B, for_s=IDLE_S - 1)
    assert (first, second) == (A, B)
    assert moved <= NOTICED_S + 1


def test_a_server_that_is_not_ready_is_left() -> None:
    transport = Silent()
    transport.unready.add(A)
    (_, first), (moved, second) = watched(transport, A, B, for_s=IDLE_S - 1)
    assert (first, second) == (A, B)
    assert moved <= NOTICED_S + 1


def test_the_only_server_is_not_asked_and_not_left() -> None:
    transport = Silent()
    transport.hanging.add(A)
    assert watched(transport, A, for_s=IDLE_S - 1) == [(0, A)]
    assert not transport.probed
