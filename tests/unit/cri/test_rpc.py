"""The channel to containerd, where it is slow."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from cri_server import CriServer

from nodeagent.runtime.gen import cri_pb2 as pb
from nodeagent.runtime.rpc import Connection

SLOW_S = 0.5


class SlowToSpeak:
    """In front of a server: says nothing on a connection until SLOW_S are over, or somebody tries again."""

    def __init__(self, behind: Path) -> None:
        self.connections = 0
        self._behind = behind
        self._again = asyncio.Event()

    async def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.connections > 1:
            self._again.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._again.wait(), SLOW_S)
        theirs, to_them = await asyncio.open_unix_connection(self._behind)
        await asyncio.gather(_copy(reader, to_them), _copy(theirs, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def test_a_server_that_accepts_long_before_it_speaks_is_waited_for(tmp_path: Path) -> None:
    """containerd does when the machine is busy: to give up then is to fail a call that nothing is wrong with."""

    async def main() -> None:
        slow = SlowToSpeak(tmp_path / "behind")
        async with CriServer().on(tmp_path / "behind"):
            server = await asyncio.start_unix_server(slow.accepted, tmp_path / "front")
            connection = Connection(tmp_path / "front")
            found = await connection.call("/runtime.v1.RuntimeService/Version", pb.VersionRequest(), pb.VersionResponse)
            assert found.runtime_name == "containerd"
            assert slow.connections == 1
            await connection.close()
            server.close()
            await server.wait_closed()

    asyncio.run(main())
