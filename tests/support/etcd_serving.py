"""A thread with a loop of its own, so that tests can drive what lives on it with blocking clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import grpc
from etcd_pki import Authority

Value = TypeVar("Value")


class LoopThread:
    """Enters an asynchronous context in a thread, and leaves it there."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Value]]) -> None:
        self._make = make
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
