"""Commands on stdin for a control plane that runs in the foreground, and the signals that end it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from typing import Any

import click

from .control_plane import ControlPlane

_LINE_BYTES_MAX = 64 * 1024


class Console:
    """Listens for SIGTERM and SIGINT from the moment it is made, so that one during the start is not missed."""

    def __init__(self) -> None:
        self._woken, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, _frame: object) -> None:
        with contextlib.suppress(BlockingIOError):  # somebody keeps sending: one is enough
            self._waker.send(b"x")

    def run(self, plane: ControlPlane) -> None:
        """Return at the first signal. Without a stdin, or at its end, only signals count."""
        held = b""
        sources: list[Any] = [self._woken, *([sys.stdin.fileno()] if _has_stdin() else [])]
        while True:
            readable, _, _ = select.select(sources, [], [])
            if self._woken in readable:
                return
            chunk = os.read(sys.stdin.fileno(), _LINE_BYTES_MAX)
            if not chunk:
                sources.pop()
            *lines, held = (held + chunk)[-_LINE_BYTES_MAX:].split(b"\n")
            for line in lines:
                if words := line.decode("utf-8", "replace").split():
                    click.echo(answer(plane, *words))


def answer(plane: ControlPlane, command: str, *names: str) -> str:
    """Do it, and say what came of it."""
    try:
        if command == "leader" and not names:
            return f"leader {plane.leader or 'unknown'}"
        if command == "partition":
            return f"partitioned {' '.join(plane.partition(*names))}"
        if command == "cut" and len(names) == 2:
            plane.cut(*names)
            return f"cut {' '.join(names)}"
        if command == "pause" and names:
            plane.pause(*names)
            return f"paused {' '.join(names)}"
        if command == "heal" and not names:
            plane.heal()
            return "healed"
    except ValueError as error:
        return f"error: {error}"
    return "error: known are leader, partition [NAME...], cut SENDER RECEIVER, pause NAME..., heal"


def _has_stdin() -> bool:
    try:
        sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or no file
        return False
    return True
