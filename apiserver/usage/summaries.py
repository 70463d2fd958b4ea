"""What agents say, asked for at most once in FRESH_S however many want to know: also that they said nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import aiohttp
import msgspec

from apiserver.admission.plugin import Lookup
from apiserver.api.core.node import Node
from apiserver.api.errors import ApiError, ServiceUnavailable
from apiserver.api.summary import Summary
from apiserver.http.node_places import Places
from apiserver.http.relay import Relay

FRESH_S = 15.0
NODE_WITHIN_S = 5.0
AT_ONCE_MAX = 20
SUMMARY_BYTES_MAX = 4 * 1024 * 1024
DECODED_ON_LOOP_BYTES = 128 * 1024
PATH = "/stats/summary"

_decode = msgspec.json.Decoder(Summary).decode
log = logging.getLogger(__name__)


class _Kept:
    """Of one node. `until`, by the loop's clock, it is not asked again."""

    def __init__(self) -> None:
        self.until = 0.0
        self.summary: Summary | None = None
        self.asking = asyncio.Lock()


class Summaries:
    """`close` when done."""

    def __init__(self, lookup: Lookup, places: Places) -> None:
        self._lookup = lookup
        self._places = places
        self._relay = Relay()
        self._kept: dict[str, _Kept] = {}
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def close(self) -> None:
        self._relay.break_off()
        await self._relay.close()

    async def of(self, nodes: Iterable[str]) -> dict[str, Summary]:
        """By node; those whose agent does not say are not there. Raises ApiError when the store does not say which
        nodes there are."""
        names = set(nodes)
        self._forget_old()
        try:
            async with asyncio.TaskGroup() as group:
                asked = {name: group.create_task(self._one(name)) for name in names}
        except ExceptionGroup as failed:  # nobody knows what a group is to be answered with
            raise failed.exceptions[0] from failed
        found = {name: task.result() for name, task in asked.items()}
        return {name: summary for name, summary in found.items() if summary is not None}

    def _forget_old(self) -> None:
        now = asyncio.get_running_loop().time()
        for name, kept in list(self._kept.items()):
            if kept.until <= now and not kept.asking.locked():
                del self._kept[name]

    async def _one(self, name: str) -> Summary | None:
        kept = self._kept.setdefault(name, _Kept())
        async with kept.asking:  # who comes meanwhile waits, and finds the answer
            clock = asyncio.get_running_loop().time
            if clock() >= kept.until:
                async with self._room:
                    kept.summary = await self._asked(name)
                kept.until = clock() + FRESH_S
            return kept.summary

    async def _asked(self, name: str) -> Summary | None:
        """None when the agent does not say, or there is none. Raises ApiError."""
        node: Node | None = await self._lookup.get("nodes", "", name)
        if node is None or not node.status.daemon_endpoints.kubelet_endpoint.port:
            return None
        try:
            async with asyncio.timeout(NODE_WITHIN_S):
                return await self._read(name)
        except TimeoutError:
            reason = f"no answer within {NODE_WITHIN_S:g} s"
        except ApiError as error:
            reason = error.message
        log.info("an agent does not say what is used on its node", extra={"node": name, "reason": reason})
        return None

    async def _read(self, name: str) -> Summary:
        """Raises ApiError."""
        place = await self._places.agent(name)
        async with self._relay.ask(place, "GET", PATH, answer_timeout_s=NODE_WITHIN_S) as answer:
            if answer.status != 200:
                raise ServiceUnavailable(f"it answered with status {answer.status}")
            body = bytearray()
            try:
                async for data in answer.content.iter_any():
                    body += data
                    if len(body) > SUMMARY_BYTES_MAX:
                        raise ServiceUnavailable(f"it answered with more than {SUMMARY_BYTES_MAX} bytes")
            except (aiohttp.ClientError, ConnectionError) as error:
                raise ServiceUnavailable(f"its answer broke off: {type(error).__name__}") from None
        try:
            if len(body) <= DECODED_ON_LOOP_BYTES:
                return _decode(body)
            return await asyncio.to_thread(_decode, body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ServiceUnavailable(f"its answer cannot be read: {error}") from None
