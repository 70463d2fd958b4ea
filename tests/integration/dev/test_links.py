"""Links between replicas that are cut and heal, and replicas that stand still: below the API, on bare stores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec
import pytest
from kmini.dev.links import Links
from kmini.dev.loops import LoopThread, replica_loop
from kmini_process import eventually
from ports import free_ports
from store_cluster import StoreCluster, until

from raftstore import Store, StoreConfig
from raftstore.errors import StoreError

NAMES = ("n1", "n2", "n3")
SOURCES = {"n1": "127.0.0.11", "n2": "127.0.0.12", "n3": "127.0.0.13"}


class World:
    """Three stores, each on its own thread, joined by links on a thread of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        cluster = StoreCluster(folder, 3)
        inner = dict(zip(NAMES, free_ports(3), strict=True))
        self.links = Links(SOURCES)
        self.main = LoopThread("links")
        stack.callback(self.main.close)
        stack.callback(lambda: self.main.call(self.links.close()))
        for name, address in cluster.addresses.items():
            port = int(address.rpartition(":")[2])
            self.main.call(self.links.listen(name, "127.0.0.1", port, inner_port=inner[name]))
        self.threads = {name: LoopThread(name, partial(replica_loop, SOURCES[name])) for name in NAMES}
        for thread in self.threads.values():
            stack.callback(thread.close)

        def config(name: str) -> StoreConfig:
            return msgspec.structs.replace(cluster.config(name), bind=f"127.0.0.1:{inner[name]}")

        opening = {name: self.threads[name].submit(Store.open(config(name))) for name in NAMES}
        self.stores = {name: future.result(60) for name, future in opening.items()}
        for name, store in self.stores.items():
            stack.callback(partial(self._close, name, store))

    def _close(self, name: str, store: Store) -> None:
        self.threads[name].call(store.close())

    def cut(self, sender: str, receiver: str) -> None:
        self.on_links(partial(self.links.cut, sender, receiver))

    def isolate(self, name: str) -> None:
        self.on_links(partial(self.links.isolate, [name], [other for other in NAMES if other != name]))

    def on_links(self, function: object) -> None:
        async def work() -> None:
            assert callable(function)
            function()

        self.main.call(work())

    def leader(self) -> str:
        async def known() -> str:
            await until(lambda: self._leader() is not None)
            return self._leader() or ""

        return self.main.call(known())

    def _leader(self) -> str | None:
        """The one that most follow."""
        ids = {store.status().member_id: name for name, store in self.stores.items()}
        followed = [store.leader for store in self.stores.values()]
        return next((ids[each] for each in ids if followed.count(each) >= 2), None)

    def put(self, name: str) -> None:
        """Through one replica, until it works."""

        async def work() -> None:
            async with asyncio.timeout(60):
                written = False
                while not written:
                    with contextlib.suppress(StoreError):
                        await self.stores[name].put(b"k", b"v")
                        written = True

        self.threads[name].call(work())

    def fails(self, name: str) -> bool:
        async def work() -> bool:
            try:
                async with asyncio.timeout(3):
                    await self.stores[name].put(b"k", b"v")
            except (StoreError, TimeoutError):
                return True
            return False

        return self.threads[name].call(work())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def test_who_is_cut_off_cannot_write_and_the_others_can(world: World) -> None:
    alone = world.leader()
    world.isolate(alone)
    assert world.fails(alone)
    others = [name for name in NAMES if name != alone]
    for name in others:
        world.put(name)
    world.on_links(world.links.heal)
    world.put(alone)


def test_a_link_can_be_cut_in_one_direction(world: World) -> None:
    """The leader hears nobody, and goes: followers that hear it would otherwise wait for ever."""
    deaf = world.leader()
    others = [name for name in NAMES if name != deaf]
    for name in others:
        world.cut(name, deaf)
    world.put(others[0])
    assert world.leader() in others


def test_a_replica_that_stands_still_is_replaced_and_comes_back(world: World) -> None:
    still = world.leader()
    world.threads[still].freeze()
    others = [name for name in NAMES if name != still]
    world.put(others[0])
    world.threads[still].thaw()
    world.put(still)


def test_a_call_that_takes_too_long_is_cancelled() -> None:
    thread = LoopThread("test")

    async def others() -> int:
        return len(asyncio.all_tasks()) - 1

    try:
        with pytest.raises(TimeoutError):
            thread.call(asyncio.Event().wait(), timeout_s=0.01)
        eventually(lambda: thread.call(others()) == 0, what="its end")
    finally:
        thread.close()
