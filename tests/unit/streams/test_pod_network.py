"""Sockets of other networks: none is left to the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable

import pytest

from nodeagent.streams import pod_network


class AtOnce:
    """What a thread would do, done as it is started."""

    def __init__(self, target: Callable[[], None], **_: object) -> None:
        self.start = target


def test_one_that_comes_as_its_caller_is_cancelled_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it fails the test by its warning."""

    async def story() -> None:
        asking = asyncio.create_task(pod_network.socket_in("one", socket.AF_INET))
        for _ in range(2):  # turns of the loop: it has come, and the task has not gone on
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with monkeypatch.context() as patch:
        patch.setattr(pod_network, "_enter", lambda namespace: None)
        patch.setattr(threading, "Thread", AtOnce)
        asyncio.run(story())
    gc.collect()
