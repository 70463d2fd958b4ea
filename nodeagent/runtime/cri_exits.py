"""Which pods changed, from containerd's own stream of events: its CRI half tells nothing of the kind in version 1.6.

An event comes before the CRI half knows of it. So what ended is asked for until it is seen to have ended, and only then
the pod is named: who hears of it looks once, and sees it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress

from .gen.events_pb2 import Envelope, SubscribeRequest
from .gen.task_pb2 import TaskExit, TaskOOM
from .rpc import Connection

SUBSCRIBE = "/containerd.services.events.v1.Events/Subscribe"
SETTLE_EVERY_S = 0.01
SETTLE_SLOWEST_S = 1.0
SETTLE_WITHIN_S = 60.0
_FILTERS = ('namespace==k8s.io,topic=="/tasks/exit"', 'namespace==k8s.io,topic=="/tasks/oom"')
_PENDING_MAX = 10_000

#: Of each container and sandbox: the pod's uid, and whether it runs.
Look = Callable[[], Awaitable[Mapping[str, tuple[str, bool]]]]


class Exits:
    """`look` says what runs; `forget` is told of what ran out of memory: that reason may be known after the end."""

    def __init__(self, connection: Connection, look: Look, forget: Callable[[str], None]) -> None:
        self._connection = connection
        self._look = look
        self._forget = forget
        self._pending: dict[str, float] = {}  # by id of what ended: since when, by the loop's clock
        self._news = asyncio.Event()

    async def pods(self) -> AsyncGenerator[str, None]:
        """Uids, one for each end. Raises RuntimeFailure when the stream breaks."""
        listening = asyncio.create_task(self._listen(), name="containerd's events")
        try:
            while True:
                for uid in await self._settled(listening):
                    yield uid
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        stream = self._connection.listen(SUBSCRIBE, SubscribeRequest(filters=_FILTERS), Envelope)
        async for envelope in stream:
            ended = self._ended(envelope)
            if ended and len(self._pending) < _PENDING_MAX:
                self._pending[ended] = asyncio.get_running_loop().time()
                self._news.set()

    def _ended(self, envelope: Envelope) -> str:
        """The id of what ended; "" for what is run in a container beside it."""
        if envelope.topic == "/tasks/oom":
            told = TaskOOM.FromString(envelope.event.value).container_id
            self._forget(told)
            return told
        exit = TaskExit.FromString(envelope.event.value)
        return exit.container_id if exit.id == exit.container_id else ""

    async def _settled(self, listening: asyncio.Task[None]) -> list[str]:
        """Wait for an end, and until it is seen; the pods of all that are."""
        waiting = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if listening.done():
            listening.result()
        self._news.clear()
        pause_s = SETTLE_EVERY_S
        while True:
            found = self._take(await self._look())
            if found or not self._pending:
                if self._pending:
                    self._news.set()
                return found
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._news.wait()
            self._news.clear()
            pause_s = min(2 * pause_s, SETTLE_SLOWEST_S)

    def _take(self, seen: Mapping[str, tuple[str, bool]]) -> list[str]:
        """What is seen to have ended, or is waited for too long, waits no more."""
        now = asyncio.get_running_loop().time()
        uids = []
        for each, since in list(self._pending.items()):
            uid, runs = seen.get(each, ("", False))
            if not runs or now - since > SETTLE_WITHIN_S:
                del self._pending[each]
                uids.append(uid)
        return [uid for uid in dict.fromkeys(uids) if uid]
