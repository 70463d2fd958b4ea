"""dryRun=All: the answer a write would get, and nothing written."""

from __future__ import annotations

import asyncio
from pathlib import Path

from api_server import RunningApi, api_server

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_dry_run_answers_like_the_write_and_writes_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with api_server(tmp_path) as api:
            await creates(api)
            await updates(api)
            await deletes(api)

    asyncio.run(body())


async def creates(api: RunningApi) -> None:
    made = await api.json("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert made.code == 201
    assert made.body["metadata"]["uid"]
    assert "resourceVersion" not in made.body["metadata"]
    assert (await api.json("GET", f"{MAPS}/a")).code == 404
    await api.create(MAPS, config_map("a"))
    again = await api.json("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert (again.code, again.body["reason"]) == (409, "AlreadyExists")
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    assert (await api.json("POST", f"{MAPS}?dryRun=All", config_map("b"), headers=table)).code == 201


async def updates(api: RunningApi) -> None:
    before = (await api.json("GET", f"{MAPS}/a")).body
    put = await api.json("PUT", f"{MAPS}/a?dryRun=All", config_map("a", key="value"))
    assert put.body["data"] == {"key": "value"}
    assert put.body["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    stale = {**config_map("a"), "metadata": {"name": "a", "resourceVersion": "1"}}
    assert (await api.json("PUT", f"{MAPS}/a?dryRun=All", stale)).code == 409
    assert (await api.json("GET", f"{MAPS}/a")).body == before


async def deletes(api: RunningApi) -> None:
    assert (await api.json("DELETE", f"{MAPS}/a?dryRun=All")).body["status"] == "Success"
    assert (await api.json("DELETE", f"{MAPS}/a", {"dryRun": ["All"]})).body["status"] == "Success"
    assert (await api.json("GET", f"{MAPS}/a")).code == 200
