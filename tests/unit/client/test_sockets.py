"""A descriptor that somebody else closed is nobody's any more: its number may already stand for something else."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from apiserver.client import Access
from apiserver.client.access import Credentials
from apiserver.client.http import HttpTransport
from apiserver.client.sockets import make_socket

ROOT = Path(__file__).resolve().parents[3]
ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))


def reused(made: socket.socket) -> tuple[int, int]:
    """As uvloop does: the descriptor is closed behind the object's back. Its number is one end of a pipe now."""
    number = made.fileno()
    os.close(number)
    reading, writing = os.pipe()
    if reading != number:
        os.dup2(reading, number)
        os.close(reading)
    return number, writing


def check_open(reading: int, writing: int) -> None:
    os.write(writing, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)


def test_an_object_that_is_forgotten_closes_no_other_file() -> None:
    made = make_socket(ADDRESS)
    reading, writing = reused(made)
    del made
    gc.collect()
    check_open(reading, writing)


def test_closing_it_closes_no_other_file() -> None:
    made = make_socket(ADDRESS)
    reading, writing = reused(made)
    made.close()
    assert made.fileno() == -1
    check_open(reading, writing)


def test_a_number_that_nobody_has_is_let_go_of() -> None:
    made = make_socket(ADDRESS)
    os.close(made.fileno())
    assert not made.is_open
    assert made.fileno() == -1


def test_a_transport_that_is_closed_shuts_down_nobody_elses_connection() -> None:
    async def body() -> None:
        transport = HttpTransport(Credentials(Access(servers=("https://localhost",)), clock=float), user_agent="test")
        stale = transport._make_socket(ADDRESS)
        number = stale.fileno()
        ours, theirs = socket.socketpair()
        os.dup2(ours.fileno(), number)  # closes what was there, and stands for the same connection as `ours`
        await transport.close()
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
        os.close(number)
        ours.close()
        theirs.close()

    asyncio.run(body())


def test_what_is_its_own_is_closed_and_forgetting_that_is_still_told() -> None:
    made = make_socket(ADDRESS)
    assert made.is_open
    made.close()
    assert not made.is_open
    made = make_socket(ADDRESS)
    number = made.fileno()
    with pytest.warns(ResourceWarning, match="unclosed"):
        made.__del__()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


_RESETS = """
import asyncio, gc, socket, struct, threading
import uvloop
from apiserver.client import Access
from apiserver.client.access import Credentials
from apiserver.client.http import HttpTransport
from apiserver.client.requests import get
from apiserver.client.transport import TransportError

listener = socket.create_server(("127.0.0.1", 0), backlog=100)
url = f"https://127.0.0.1:{listener.getsockname()[1]}"

def reset():
    while True:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()

async def ask(transport):
    try:
        await transport.send(url, get("/"), timeout_s=10)
    except TransportError:
        return 1
    return 0

async def main():
    credentials = Credentials(Access(servers=(url,), insecure=True), clock=lambda: 0.0)
    transport = HttpTransport(credentials, user_agent="test")
    failed = 0
    for _ in range(30):
        failed += sum(await asyncio.gather(*(ask(transport) for _ in range(30))))
    await transport.close()
    return failed

threading.Thread(target=reset, daemon=True).start()
assert uvloop.run(main()) == 900
gc.collect()
"""


def test_connections_that_are_reset_as_they_are_made_do_not_end_the_process() -> None:
    """In a process of its own: what goes wrong here is an abort."""
    done = subprocess.run(
        [sys.executable, "-c", _RESETS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
