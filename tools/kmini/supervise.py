"""Daemons in the background: started, watched and ended by what they say in their data directory."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, Protocol

import msgspec

from .errors import CommandError
from .layout import Layout

STOP_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0
LOG_BYTES_MAX = 64 * 1024 * 1024  # at a start a longer log is put aside, once
LOG_TAIL_BYTES = 16 * 1024

#: What a purge removes; anything else in the data directory is not ours. Archives in `images` are their owner's.
OWNED_NAMES = (
    "raft",
    "raft.before-recover-*",
    "recovered-*.kmini",
    "recovering",
    "state",
    "snapshots",
    "pki",
    "agent",
    "volumes",
    "run",
    "kubeconfig",
    "token",
    "server-token",
)


class Process(Protocol):
    """What a daemon announces, as far as it is needed to end it."""

    @property
    def pid(self) -> int: ...


Found = Callable[[], Process | None]


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """One that runs in the background. `log_start`: where in its log it began to speak, or we to listen."""

    what: str
    pid: int
    log: Path
    log_start: int

    async def failed(self) -> NoReturn:
        """Wait until it has ended. Raises CommandError with its last word."""
        loop = asyncio.get_running_loop()
        how = ""
        with _handle(self.pid) as descriptor:
            if descriptor is not None:
                over = asyncio.Event()
                loop.add_reader(descriptor, over.set)
                try:
                    await over.wait()
                finally:
                    loop.remove_reader(descriptor)
                how = _killed_by(descriptor)
        raise CommandError(f"{self.what} ended{how}: {last_error(self.log, self.log_start)}")

    def end(self, *, warn: Callable[[str], None]) -> None:
        """One that we started, whatever it has said of itself by now: its id is no other's as long as we live."""
        with _handle(self.pid) as descriptor:
            if descriptor is not None:
                _end(self.pid, descriptor, warn)


def launch(what: str, arguments: Sequence[str], *, log: Path) -> Daemon:
    """Run `kmini ARGUMENTS` in the background, in a session of its own; it outlives us. Does not wait."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".old"))
    with log.open("ab") as file:
        log_start = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "kmini", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            start_new_session=True,
        )
    process.returncode = 0  # it outlives us on purpose: nobody here is to wait for it
    return Daemon(what=what, pid=process.pid, log=log, log_start=log_start)


def watched(what: str, pid: int, *, log: Path) -> Daemon:
    """One that runs already."""
    return Daemon(what=what, pid=pid, log=log, log_start=log.stat().st_size if log.exists() else 0)


def last_error(log: Path, start: int) -> str:
    """What a daemon ended with: its error, or what came after the last log record. Who was killed said neither."""
    if not log.exists():
        return f"there is no {log}"
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    usual = not lines or lines[-1].startswith("{") or " is ready: " in lines[-1]
    return f"it gave no reason: see {log}" if usual else lines[-1]


def stop(found: Found, *, warn: Callable[[str], None]) -> int:
    """End the daemon that is found, and wait for it; returns its process id, 0 when none runs.

    It is asked first (SIGTERM), and killed when it does not answer; `warn` is told then. Raises CommandError.
    """
    running = found()
    if running is None:
        return 0
    with _handle(running.pid) as descriptor:
        now = found()
        if now is None or now.pid != running.pid:  # it ended by itself, and the id may be another process's by now
            return stop(found, warn=warn)
        if descriptor is not None:
            _end(running.pid, descriptor, warn)
    return running.pid


def _end(pid: int, descriptor: int, warn: Callable[[str], None]) -> None:
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if _gone(descriptor, STOP_TIMEOUT_S):
            return
        warn(f"process {pid} did not stop within {STOP_TIMEOUT_S:.0f} s and is killed")
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if not _gone(descriptor, KILL_TIMEOUT_S):
            raise CommandError(f"process {pid} cannot be killed")
    except ProcessLookupError:
        return  # gone between two looks: what was wanted
    except PermissionError as error:
        raise CommandError(f"process {pid} belongs to another user") from error


def _killed_by(descriptor: int) -> str:
    """Who is killed cannot say so itself. Only of our own children anything is known."""
    with suppress(ChildProcessError):
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if result is not None and result.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
            return f" by signal {result.si_status} ({signal.strsignal(result.si_status)})"
    return ""


def _gone(descriptor: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


@contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """A pidfd, readable once the process has ended; None when it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def purge(layout: Layout) -> None:
    """Remove what kmini keeps in the data directory. Raises CommandError for a directory that is not one.

    Nothing is removed as long as something is mounted in it: it may be somebody's own folder.
    """
    if not layout.data_dir.exists():
        return
    if not layout.run.is_dir() and not layout.raft.is_dir():
        raise CommandError(f"{layout.data_dir} is not a data directory of kmini: nothing was removed")
    mounted = [each for each in mounts_under(layout.data_dir) if each != os.path.realpath(layout.data_dir)]
    if mounted:
        raise CommandError(f"{mounted[0]} is mounted: unmount it first; nothing was removed")
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


def mounts_under(folder: Path) -> list[str]:
    """In the order in which they were made."""
    top = os.path.realpath(folder)
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    paths = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]  # blanks are \040
    return [path for path in paths if path == top or path.startswith(f"{top.rstrip('/')}/")]
