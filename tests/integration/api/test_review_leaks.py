"""Clients that go away in the middle leave nothing behind: no session, no place, no watcher, no connection, no task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from api_server import RunningApi, api_server
from store_cluster import until

from apiserver.http import dispatch
from apiserver.http.forms import Look

CLIENTS = 500  # of each kind
AT_A_TIME = 50
MAPS = "/api/v1/namespaces/default/configmaps"


class Held(NamedTuple):
    """What the server holds for its clients."""

    sessions: int
    running: int
    watches: int
    lanes: tuple[int, ...]
    subscribers: int
    watchers: int
    connections: int
    tasks: int


def held(api: RunningApi) -> Held:
    server, gate = api.server, api.server.gate
    connections = server.port.connections
    assert connections is not None
    hub: Any = api.store._replica.hub
    lanes = (gate.system, gate.writes, gate.reads)
    return Held(
        sessions=len(server.dispatcher.sessions),
        running=server.frontend.running,
        watches=gate.watches,
        lanes=tuple(number for lane in lanes for number in (lane.running, lane.queued)),
        subscribers=sum(feed.subscribers for feed in server.feeds.all()),
        watchers=len(hub._watchers),
        connections=len(connections.places),
        tasks=len(asyncio.all_tasks()),
    )


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


async def drop(api: RunningApi, request: bytes, *, until_bytes: int) -> None:
    """Send some bytes, read some, and be gone without a word."""
    reader, writer = await asyncio.open_connection(api.host, api.port, ssl=api.tls(), server_hostname=api.host)
    writer.write(request)
    await writer.drain()
    if until_bytes:
        assert await reader.readexactly(until_bytes)
    writer.transport.abort()


async def nothing_is_left(api: RunningApi, request: bytes, *, until_bytes: int = 0) -> None:
    await api.json("GET", f"{MAPS}?labelSelector=a", headers={"Connection": "close"})  # feeds and index are there
    await api.session.close()
    api._session = None
    await until(lambda: held(api).running == held(api).connections == 0)
    before = held(api)
    for _ in range(CLIENTS // AT_A_TIME):
        await asyncio.gather(*(drop(api, request, until_bytes=until_bytes) for _ in range(AT_A_TIME)))
    try:
        await until(lambda: held(api)._replace(tasks=0) == before._replace(tasks=0) and held(api).tasks <= before.tasks)
    finally:
        assert held(api)._replace(tasks=min(held(api).tasks, before.tasks)) == before


def head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    ("query", "accept"),
    [
        ("&allowWatchBookmarks=1", "application/json"),
        ("&resourceVersion=0", "text/event-stream"),
        ("&labelSelector=a%3Db", "application/json"),
    ],
)
def test_watches_that_are_dropped(tmp_path: Path, query: str, accept: str) -> None:
    async def test(api: RunningApi) -> None:
        await nothing_is_left(api, head("GET", f"{MAPS}?watch=1{query}", f"Accept: {accept}"), until_bytes=100)

    run(tmp_path, test)


def test_lists_that_are_dropped_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(api: RunningApi) -> None:
        for number in range(30):
            await api.create(MAPS, {"metadata": {"name": f"m{number}"}, "data": {"a": "x" * 300_000}})
        monkeypatch.setattr(Look, "per_step", 1)
        monkeypatch.setattr(dispatch, "STREAM_FROM_STEPS", 1)
        await nothing_is_left(api, head("GET", MAPS), until_bytes=500_000)

    run(tmp_path, test)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/v1/nam",
        head("POST", MAPS, "Content-Type: application/json", "Content-Length: 100000") + b'{"metadata":',
        head("POST", "/api/v1alpha1/pods", "Content-Type: application/json", "Content-Length: 100000")
        + b'{"metadata":',
        head("PATCH", f"{MAPS}/a", "Transfer-Encoding: chunked") + b"10\r\n{",
    ],
)
def test_requests_that_are_half_sent(tmp_path: Path, request_: bytes) -> None:
    async def test(api: RunningApi) -> None:
        await nothing_is_left(api, request_)

    run(tmp_path, test)
