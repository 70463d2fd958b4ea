"""An etcd face served from a thread with a loop of its own, for tests that drive it with blocking clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import grpc
from etcd_pki import Authority

from raftstore.etcd.backend import Backend
from raftstore.etcd.identity import Authorize
from raftstore.etcd.server import EtcdServer, TlsFiles

Value = TypeVar("Value")


class LoopThread:
    """Enters an asynchronous context in a thread, and leaves it there."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Value]]) -> None:
        self._make = make
        self._ready: asyncio.Event
        self._entered = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        try:
            async with self._make() as value:
                self.value = value
                self._entered.set()
                await self._leave.wait()
        except BaseException as error:
            self._failure = error
            self._entered.set()

    def __enter__(self) -> object:
        self._thread.start()
        self._entered.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self.value

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if self._failure is not None:
            raise self._failure


def secure_channel(port: int, authority: Authority, name: str = "client", groups: tuple[str, ...] = ()) -> grpc.Channel:
    certificate, key = authority.issue(name, groups)
    credentials = grpc.ssl_channel_credentials(
        authority.certificate.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    return grpc.secure_channel(f"localhost:{port}", credentials)


@contextmanager
def serving(make_backend: Callable[[], Backend], authority: Authority, authorize: Authorize) -> Iterator[int]:
    """The port of a face over a backend that is made in the loop's thread."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[int]:
        certificate, key = authority.issue("server")
        tls = TlsFiles(certificate=certificate, key=key, client_ca=authority.certificate)
        server = EtcdServer(make_backend(), authorize=authorize, tls=tls, address="127.0.0.1:0")
        port = await server.start()
        try:
            yield port
        finally:
            await server.stop(0)

    with LoopThread(serve) as port:
        assert isinstance(port, int)
        yield port


def allow_all(*_: object) -> bool:
    return True


__all__ = ["LoopThread", "Path", "allow_all", "secure_channel", "serving"]
