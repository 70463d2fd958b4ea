"""A call to a peer that comes to nothing: its socket is closed, once, and no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import struct
from pathlib import Path

import pytest
from peers import Authorities, run

from raftstore.raft import sockets
from raftstore.raft.connection import Connection, ConnectionHandler, LinkMetrics
from raftstore.raft.credentials import TlsContexts, load_contexts
from raftstore.raft.engine import Message
from raftstore.raft.sockets import dial

AT_ONCE = struct.pack("ii", 1, 0)
loops = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


class Handler(ConnectionHandler):
    """Cancels `caller` once TLS is up."""

    def __init__(self, caller: asyncio.Task[Connection] | None = None) -> None:
        self.caller = caller
        self.times_lost = 0

    def made(self, connection: Connection) -> None:
        if self.caller is not None:
            self.caller.cancel()

    def frame(self, connection: Connection, message: Message) -> None: ...

    def drained(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None:
        self.times_lost += 1


def call(port: int, handler: Handler, contexts: TlsContexts) -> asyncio.Task[Connection]:
    def make() -> Connection:
        return Connection(handler, LinkMetrics())

    calling = dial(f"127.0.0.1:{port}", make, contexts, timeout_s=60.0, dead_s=60.0)
    return asyncio.ensure_future(calling)


@loops
def test_one_that_is_reset_as_it_is_made_closes_no_other_file(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the other side's port closes with a caller in its queue."""
    contexts = load_contexts(Authorities(tmp_path).member(1))
    listener = socket.create_server(("127.0.0.1", 0))
    called: list[socket.socket] = []

    def reset(connected: socket.socket, dead_s: float) -> None:
        called.append(connected)
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        accepted.close()

    monkeypatch.setattr(sockets, "tune", reset)

    async def body() -> None:
        calling = call(listener.getsockname()[1], Handler(), contexts)
        await asyncio.wait([calling])
        reading, writing = os.pipe()  # one of them has the number that was the socket's
        assert isinstance(calling.exception(), OSError)
        del calling
        called.clear()
        gc.collect()
        os.write(writing, b"x")
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        os.close(writing)

    with listener:
        run(body(), loop=loop)
    gc.collect()


@loops
def test_one_that_is_cancelled_as_tls_is_up_is_over_at_once(tmp_path: Path, loop: str) -> None:
    """It does not wait for the other side to say the end too: its loop could be closed before."""
    authorities = Authorities(tmp_path)
    ours, theirs = load_contexts(authorities.member(1)), load_contexts(authorities.member(2))

    def shake_hands(listener: socket.socket) -> ssl.SSLSocket:
        accepted, _ = listener.accept()
        silent = theirs.server.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        with contextlib.suppress(OSError):  # whoever called was content before us, and is gone
            silent.do_handshake()
        return silent

    async def body(listener: socket.socket) -> None:
        handler = Handler()
        handler.caller = call(listener.getsockname()[1], handler, ours)
        silent = await asyncio.to_thread(shake_hands, listener)
        await asyncio.wait([handler.caller])
        assert handler.caller.cancelled()
        assert handler.times_lost == 1
        for _ in range(5):  # turns of the loop, in which it closes
            await asyncio.sleep(0)
        assert handler.times_lost == 1
        silent.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        run(body(listener), loop=loop)
    gc.collect()
