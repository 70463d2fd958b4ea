"""One copy for all who ask for the same."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from scripted_api import ScriptedApi, client_of

from apiserver.api.core.config import ConfigMap
from apiserver.api.meta import ObjectMeta
from apiserver.client import Change, Informer, Informers


def bare(obj: ConfigMap) -> ConfigMap:
    return obj


def test_who_asks_for_the_same_shares_one_informer() -> None:
    informers = Informers(client_of(ScriptedApi()))
    one = informers.of(ConfigMap, labels={"app": "web"})
    assert informers.of(ConfigMap, labels="app=web") is one
    assert informers.of(ConfigMap, labels="app=db") is not one
    assert informers.of(ConfigMap, namespace="default", labels="app=web") is not one


def test_two_trims_cannot_share_a_copy() -> None:
    informers = Informers(client_of(ScriptedApi()))
    informers.of(ConfigMap, trim=bare)
    assert informers.of(ConfigMap, trim=bare).trim is bare
    with pytest.raises(ValueError, match="an informer of configmaps with another trim function runs already"):
        informers.of(ConfigMap)


def test_all_run_and_also_those_that_come_later_and_who_comes_late_is_told_everything() -> None:
    async def act() -> tuple[list[Change[ConfigMap]], int]:
        api = ScriptedApi()
        api.write("a")
        early: list[Change[ConfigMap]] = []
        late: list[Change[ConfigMap]] = []
        informers = Informers(client_of(api))
        informers.of(ConfigMap).add_handler(early.append)
        async with informers:
            await informers.wait_for_sync()
            informers.of(ConfigMap).add_handler(late.append)
            second = informers.of(ConfigMap, namespace="default")
            await informers.wait_for_sync()
            assert [change.object.metadata.name for change in early] == ["a"]
            assert second.cache.get("a", namespace="default") is not None
        return late, api.lists

    late, lists = asyncio.run(act())
    assert [(change.type, change.object.metadata.name) for change in late] == [("added", "a")]
    assert lists == 2


def test_when_all_is_over_nothing_runs() -> None:
    async def act() -> set[str]:
        async with Informers(client_of(ScriptedApi())) as informers:
            informers.of(ConfigMap)
            await informers.wait_for_sync()
        return {task.get_name() for task in asyncio.all_tasks()}

    assert not any("informer" in name for name in asyncio.run(act()))


def test_what_is_recalled_serves_until_all_is_listed() -> None:
    async def act() -> None:
        api = ScriptedApi()
        api.write("a")
        informers = Informers(client_of(api))
        informer = informers.of(ConfigMap)
        told: list[Change[ConfigMap]] = []
        informer.add_handler(told.append)
        informer.recall([config_map("a", "old"), config_map("gone", "old")])
        informer.recall([config_map("gone", "another")])
        assert informer.known.is_set()
        assert not informer.synced.is_set()
        assert [(change.type, change.object.metadata.name) for change in told] == [
            ("added", "a"),
            ("added", "gone"),
            ("updated", "gone"),
        ]
        told.clear()
        async with informers:
            await informers.wait_for_sync()
            informer.recall([config_map("gone", "again")])
            assert [each.metadata.name for each in informer.cache] == ["a"]
            assert ("deleted", "gone") in [(change.type, change.object.metadata.name) for change in told]
            assert "from" not in data_of(informer, "a")

    asyncio.run(act())


def config_map(name: str, text: str) -> ConfigMap:
    meta = ObjectMeta(name=name, namespace="default", uid=f"uid of {name}")
    return ConfigMap(metadata=meta, data={"from": text})


def data_of(informer: Informer[ConfigMap], name: str) -> dict[str, str]:
    found = informer.cache.get(name, namespace="default")
    assert found is not None
    return found.data


def test_what_a_server_shows_counts_whatever_version_was_recalled() -> None:
    async def act() -> None:
        api = ScriptedApi()
        api.write("a")
        async with Informer(client_of(api), ConfigMap) as first:
            await first.wait_for_sync()
            (shown,) = first.cache
        later = Informer(client_of(api), ConfigMap)
        later.recall([msgspec.structs.replace(shown, data={"from": "memory"})])
        assert data_of(later, "a") == {"from": "memory"}
        async with later:
            await later.wait_for_sync()
            assert data_of(later, "a") == shown.data

    asyncio.run(act())


def test_what_a_server_has_shown_already_is_not_recalled() -> None:
    """A list takes several answers, and the memory may come in between."""

    async def act() -> None:
        api = ScriptedApi()
        api.write("a")
        informer = Informer(client_of(api), ConfigMap)

        def recall(change: Change[ConfigMap]) -> None:
            assert not informer.synced.is_set()
            informer.recall([config_map("a", "memory")])
            assert "from" not in data_of(informer, "a")

        told: list[Change[ConfigMap]] = []
        informer.add_handler(told.append)
        informer.add_handler(recall)
        async with informer:
            await informer.wait_for_sync()
        assert [(change.type, "from" in change.object.data) for change in told] == [("added", False)]

    asyncio.run(act())
