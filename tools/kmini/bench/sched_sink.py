"""Where the scheduler's requests end when it is measured alone: nodes and pods in memory, in the same process.

It is no API server: nothing is checked, stored or sent over a network. It lists and watches what the scheduler asks for
as JSON, as a server's answers are, puts pods onto nodes when they are bound, and swallows events and conditions. What
is measured on it is the scheduler with its client, informers and JSON, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from apiserver.client import Client
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from apiserver.client.transport import Stream, TransportError

NODES, PODS, NAMESPACES = "/api/v1/nodes", "/api/v1/pods", "/api/v1/namespaces"
_HEADERS = {"content-type": "application/json"}


class _Lines:
    """The answer to a watch."""

    status = 200
    headers: Mapping[str, str] = _HEADERS

    def __init__(self, waiting: asyncio.Queue[bytes]) -> None:
        self._waiting = waiting

    async def lines(self) -> AsyncGenerator[bytes, None]:
        while True:
            yield await self._waiting.get()

    async def read(self) -> bytes:
        return b""

    def abort(self) -> None:
        """Nobody asks for it."""


class Sink:
    """A client's transport. `bound` counts; `all_bound` is set when there is no pod without a node left."""

    def __init__(self) -> None:
        self.bound = 0
        self.pods = 0
        self.all_bound = asyncio.Event()
        self._revision = 1
        self._objects: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._watches: dict[str, list[asyncio.Queue[bytes]]] = defaultdict(list)

    def client(self) -> Client:
        return Client(servers=("https://sink:1",), transport=self, learn=False)

    def put(self, kind: str, objects: Iterable[dict[str, Any]]) -> None:
        """New objects, told to whoever watches."""
        for obj in objects:
            meta = obj["metadata"]
            meta.setdefault("uid", f"{kind}/{meta['name']}")
            self._objects[kind][meta["name"]] = obj
            self.pods += kind == PODS
            self._tell(kind, "ADDED", obj)

    def _tell(self, kind: str, type_: str, obj: dict[str, Any]) -> None:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        if watches := self._watches[kind]:
            line = msgspec.json.encode({"type": type_, "object": obj})
            for waiting in watches:
                waiting.put_nowait(line)

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        await asyncio.sleep(0)  # nothing is answered on the spot
        if request.method == "GET":
            body = {"items": list(self._objects[request.path].values()), "metadata": {"resourceVersion": self._version}}
            return Response(200, _HEADERS, msgspec.json.encode(body))
        if request.path.endswith("/binding"):
            self._bind(request)
            return Response(201, _HEADERS, b'{"kind":"Status","status":"Success"}')
        return Response(201, _HEADERS, request.body or b"{}")

    @property
    def _version(self) -> str:
        return str(self._revision)

    def _bind(self, request: Request) -> None:
        assert request.body is not None
        target = msgspec.json.decode(request.body)["target"]["name"]
        found = self._objects[PODS][request.path.split("/")[-2]]
        if found["spec"].get("nodeName"):
            raise TransportError("a pod was bound twice", sent=True)
        found["spec"]["nodeName"] = target
        self.bound += 1
        self._tell(PODS, "MODIFIED", found)
        if self.bound == self.pods:
            self.all_bound.set()

    @asynccontextmanager
    async def stream(self, server: str, request: Request, *, timeout_s: float, idle_s: float) -> AsyncIterator[Stream]:
        waiting: asyncio.Queue[bytes] = asyncio.Queue()
        watches = self._watches[request.path]
        watches.append(waiting)
        try:
            yield _Lines(waiting)
        finally:
            watches.remove(waiting)

    async def close(self) -> None:
        return
