"""The peer port as it closes: whoever is at the door in that moment is hung up on at once, and not forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from pathlib import Path

import pytest
from peers import Authorities, run

from raftstore.raft.connection import Connection, ConnectionHandler, LinkMetrics
from raftstore.raft.credentials import TlsContexts, load_contexts
from raftstore.raft.engine import Message
from raftstore.raft.sockets import Door


class Closing(ConnectionHandler):
    """Closes the door as soon as somebody's TLS is up."""

    door: Door
    times_lost = 0

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def made(self, connection: Connection) -> None:
        self.door.close()
        self.closed.set()

    def frame(self, connection: Connection, message: Message) -> None: ...

    def drained(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None:
        self.times_lost += 1


def a_door(contexts: TlsContexts, handler: ConnectionHandler) -> Door:
    return Door(
        "127.0.0.1",
        0,
        make=lambda: Connection(handler, LinkMetrics()),
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
        door = a_door(load_contexts(Authorities(tmp_path).member(1)), Closing())  # nobody's TLS comes up
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


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_whose_tls_comes_up_as_the_door_closes_is_hung_up_on_at_once(tmp_path: Path, loop: str) -> None:
    """The end of TLS is not waited for on a socket that is closed: its number may be another one's by then."""
    authorities = Authorities(tmp_path)
    ours, theirs = load_contexts(authorities.member(1)), load_contexts(authorities.member(2))

    def shake_hands(port: int) -> ssl.SSLSocket:
        caller = socket.create_connection(("127.0.0.1", port), timeout=60)
        return theirs.client.wrap_socket(caller, server_hostname="127.0.0.1")  # and says nothing more

    async def body() -> None:
        handler = Closing()
        handler.door = a_door(ours, handler)
        calling = asyncio.create_task(asyncio.to_thread(shake_hands, handler.door.port))
        await handler.closed.wait()
        await handler.door.wait_closed()
        lost_at_once = handler.times_lost
        with await calling, contextlib.ExitStack() as stack:
            loop, others = asyncio.get_running_loop(), [socket.socketpair() for _ in range(3)]
            for one, other in [*others, *(pair[::-1] for pair in others)]:  # one of them has its number
                stack.enter_context(one)
                heard = asyncio.Event()
                loop.add_reader(one, heard.set)
                other.send(b"x")
                await heard.wait()
                loop.remove_reader(one)
        assert (lost_at_once, handler.times_lost) == (1, 1)

    run(body(), loop=loop)
    gc.collect()
