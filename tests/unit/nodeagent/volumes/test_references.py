"""What pods refer to is read once for all, fresh for who is new, and still there while the API is not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from fake_api import FakeApi
from virtual_time import run as run_virtual

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod, PodSpec
from apiserver.api.core.volumes import ConfigMapVolumeSource, SecretVolumeSource, Volume
from apiserver.api.errors import ApiError, Forbidden
from apiserver.api.meta import ObjectMeta
from nodeagent import references
from nodeagent.references import FRESH_S, UNUSED_MAX, References


def pod(uid: str = "u1") -> Pod:
    volumes = [
        Volume(name="c", config_map=ConfigMapVolumeSource(name="settings")),
        Volume(name="s", secret=SecretVolumeSource(secret_name="password")),
    ]
    spec = PodSpec(node_name="n1", containers=[Container(name="c", image="i")], volumes=volumes)
    return Pod(metadata=ObjectMeta(name=f"p-{uid}", namespace="default", uid=uid), spec=spec)


class World:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.references = References(self.api.client())

    def put(self, **data: str) -> None:
        self.api.put(ConfigMap(metadata=ObjectMeta(name="settings", namespace="default"), data=data))

    async def data(self) -> dict[str, str] | None:
        found = await self.references.config_map("default", "settings")
        return dict(found.data) if found is not None else None

    def go_away(self) -> None:
        self.api.faults.refused = 1.0


def story(tell: Any) -> None:
    async def run() -> None:
        await tell(World())

    work: Coroutine[Any, Any, None] = run()
    run_virtual(work)


def test_what_is_not_there_is_none() -> None:
    async def tell(world: World) -> None:
        assert await world.data() is None
        assert await world.references.secret("default", "password") is None
        assert await world.references.claim("default", "data") is None
        assert await world.references.volume("pv") is None

    story(tell)


def test_many_pods_make_one_request() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        before = world.api.requests
        found = await asyncio.gather(*(world.data() for _ in range(200)))
        assert found == [{"a": "1"}] * 200
        assert world.api.requests == before + 1

    story(tell)


def test_a_copy_is_read_again_when_it_is_old() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        await world.data()
        world.put(a="2")
        assert await world.data() == {"a": "1"}
        await asyncio.sleep(FRESH_S + 0.1)
        assert await world.data() == {"a": "2"}

    story(tell)


def test_a_new_pod_sees_what_was_written_before_it_came() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        await world.data()
        world.put(a="2")
        await asyncio.sleep(0.01)
        world.references.pod_came(pod())
        assert await world.data() == {"a": "2"}

    story(tell)


def test_a_pod_that_is_here_already_changes_nothing() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        world.references.pod_came(pod())
        await world.data()
        before = world.api.requests
        await asyncio.sleep(0.01)
        world.references.pod_came(pod())
        await world.data()
        assert world.api.requests == before

    story(tell)


def test_who_waits_gives_up_and_the_others_get_their_answer() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        world.api.faults.latency_s = (1.0, 1.0)
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(world.data()), group.create_task(world.data())
            await asyncio.sleep(0.5)
            first.cancel()
        assert second.result() == {"a": "1"}

    story(tell)


def test_copies_of_pods_that_are_here_serve_while_the_api_is_away() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        world.references.pod_came(pod())
        await world.data()
        for number in range(UNUSED_MAX * 2):
            await world.references.config_map("default", f"other-{number}")
        world.go_away()
        await asyncio.sleep(3600)
        began = asyncio.get_running_loop().time()
        assert await world.data() == {"a": "1"}
        assert asyncio.get_running_loop().time() - began <= references.ANSWER_WITHIN_S + 0.1
        with pytest.raises(ApiError):
            await world.references.secret("default", "password")

    story(tell)


async def long_it_took(*reading: Coroutine[Any, Any, object]) -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*reading)
    return asyncio.get_running_loop().time() - began


def test_who_waits_for_a_silent_api_waits_once_however_many_ask() -> None:
    """All pods have the ConfigMap with the cluster's CA: one after another they would wait for minutes."""

    async def tell(world: World) -> None:
        world.put(a="1")
        world.references.pod_came(pod())
        await world.data()
        world.api.faults.latency_s = (3600, 3600)
        await asyncio.sleep(60)
        assert await long_it_took(*(world.data() for _ in range(30))) <= references.ANSWER_WITHIN_S + 0.1

    story(tell)


def test_what_was_never_read_holds_up_no_copy() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        world.references.pod_came(pod())
        await world.data()
        world.api.faults.latency_s = (3600, 3600)
        await asyncio.sleep(60)
        others = [
            asyncio.ensure_future(world.references.secret("default", f"other-{number}"))
            for number in range(2 * references.READS_MAX)
        ]
        await asyncio.sleep(1)
        assert await long_it_took(world.data()) <= references.ANSWER_WITHIN_S + 0.1
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    story(tell)


def test_copies_go_with_the_last_pod() -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        for uid in ("u1", "u2"):
            world.references.pod_came(pod(uid))
        await world.data()
        world.go_away()
        await asyncio.sleep(60)
        world.references.pod_went("u1")
        assert await world.data() == {"a": "1"}
        world.references.pod_went("u2")
        world.references.pod_went("u2")
        with pytest.raises(ApiError):
            await world.data()

    story(tell)


def test_what_we_may_not_read_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(world: World) -> None:
        world.put(a="1")
        await world.data()

        async def refuse(*_: Any, **__: Any) -> None:
            raise Forbidden("no relationship found")

        monkeypatch.setattr(world.references._client, "get", refuse)
        await asyncio.sleep(60)
        for _ in range(2):
            with pytest.raises(Forbidden):
                await world.data()

    story(tell)


def test_immutable_objects_are_read_once_for_each_new_pod() -> None:
    async def tell(world: World) -> None:
        meta = ObjectMeta(name="password", namespace="default")
        world.api.put(Secret(metadata=meta, data={"a": "MQ=="}, immutable=True))
        world.references.pod_came(pod("u1"))
        await world.references.secret("default", "password")
        before = world.api.requests
        await asyncio.sleep(3600)
        await world.references.secret("default", "password")
        assert world.api.requests == before
        world.references.pod_came(pod("u2"))
        await world.references.secret("default", "password")
        assert world.api.requests == before + 1

    story(tell)


def test_copies_of_nobody_are_bounded() -> None:
    async def tell(world: World) -> None:
        for number in range(UNUSED_MAX * 2):
            await world.references.config_map("default", f"other-{number}")
        assert len(world.references._copies) <= UNUSED_MAX

    story(tell)


def test_secrets_are_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(world: World) -> None:
        world.api.put(Secret(metadata=ObjectMeta(name="password", namespace="default"), data={"a": "aGlkZGVuLXdvcmQ="}))
        found = await world.references.secret("default", "password")
        world.go_away()
        await asyncio.sleep(60)
        assert await world.references.secret("default", "password") is found
        assert "hidden-word" not in repr(found)
        assert "aGlkZGVuLXdvcmQ" not in repr(found)
        assert "a copy serves" in caplog.text
        assert "hidden-word" not in caplog.text

    caplog.set_level("INFO")
    story(tell)
