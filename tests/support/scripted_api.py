"""A twin of the client's transport: an API of one kind with a history, served by several servers that fail on demand.

It keeps the rules a client may rely on (lists of one revision, watches in order after a revision, 410 once history is
gone, 504 for what a server has not seen yet) and breaks everything else when told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec

from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import ApiError, Gone, NotFound, ServiceUnavailable, Timeout
from apiserver.api.meta import ObjectMeta
from apiserver.client.client import Client
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from apiserver.client.transport import TransportError

SERVERS = ("https://a:1", "https://b:1", "https://c:1")


class Time:
    """Virtual: only sleeping moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Server:
    def __init__(self) -> None:
        self.down = False
        self.refuses = False  # 503
        self.behind = 0  # revisions it has not seen yet
        self.cut_after = -1  # events until its watches break; -1 never
        self.half_lines = False


class ScriptedApi:
    """ConfigMaps of namespace `default`. `history` holds (revision, type, object as it then was)."""

    def __init__(self, seed: int = 0) -> None:
        self.servers = {name: Server() for name in SERVERS}
        self.history: list[tuple[int, str, ConfigMap]] = []
        self.revision = 10
        self.compacted = 0
        self.repeats = 0  # old events that a watch begins with again
        self.lists = 0
        self.requests: list[tuple[str, Request]] = []
        self._random = Random(seed)
        self._moved = asyncio.Event()
        self._breaks = 0

    # --- what happens ---------------------------------------------------------------------------------

    def state(self, revision: int | None = None) -> dict[str, ConfigMap]:
        found: dict[str, ConfigMap] = {}
        for at, type_, obj in self.history:
            if revision is not None and at > revision:
                break
            if type_ == "DELETED":
                found.pop(obj.metadata.name, None)
            else:
                found[obj.metadata.name] = obj
        return found

    def write(self, name: str) -> None:
        known = self.state().get(name)
        self.revision += 1
        uid = known.metadata.uid if known else f"uid-{self.revision}"
        self._record("MODIFIED" if known else "ADDED", name, uid)

    def remove(self, name: str) -> None:
        known = self.state().get(name)
        if known is not None:
            self.revision += 1
            self._record("DELETED", name, known.metadata.uid)

    def _record(self, type_: str, name: str, uid: str) -> None:
        metadata = ObjectMeta(name=name, namespace="default", uid=uid, resource_version=str(self.revision))
        labels = {"odd": str(self.revision % 2)}
        metadata.labels = labels
        obj = ConfigMap(api_version="v1", kind="ConfigMap", metadata=metadata, data={"at": str(self.revision)})
        self.history.append((self.revision, type_, obj))
        self.move()

    def compact(self) -> None:
        self.compacted = self.revision

    def break_streams(self) -> None:
        self._breaks += 1
        self.move()

    def move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def heal(self) -> None:
        for server in self.servers.values():
            server.__init__()  # type: ignore[misc]
        self.repeats = 0
        self.move()

    # --- Transport ------------------------------------------------------------------------------------

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        self.requests.append((server, request))
        await asyncio.sleep(0)
        try:
            self._reach(server)
            return _answer(200, self._list(server, dict(request.query)))
        except ApiError as error:
            return _answer(error.status_code, error.status())

    @asynccontextmanager
    async def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AsyncIterator[ScriptedStream]:
        self.requests.append((server, request))
        await asyncio.sleep(0)
        try:
            self._reach(server)
            start = self._start(server, dict(request.query)["resourceVersion"])
        except ApiError as error:
            yield ScriptedStream(error.status_code, _watch_of(b""), msgspec.json.encode(error.status()))
            return
        yield ScriptedStream(200, self._events(server, start), b"", self.break_streams)

    async def close(self) -> None:
        self.break_streams()

    def _reach(self, server: str) -> None:
        state = self.servers[server]
        if state.down:
            raise TransportError(f"{server}: connection refused", sent=False)
        if state.refuses:
            raise ServiceUnavailable("no leader", retry_after_s=1)

    def _list(self, server: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Pages at one revision; the token says which, and where to go on. A first page is linearizable."""
        self.lists += 1
        revision, _, after = query["continue"].partition("/") if "continue" in query else (str(self.revision), "", "")
        at = int(revision)
        if at < self.compacted:
            raise Gone("the page's revision is gone")
        names = sorted(name for name in self.state(at) if name > after)
        limit = int(query.get("limit", 1000))
        shown, rest = names[:limit], names[limit:]
        token = f"{at}/{shown[-1]}" if rest else ""
        state = self.state(at)
        return {
            "kind": "ConfigMapList",
            "metadata": {"resourceVersion": str(at), "continue": token},
            "items": [state[name] for name in shown],
        }

    def _start(self, server: str, version: str) -> int:
        start = int(version)
        if start < self.compacted:
            raise Gone("too old resource version")
        if start > self.revision - self.servers[server].behind:
            raise Timeout("Too large resource version")
        return start

    async def _events(self, server: str, start: int) -> AsyncGenerator[bytes, None]:
        state, breaks, sent = self.servers[server], self._breaks, start
        for _, type_, obj in [each for each in self.history if each[0] <= start][-self.repeats :][: self.repeats]:
            yield _line(type_, obj)
        count = 0
        while not (state.down or self._breaks != breaks):
            for at, type_, obj in list(self.history):
                if sent < at <= self.revision - state.behind:
                    if count == state.cut_after:
                        if state.half_lines:
                            raise TransportError(f"{server}: cut in the middle of a line", sent=True)
                        return
                    count += 1
                    sent = at
                    yield _line(type_, obj)
            if self._random.random() < 0.3 and sent > start:
                bookmark = ConfigMap(api_version="v1", kind="ConfigMap")
                bookmark.metadata.resource_version = str(sent)
                yield _line("BOOKMARK", bookmark)
            await self._moved.wait()
        raise TransportError(f"{server}: connection reset", sent=True)


class ScriptedStream:
    def __init__(
        self, status: int, lines: AsyncGenerator[bytes, None], body: bytes, abort: Callable[[], None] = lambda: None
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self._lines = lines
        self._body = body
        self._abort = abort

    def lines(self) -> AsyncGenerator[bytes, None]:
        return self._lines

    async def read(self) -> bytes:
        await self._lines.aclose()
        return self._body

    def abort(self) -> None:
        self._abort()


async def _watch_of(*lines: bytes) -> AsyncGenerator[bytes, None]:
    for line in lines:
        yield line


def _line(type_: str, obj: Any) -> bytes:
    return msgspec.json.encode({"type": type_, "object": obj})


def _answer(status: int, body: Any) -> Response:
    return Response(status, {}, msgspec.json.encode(body))


class Answers:
    """The simplest twin: one prepared answer or error after the other; what was asked is kept."""

    def __init__(self, *answers: Response | TransportError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Request]] = []

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        self.asked.append((server, request))
        answer = self.answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    @asynccontextmanager
    async def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AsyncIterator[ScriptedStream]:
        answer = await self.send(server, request, timeout_s=timeout_s)
        yield ScriptedStream(answer.status, _watch_of(*answer.body.split(b"\n")[:-1]), answer.body)

    async def close(self) -> None:
        self.answers = []


def answer_of(obj: Any, status: int = 200, **headers: str) -> Response:
    return Response(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, msgspec.json.encode(obj)
    )


def client_of(transport: Any, *, servers: tuple[str, ...] = SERVERS, time: Time | None = None, seed: int = 0) -> Client:
    time = time or Time()
    return Client(
        servers=servers, transport=transport, learn=False, clock=time.clock, sleep=time.sleep, random=Random(seed)
    )


def not_found(name: str) -> NotFound:
    return NotFound(f'configmaps "{name}" not found', kind="configmaps", name=name)
