"""Processes of hosts: started, told apart from later ones with the same id, ended.

A daemon is started through enter.py and belongs to init, not to the command that started it: it lives on when that
ends, and is no zombie when it dies.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import CommandError
from . import enter
from .state import Process

START_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 20.0
LOG_BYTES_MAX = 64 * 1024 * 1024  # at a start a longer log is put aside, once


def environment() -> dict[str, str]:
    """Ours, without KMINI_*: those are flags of daemons, and each host's are its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KMINI_")}


def command_inside(
    *, leaf: Path, namespace: Path, boot_id: Path | None, log: Path | None, argv: Sequence[str]
) -> list[str]:
    """The command line that runs `argv` in a host; as a daemon when there is a log for it. `boot_id`: a file that it
    sees in place of the kernel's."""
    script = [sys.executable, "-I", "-S", str(Path(enter.__file__))]
    return [*script, str(leaf), str(namespace), str(boot_id or "-"), str(log or "-"), *argv]


def start(name: str, *, leaf: Path, namespace: Path, boot_id: Path | None, log: Path, argv: Sequence[str]) -> Process:
    """Start a daemon in a host. Raises CommandError; what the daemon itself says is in `log`."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".old"))
    done = subprocess.run(
        command_inside(leaf=leaf, namespace=namespace, boot_id=boot_id, log=log, argv=argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=START_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(f"cannot start {name}: {done.stderr.strip().removeprefix('error: ')}")
    pid, ticks = done.stdout.split()
    return Process(name=name, pid=int(pid), start_ticks=int(ticks))


def alive(process: Process) -> bool:
    """Whether this very process runs (a zombie does not)."""
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    fields = text.rpartition(")")[2].split()
    return fields[0] not in "ZX" and int(fields[19]) == process.start_ticks


def started_at(process: Process) -> float:
    """When it started by the wall clock, in seconds since 1970, give or take a clock tick."""
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - process.start_ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s


def terminate(process: Process) -> None:
    """Ask this very process to end. No error when it is gone. Raises OSError."""
    _send(process, signal.SIGTERM)


def kill(process: Process) -> None:
    """kill -9 this very process and wait until it is gone. Raises OSError, CommandError."""
    _send(process, signal.SIGKILL)
    if not wait_gone(process, timeout_s=KILL_TIMEOUT_S):
        raise CommandError(f"process {process.pid} ({process.name}) cannot be killed")


def wait_gone(process: Process, *, timeout_s: float) -> bool:
    """Whether it ended within that time. Raises OSError."""
    with _handle(process) as handle:
        if handle is None:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


def _send(process: Process, number: signal.Signals) -> None:
    with _handle(process) as handle:
        if handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)


@contextlib.contextmanager
def _handle(process: Process) -> Iterator[int | None]:
    """A pidfd of this very process: nobody else can have its id while it is looked at."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle if alive(process) else None
    finally:
        os.close(handle)
