"""Options of deletions and evictions that nobody sends but who tries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_server import RunningApi, api_server

PODS = "/api/v1/namespaces/default/pods"


def run(folder: Path, test: Callable[[RunningApi], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_server(folder) as api:
            await test(api)

    asyncio.run(body())


async def bound_pod(api: RunningApi, **spec: Any) -> None:
    containers = [{"name": "app", "image": "app:1"}]
    await api.create(PODS, {"metadata": {"name": "a"}, "spec": {"nodeName": "n1", "containers": containers, **spec}})


@pytest.mark.parametrize("seconds", [2**31 + 1, 10**14, 2**63 - 1])
def test_no_grace_is_too_long(tmp_path: Path, seconds: int) -> None:
    async def test(api: RunningApi) -> None:
        await bound_pod(api)
        answer = await api.json("DELETE", f"{PODS}/a?gracePeriodSeconds={seconds}")
        assert answer.code == 200, answer
        assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 2**31
        answer = await api.json("DELETE", f"{PODS}/a?gracePeriodSeconds=5")
        assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 5

    run(tmp_path, test)


def test_a_pods_own_grace_may_be_as_long(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await bound_pod(api, terminationGracePeriodSeconds=2**60)
        assert (await api.json("DELETE", f"{PODS}/a")).code == 200

    run(tmp_path, test)


def test_an_eviction_is_held_to_the_rules_of_a_deletion(tmp_path: Path) -> None:
    async def test(api: RunningApi) -> None:
        await bound_pod(api)
        for options in ({"propagationPolicy": "Sideways"}, {"dryRun": ["Some"]}):
            answer = await api.json("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}, "deleteOptions": options})
            assert (answer.code, answer.body["reason"]) == (422, "Invalid")
        tried = {"metadata": {"name": "a"}, "deleteOptions": {"dryRun": ["All"]}}
        assert (await api.json("POST", f"{PODS}/a/eviction", tried)).code == 201
        assert "deletionTimestamp" not in (await api.json("GET", f"{PODS}/a")).body["metadata"]

    run(tmp_path, test)
