"""This side's standard input and terminal, for commands in containers."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

CHUNK_BYTES = 32 << 10


async def standard_input() -> AsyncGenerator[bytes, None]:
    """As it comes, until it ends. A pipe or terminal is waited for; a file never blocks."""
    number = sys.stdin.fileno()
    if stat.S_ISREG(os.fstat(number).st_mode) or os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev:
        while chunk := await asyncio.to_thread(os.read, number, CHUNK_BYTES):
            yield chunk
        return
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(number, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            if not select.select([number], [], [], 0)[0]:
                continue  # that was said of what has been read already; reading would block everything
            chunk = os.read(number, CHUNK_BYTES)
            if not chunk:
                return
            yield chunk
    finally:
        loop.remove_reader(number)


async def sizes() -> AsyncGenerator[tuple[int, int], None]:
    """Width and height now, and after every change."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            size = os.get_terminal_size(sys.stdout.fileno())
            yield size.columns, size.lines
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextmanager
def raw_terminal() -> Iterator[None]:
    """Every key goes through as it is; the terminal is put back afterwards, whatever happens."""
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setraw(number)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
