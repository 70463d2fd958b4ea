"""The API's port at the level of bytes: what a client may send, and what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from api_server import RunningApi, api_server

Test = Callable[[RunningApi], Awaitable[None]]


def run(folder: Path, test: Test) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def test_a_server_answers_by_who_asks(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        assert (await api.json("GET", "/api/v1/namespaces")).body["kind"] == "NamespaceList"
        assert (await api.json("GET", "/api/v1/namespaces", user="alice")).code == 403
        assert (await api.json("GET", "/version", user="")).code == 200

    run(tmp_path, test)
