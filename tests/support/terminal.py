"""A program on a terminal of its own, as a person would use it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

WITHIN_S = 120.0


class Terminal:
    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self.process = process
        self.shown = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """The kernel tells the program."""
        _resize(self._descriptor, columns, rows)

    def wait_for(self, text: str) -> None:
        """Until it is shown, after everything that was waited for before."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.shown:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} was not shown: {self.shown[-2000:]!r}"
            self.shown += self._read()
        self.shown = self.shown.partition(text)[2]

    def _read(self) -> str:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # nobody has the other side open any more
            data = b""
        assert data, f"the program ended: {self.shown[-2000:]!r}"
        return data.decode(errors="replace")

    def exit_code(self) -> int:
        """Wait for the end."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self._descriptor], [], [], 0.05)[0]:  # what it says last has to go somewhere
                with suppress(OSError):
                    os.read(self._descriptor, 65536)
        return self.process.wait(timeout=10)


@contextmanager
def terminal(
    command: Sequence[str], *, columns: int, rows: int, env: Mapping[str, str], cwd: Path
) -> Iterator[Terminal]:
    """The program is killed at last."""
    ours, theirs = pty.openpty()
    try:
        _resize(ours, columns, rows)
        try:
            process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=env,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that it hears of new sizes
            )
        finally:
            os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)


def _resize(descriptor: int, columns: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
