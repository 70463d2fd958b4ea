"""A server in the background: started, found, waited for and ended by what it says in its data directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import CommandError, NotReady
from .layout import Layout, Running

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0
POLL_S = 0.05
LOG_TAIL_BYTES = 16 * 1024

#: What a purge removes; anything else in the data directory is not ours.
OWNED_NAMES = (
    "raft",
    "raft.before-recover-*",
    "recovered-*.kmini",
    "recovering",
    "state",
    "snapshots",
    "pki",
    "run",
    "kubeconfig",
    "token",
    "server-token",
)


def start(layout: Layout, arguments: Sequence[str], *, timeout_s: float = START_TIMEOUT_S) -> Running:
    """Run `kmini server ARGUMENTS` in the background and wait until it is ready.

    Raises CommandError with its last word when it ends, NotReady when it takes too long (it is left running).
    """
    layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with layout.server_log.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "kmini", "server", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        running = layout.running()
        if running is not None and running.ready and running.pid == process.pid:
            process.returncode = 0  # it outlives us on purpose: nobody here is to wait for it
            return running
        if process.poll() is not None:
            raise CommandError(f"the server ended: {last_error(layout.server_log, log_start)}")
        time.sleep(POLL_S)
    process.returncode = 0
    raise NotReady(f"the server (process {process.pid}) is not ready after {timeout_s:.0f} s: see {layout.server_log}")


def last_error(log: Path, start: int) -> str:
    """What a daemon ended with: the last line that is no log record, or the last line there is."""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (said or lines or [f"it said nothing in {log}"])[-1]


def stop(layout: Layout, *, warn: Callable[[str], None]) -> int:
    """End the server that runs here and wait for it; returns its process id, 0 when none ran.

    It is asked first (SIGTERM), and killed when it does not answer; `warn` is told then.
    """
    running = layout.running()
    if running is None:
        return 0
    try:
        handle = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return 0
    try:
        if layout.running() != running:  # it ended by itself, and the id may be another process's by now
            return stop(layout, warn=warn)
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not _gone(layout, running, STOP_TIMEOUT_S):
            warn(f"process {running.pid} did not stop within {STOP_TIMEOUT_S:.0f} s and is killed")
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not _gone(layout, running, KILL_TIMEOUT_S):
                raise CommandError(f"process {running.pid} cannot be killed")
    except ProcessLookupError:
        pass  # gone between two looks: what was wanted
    except PermissionError as error:
        raise CommandError(f"process {running.pid} belongs to another user") from error
    finally:
        os.close(handle)
    return running.pid


def _gone(layout: Layout, running: Running, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        now = layout.running()
        if now is None or now.pid != running.pid:
            return True
        time.sleep(POLL_S)
    return False


def purge(layout: Layout) -> None:
    """Remove what kmini keeps in the data directory. Raises CommandError for a directory that is not one."""
    if not layout.data_dir.exists():
        return
    if not layout.run.is_dir() and not layout.raft.is_dir():
        raise CommandError(f"{layout.data_dir} is not a data directory of kmini: nothing was removed")
    try:
        for path in [path for name in OWNED_NAMES for path in layout.data_dir.glob(name)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(layout.data_dir.iterdir()):
            layout.data_dir.rmdir()
    except OSError as error:
        raise CommandError(f"cannot remove {error.filename}: {error.strerror}") from error
