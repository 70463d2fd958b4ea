"""Processes that outlive the agent: told apart from later ones of the same id by when they started."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

_PROC = Path("/proc")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """`start_ticks` is field 22 of /proc/PID/stat."""

    pid: int
    start_ticks: int


def process(pid: int) -> Process | None:
    """What runs under this id now; None for nothing and for a zombie."""
    seen = _seen(pid)
    return None if seen is None else seen[0]


def _seen(pid: int) -> tuple[Process, int] | None:
    """And its parent."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else (Process(pid=pid, start_ticks=int(fields[19])), int(fields[1]))


def alive(known: Process) -> bool:
    return process(known.pid) == known


def find(arguments: Sequence[str]) -> list[Process]:
    """Those of our user whose command line ends with these arguments: anybody could give a process such. But no child
    of one of them: whoever starts a program is there twice for a moment, until the child is that program."""
    wanted = b"".join(b"\0" + os.fsencode(each) for each in arguments) + b"\0"
    found = []
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if (folder / "cmdline").read_bytes().endswith(wanted) and folder.stat().st_uid == os.geteuid():
                    found.append(_seen(int(folder.name)))
    seen = [each for each in found if each is not None]
    pids = {each.pid for each, _ in seen}
    return [each for each, parent in seen if parent not in pids]


@contextlib.contextmanager
def handle(known: Process) -> Iterator[int | None]:
    """A pidfd of this very process, readable once it has ended; None when it is gone."""
    try:
        descriptor = os.pidfd_open(known.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if alive(known) else None
    finally:
        os.close(descriptor)


def send(known: Process, number: signal.Signals) -> None:
    """No error when it is gone."""
    with handle(known) as descriptor:
        if descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
