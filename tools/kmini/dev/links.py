"""The network between the replicas of a test control plane, with links that can be cut, in one direction or both.

In front of each replica's peer port stands a relay. It knows who calls by the caller's loopback address (loops.py) and
passes bytes on, encrypted as they are. Over a cut link it passes nothing: the bytes wait, as they do in the buffers of
a real network that drops packets, and come through if the link heals before anybody gave up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

log = logging.getLogger(__name__)

_CHUNK_BYTES = 64 * 1024
_CONNECT_TIMEOUT_S = 5.0


class Links:
    """Relays for named replicas, on the loop that starts them. `sources` says from which address each replica calls."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._names = {address: name for name, address in sources.items()}
        self._cut: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._passing: set[asyncio.Task[None]] = set()

    async def listen(self, name: str, host: str, port: int, *, inner_port: int) -> None:
        """Relay `host:port` to the replica's own port at 127.0.0.1. Raises OSError."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            source = self._names.get(writer.get_extra_info("peername")[0], "")
            task = asyncio.current_task()
            assert task is not None
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)
            await self._relay(source, name, inner_port, reader, writer)

        self._servers.append(await asyncio.start_server(accepted, host, port))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    # --- cutting --------------------------------------------------------------------------------------

    def cut(self, sender: str, receiver: str) -> None:
        """Nothing that `sender` sends arrives at `receiver`."""
        self._cut.add((sender, receiver))

    def isolate(self, group: Iterable[str], others: Iterable[str]) -> None:
        """Cut each of one group from each of the other, both ways."""
        rest = list(others)
        for name in group:
            for other in rest:
                self.cut(name, other)
                self.cut(other, name)

    def heal(self) -> None:
        self._cut.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def is_whole(self) -> bool:
        return not self._cut

    async def _passable(self, sender: str, receiver: str) -> None:
        while (sender, receiver) in self._cut:
            await self._changed.wait()

    # --- passing on -----------------------------------------------------------------------------------

    async def _relay(
        self, source: str, target: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.closing(writer):
            await self._passable(source, target)  # a connection needs both ways
            await self._passable(target, source)
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            except (OSError, TimeoutError) as error:
                log.debug("a replica takes no calls", extra={"replica": target, "error": str(error)})
                return
            with contextlib.closing(inner_writer):
                ways = {
                    asyncio.create_task(self._pass_on(source, target, reader, inner_writer)),
                    asyncio.create_task(self._pass_on(target, source, inner_reader, writer)),
                }
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(
        self, sender: str, receiver: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until one side ends."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._passable(sender, receiver)
                writer.write(chunk)
                await writer.drain()
