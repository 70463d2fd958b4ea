"""Long bodies in YAML are read in a thread, and mean what short ones mean."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import RunningApi, api_server

from apiserver import decode
from apiserver.http import frontend

DEFAULT = "/api/v1/namespaces/default"
YAML = {"Content-Type": "application/yaml; charset=utf-8"}
LONG = "#" + "-" * frontend.YAML_BYTES_ON_LOOP + "\n"


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def test_long_yaml_is_read_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by: list[bool] = []
    read: Any = decode._read_yaml

    def noted(raw: bytes) -> Any:
        read_by.append(threading.current_thread() is threading.main_thread())
        return read(raw)

    async def test(api: RunningApi) -> None:
        monkeypatch.setattr(decode, "_read_yaml", noted)
        text = 'metadata: {name: %s}\ndata: {when: "2024-01-01", text: "ü: - \\n"}\n'
        found = []
        for name, before in (("short", ""), ("long", LONG)):
            body = (before + text % name).encode()
            answer = await api.json("POST", f"{DEFAULT}/configmaps", body, headers=YAML)
            assert answer.code == 201, answer
            found.append(answer.body["data"])
        assert found[0] == found[1]
        assert read_by == [True, False]
        manifest = f"{LONG}metadata: {{name: s, namespace: default}}\nspec: {{ports: [{{port: 80}}]}}\n".encode()
        assert (await api.json("POST", "/api/v1alpha1/services", manifest, headers=YAML)).code == 201
        assert not any(read_by[1:])

    run(tmp_path, test)


@pytest.mark.parametrize("body", ["metadata: {name: a}\ndata: {a: .nan}", "a: *b", "a:\n\t- b", "[1]", "a: \x01"])
def test_what_is_wrong_is_wrong_at_any_length(tmp_path: Path, body: str) -> None:
    async def test(api: RunningApi) -> None:
        for before in ("", LONG):
            answer = await api.json("POST", f"{DEFAULT}/configmaps", (before + body).encode(), headers=YAML)
            assert (answer.code, answer.body["reason"]) == (400, "BadRequest")

    run(tmp_path, test)
