"""Three real API servers on three real stores, in the loop of a test; and property tests against a running server.

    async with api_cluster(tmp_path) as cluster:
        await cluster.apis["n2"].create(...)

Each replica has a loopback address of its own, as three machines would. `LoopOf` keeps what was entered in one
`run` alive for the next, so that a module's tests (and the examples of a property) share one server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from api_server import RunningApi, api_on
from kmini.certificates import make_ready
from ports import free_port
from store_cluster import StoreCluster

from apiserver.auth import pki
from raftstore import Store

T = TypeVar("T")
HOSTS = {"n1": "127.0.0.21", "n2": "127.0.0.22", "n3": "127.0.0.23"}


class ApiCluster:
    """`apis` by the name of the replica. What was stopped is no longer among them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder = folder
        self._options = options
        self._port = free_port()  # one on all, as machines of one cluster have it
        self.stores = StoreCluster(folder, len(HOSTS))
        self.apis: dict[str, RunningApi] = {}
        self._stacks: dict[str, AsyncExitStack] = {}

    async def start(self) -> None:
        names = pki.serving_names(addresses=HOSTS.values(), service_cidr="10.96.0.0/16", cluster_domain="cluster.local")
        pki_dir = self._folder / "api-pki"
        make_ready(pki_dir, name="n1", ca_dir=None, alone=True, names=names)
        await self.stores.start()
        await self.stores.wait_for_leader()
        await asyncio.gather(*(self._serve(name, pki_dir) for name in HOSTS))

    async def _serve(self, name: str, pki_dir: Path) -> None:
        stack = self._stacks[name] = AsyncExitStack()
        api = api_on(self.stores.stores[name], pki_dir, name=name, host=HOSTS[name], port=self._port, **self._options)
        self.apis[name] = await stack.enter_async_context(api)

    @property
    def all(self) -> list[RunningApi]:
        return list(self.apis.values())

    def store(self, name: str) -> Store:
        return self.stores.stores[name]

    async def leader(self) -> str:
        """The name of the replica that leads."""
        leader = await self.stores.wait_for_leader()
        return next(name for name, store in self.stores.stores.items() if store is leader)

    async def stop(self, name: str) -> None:
        """As SIGTERM: the API server takes its leave, then the store."""
        await self._stacks.pop(name).aclose()
        del self.apis[name]
        await self.stores.stop(name)

    async def kill(self, name: str) -> None:
        """The store is gone first: nobody can say goodbye to the others any more."""
        await self.stores.stop(name)
        await self._stacks.pop(name).aclose()
        del self.apis[name]

    async def close(self) -> None:
        await asyncio.gather(*(stack.aclose() for stack in self._stacks.values()))
        self._stacks.clear()
        await self.stores.close()


@asynccontextmanager
async def api_cluster(folder: Path, **options: Any) -> AsyncIterator[ApiCluster]:
    """Three servers that are ready. `options` are fields of ApiOptions, the same for each."""
    cluster = ApiCluster(folder, **options)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.close()


class LoopOf:
    """`run` coroutines one after the other on one loop; what they began goes on whenever it runs."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._stack = AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter it; it is left by `close`."""
        return self.run(self._stack.enter_async_context(context))

    def close(self) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._runner.close()
