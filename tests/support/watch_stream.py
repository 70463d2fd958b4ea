"""A watch over HTTP as a test reads it: event by event, from a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from api_server import ADMIN, RunningApi

PATIENCE_S = 60.0
LINE_BYTES_MAX = 8 << 20


class WatchStream:
    """`next` gives events as they come; `rest` all that come until the server ends the watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def line(self) -> bytes:
        """One line; b"" at the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.response.content.readline()

    async def next(self) -> Any:
        line = await self.line()
        assert line, "the watch ended"
        return json.loads(line)

    async def next_names(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def rest(self) -> list[Any]:
        found = []
        while line := await self.line():
            found.append(json.loads(line))
        return found


@asynccontextmanager
async def watch_stream(
    api: RunningApi, path: str, *, user: str = ADMIN, headers: Mapping[str, str] | None = None, **query: Any
) -> AsyncIterator[WatchStream]:
    """Open it; the answer must be 200. A name of a parameter may end in _."""
    parameters = {"watch": "1", **{name.rstrip("_"): str(value) for name, value in query.items()}}
    connector = aiohttp.TCPConnector(ssl=api.tls(user))
    async with (
        aiohttp.ClientSession(connector=connector, read_bufsize=LINE_BYTES_MAX) as session,
        session.get(api.url + path, params=parameters, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        yield WatchStream(response)
