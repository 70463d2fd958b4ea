"""What nobody expects to fail, failing: clients can tell, and the server goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_server import RunningApi, api_server
from store_cluster import until

from apiserver import server
from apiserver.http import dispatch
from apiserver.http.forms import Look

MAPS = "/api/v1/namespaces/default/configmaps"


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def failing(*_: Any, **__: Any) -> Any:
    raise ValueError("what no object should be")


@pytest.mark.parametrize("initial", [True, False])
def test_a_watch_that_fails_says_so_in_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, initial: bool
) -> None:
    async def test(api: RunningApi) -> None:
        made = await api.create(MAPS, {"metadata": {"name": "a"}})
        monkeypatch.setattr(Look, "object", failing)
        version = "0" if initial else str(int(made["metadata"]["resourceVersion"]) - 1)
        answer = await api.json("GET", f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=20")
        assert answer.code == 200
        assert (answer.body["type"], answer.body["object"]["code"]) == ("ERROR", 500), "one event, and no more"
        monkeypatch.undo()
        assert (await api.json("GET", f"{MAPS}/a")).code == 200

    run(tmp_path, test)


def test_a_list_that_fails_midway_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def pieces(*_: Any) -> AsyncIterator[bytes]:
        yield b'{"items":['
        failing()

    async def test(api: RunningApi) -> None:
        await api.create(MAPS, {"metadata": {"name": "a"}})
        monkeypatch.setattr(dispatch, "STREAM_FROM_STEPS", 0)
        monkeypatch.setattr(Look, "list_pieces", pieces)
        with pytest.raises(aiohttp.ClientError):
            await api.json("GET", MAPS)
        monkeypatch.undo()
        assert (await api.json("GET", MAPS)).code == 200

    run(tmp_path, test)


def test_work_that_never_ends_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            failing()
        await asyncio.Event().wait()

    async def body() -> None:
        task = asyncio.create_task(server.kept_up(work, "work"))
        await until(lambda: len(begun) == 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    monkeypatch.setattr(server, "BEGIN_ANEW_S", 0.0)
    asyncio.run(body())
