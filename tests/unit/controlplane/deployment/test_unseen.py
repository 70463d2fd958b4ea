"""Our own writes that the cache does not show yet: nothing is decided before it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import virtual_time
from controllers_world_objects import replica_set
from fake_api import FakeApi

from apiserver.api.apps import ReplicaSet
from apiserver.client.cache import Cache, Entry, Key
from controlplane.controllers.deployment.unseen import LOOK_AFTER_S, Unseen
from controlplane.runtime import Request

WEB = Request("default", "web")


class Scene:
    """A cache that shows what it is told to."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.cache: Cache[ReplicaSet] = Cache()
        self.now_s = 0.0
        self.unseen = Unseen(self.api.client(), self.cache, lambda: self.now_s)

    def show(self) -> ReplicaSet:
        """The cache sees what is there now."""
        found = self.api.get(ReplicaSet, "a")
        assert found is not None
        meta = found.metadata
        self.cache.put(Key("default", "a"), Entry(found, uid=meta.uid, resource_version=meta.resource_version))
        return found

    def change(self) -> None:
        found = self.api.get(ReplicaSet, "a")
        assert found is not None
        found.spec.replicas = (found.spec.replicas or 0) + 1
        self.api.put(found)


def run(body: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        scene = Scene()
        scene.api.put(replica_set("a", 1))
        await body(scene)

    virtual_time.run(main())


def test_a_change_is_awaited_until_the_version_it_replaced_is_gone() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.unseen.is_clear(WEB)
        scene.unseen.replaces(WEB, scene.show())
        scene.change()
        scene.unseen.done(WEB, "a")
        assert not await scene.unseen.is_clear(WEB)
        assert scene.api.requests == 0
        scene.show()
        assert await scene.unseen.is_clear(WEB)

    run(body)


def test_one_that_is_gone_is_awaited_no_more() -> None:
    async def body(scene: Scene) -> None:
        scene.unseen.replaces(WEB, scene.show())
        scene.unseen.done(WEB, "a")
        scene.cache.drop(Key("default", "a"))
        assert await scene.unseen.is_clear(WEB)

    run(body)


def test_a_change_that_failed_is_not_awaited() -> None:
    async def body(scene: Scene) -> None:
        scene.unseen.replaces(WEB, scene.show())
        scene.unseen.failed(WEB, "a")
        assert await scene.unseen.is_clear(WEB)

    run(body)


def test_the_api_says_whether_a_change_without_an_answer_happened() -> None:
    async def happened(scene: Scene) -> None:
        scene.unseen.replaces(WEB, scene.show())
        scene.change()
        assert not await scene.unseen.is_clear(WEB)
        assert scene.api.requests == 1
        scene.show()
        assert await scene.unseen.is_clear(WEB)

    async def did_not(scene: Scene) -> None:
        scene.unseen.replaces(WEB, scene.show())
        assert await scene.unseen.is_clear(WEB)
        assert scene.api.requests == 1

    run(happened)
    run(did_not)


def test_a_creation_is_awaited_until_the_cache_shows_it() -> None:
    async def body(scene: Scene) -> None:
        scene.unseen.creates(WEB, "a")
        scene.unseen.done(WEB, "a")
        assert not await scene.unseen.is_clear(WEB)
        scene.show()
        assert await scene.unseen.is_clear(WEB)

    run(body)


def test_a_creation_that_did_not_happen_is_not_awaited() -> None:
    async def body(scene: Scene) -> None:
        scene.unseen.creates(WEB, "b")
        assert await scene.unseen.is_clear(WEB)
        scene.unseen.creates(WEB, "a")
        assert not await scene.unseen.is_clear(WEB)

    run(body)


def test_what_is_awaited_for_long_is_looked_up() -> None:
    """It was created and deleted while the cache heard nothing."""

    async def body(scene: Scene) -> None:
        scene.unseen.creates(WEB, "b")
        scene.unseen.done(WEB, "b")
        assert not await scene.unseen.is_clear(WEB)
        scene.now_s += LOOK_AFTER_S
        assert await scene.unseen.is_clear(WEB)

    run(body)
