"""Processes of a benchmark: started in a folder of their own, always ended by pid, measured through /proc."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

#: File systems that keep nothing on a disk: a durable store must not be measured there.
_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs"})


class Memory(msgspec.Struct, frozen=True):
    """Resident bytes of one process: all, and the part that no file backs (RssAnon)."""

    rss: int
    anonymous: int


class ProcessDied(Exception):
    """A process of the benchmark ended by itself; the message carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now; all are bound at once so that they differ."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            taken = stack.enter_context(socket.socket())
            taken.bind(("127.0.0.1", 0))
            ports.append(int(taken.getsockname()[1]))
        return ports


def memory(pid: int) -> Memory:
    """Resident memory of a process, in bytes. Raises OSError when it is gone."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            found[name] = int(rest.split()[0]) * 1024
    return Memory(found["VmRSS"], found["RssAnon"])


def written_bytes(pid: int) -> int:
    """Bytes the process caused to be sent to the disk so far (`write_bytes` of /proc/PID/io).

    Counted when a page turns dirty, by whole folios: on a file system with large folios (ext4 since Linux 6.16) a
    small write into a file that was written in large pieces counts as such a piece, far more than reaches the disk.
    """
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "write_bytes":
            return int(value)
    raise OSError(f"/proc/{pid}/io has no write_bytes")


def device_written_bytes(folder: Path) -> int | None:
    """Bytes written so far to the device below `folder`, by everybody; None where no single device is known."""
    device = folder.stat().st_dev
    counters = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
    if not counters.exists():
        return None
    return int(counters.read_text().split()[6]) * 512


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def file_system(path: Path) -> str:
    """The type of the file system `path` lies on, from the mount table."""
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, found, *_ = line.split()
        inside = path.resolve().is_relative_to(point.replace("\\040", " "))
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


@contextlib.contextmanager
def disk_folder(wanted: Path | None = None) -> Iterator[Path]:
    """A fresh folder on a disk, removed at the end whatever happened. Raises OSError when only memory is at hand."""
    choices = [wanted] if wanted else [Path(tempfile.gettempdir()), Path.cwd()]
    parent = next((choice for choice in choices if file_system(choice) not in _MEMORY_FILE_SYSTEMS), None)
    if parent is None:
        raise OSError(f"no folder on a disk among {', '.join(map(str, choices))}: give --dir")
    folder = Path(tempfile.mkdtemp(prefix="kmini-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Daemon:
    """A child process whose output goes to a log file. `stop` and `kill` return when it has ended.

    `control`, when given, becomes its standard input: one end of a socket pair, so that it can answer too.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        *,
        control: socket.socket | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # commands are built by the benchmark itself
                command,
                stdin=subprocess.DEVNULL if control is None else control.fileno(),
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the benchmark, which then ends its children in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise ProcessDied when the process has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise ProcessDied(f"{self.name} ended with {code}: {tail(self._log)}")

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Does nothing to a process that has ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def stop(self, timeout_s: float = 2.0) -> None:
        """SIGTERM, and SIGKILL after `timeout_s`."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"
