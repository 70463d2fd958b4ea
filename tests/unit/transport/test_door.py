"""The peer port as it closes: whoever is at the door in that moment is hung up on, and not forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from pathlib import Path
from typing import cast

import pytest
from peers import Authorities, run

from raftstore.raft.connection import Connection, LinkMetrics
from raftstore.raft.credentials import load_contexts
from raftstore.raft.sockets import Door


def a_door(folder: Path) -> Door:
    contexts = load_contexts(Authorities(folder).member(1))
    return Door(
        "127.0.0.1",
        0,
        make=lambda: cast(Connection, asyncio.Protocol()),  # nobody gets so far
        contexts=lambda: contexts,
        metrics=LinkMetrics(),
        handshake_s=60.0,
        dead_s=60.0,
    )


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("turns", range(5))
def test_who_comes_as_the_door_closes_is_hung_up_on(tmp_path: Path, loop: str, turns: int) -> None:
    """At whatever turn of the loop; a socket that is left to the garbage collector fails the test by its warning."""

    async def body() -> None:
        door = a_door(tmp_path)
        await asyncio.sleep(0)
        callers = [socket.create_connection(("127.0.0.1", door.port), timeout=60) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        door.close()
        await door.wait_closed()
        for caller in callers:
            with caller, contextlib.suppress(ConnectionResetError):
                assert await asyncio.to_thread(caller.recv, 1) == b""

    run(body(), loop=loop)
    gc.collect()
