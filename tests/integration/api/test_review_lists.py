"""Lists in every form: made in steps, and in steps the same as in one go; the server turns its loop meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from api_server import RunningApi, api_server

from apiserver.http import dispatch
from apiserver.http.forms import Look
from apiserver.verbs import reading

MAPS = "/api/v1/namespaces/default/configmaps"
NATIVE = "/api/v1alpha1/namespaces/default/services"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
FORMS = {
    "json": "application/json",
    "table": "application/json;as=Table;g=meta.k8s.io;v=v1",
    "partial": PARTIAL,
    "yaml": "application/yaml",
}


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


def read(body: bytes) -> Any:
    """Without the list's own metadata, as the cluster goes on between two lists, and without ages, as time does."""
    values = json.loads(body) if body.startswith(b"{") else yaml.safe_load(body)
    assert int(values.pop("metadata")["resourceVersion"])
    ages = [place for place, column in enumerate(values.get("columnDefinitions", ())) if column["name"] == "Age"]
    for row in values.get("rows", ()):
        for place in ages:
            del row["cells"][place]
    return values


@pytest.mark.parametrize("form", FORMS)
def test_a_list_in_steps_is_the_same_as_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    async def raw(api: RunningApi, path: str) -> tuple[bytes, bool]:
        async with api.session.get(api.url + path, ssl=api.tls(), headers={"Accept": FORMS[form]}) as response:
            assert response.status == 200
            return await response.read(), "Transfer-Encoding" in response.headers

    async def test(api: RunningApi) -> None:
        for number in range(7):
            await api.create(MAPS, {"metadata": {"name": f"m{number}"}, "data": {"text": "a: b\n- c", "empty": ""}})
            ports = [{"port": 80}]
            await api.create(
                NATIVE, {"metadata": {"name": f"s{number}"}, "spec": {"selector": {"a": "b"}, "ports": ports}}
            )
        for path in (MAPS, f"{MAPS}?limit=5", f"{MAPS}?limit=1", NATIVE):
            monkeypatch.setattr(dispatch, "STREAM_FROM_STEPS", 1_000)
            whole, streamed = await raw(api, path)
            assert not streamed
            monkeypatch.setattr(Look, "per_step", 2)
            monkeypatch.setattr(dispatch, "STREAM_FROM_STEPS", 0.5)
            pieces, streamed = await raw(api, path)
            monkeypatch.undo()
            assert streamed
            assert read(pieces) == read(whole)

    run(tmp_path, test)


def test_an_index_is_looked_through_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(api: RunningApi) -> None:
        for number in range(7):
            labels = {"odd": str(number % 2)}
            await api.create(MAPS, {"metadata": {"name": f"m{number}", "labels": labels}})
        monkeypatch.setattr(reading, "LOOKED_AT_PER_STEP", 2)
        answer = await api.json("GET", f"{MAPS}?labelSelector=odd=1")
        assert [each["metadata"]["name"] for each in answer.body["items"]] == ["m1", "m3", "m5"]

    run(tmp_path, test)
