"""Small files that the runtime keeps for a container beside its logs: its /etc/hosts, and what it says when it ends.

They go with the logs, so an agent that restarts finds the last words of a container that ended before. Whatever a
container writes there is read within bounds, and only from a plain file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .interface import ContainerConfig, LastWords, Mount
from .log_files import open_log

MESSAGE_BYTES_MAX = 4096
LOG_LINES_MAX, LOG_BYTES_MAX = 80, 2048
_LOG_TAIL_BYTES = 64 * 1024  # of which every line has a head of some 40 bytes
_HOSTS = "/etc/hosts"


def last_words_file(folder: Path, attempt: int) -> Path:
    return folder / f"{attempt}.last-words"


def write_files(folder: Path, config: ContainerConfig) -> list[Mount]:
    """`folder`: the container's, made when it is not there. What is to be mounted. Blocking; raises OSError."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    mounts = []
    if config.hosts:
        path = folder / "hosts"
        path.write_text(config.hosts, encoding="utf-8")
        path.chmod(0o644)
        mounts.append(Mount(host_path=str(path), container_path=_HOSTS))
    if config.last_words is not None and config.last_words.path:
        path = last_words_file(folder, config.attempt)
        path.unlink(missing_ok=True)
        path.touch()
        path.chmod(0o666)  # whoever the container runs as
        mounts.append(Mount(host_path=str(path), container_path=config.last_words.path))
    return mounts


def read_last_words(wanted: LastWords, file: Path, log: Path, *, failed: bool) -> str:
    """Their end, when there are more than fit. Blocking."""
    said = _tail(file, MESSAGE_BYTES_MAX).decode("utf-8", "replace") if wanted.path else ""
    if said or not failed or not wanted.from_log:
        return said
    return _end_of_log(_tail(log, _LOG_TAIL_BYTES))


def _tail(path: Path, length: int) -> bytes:
    """Nothing for what is no plain file, or not there."""
    try:
        opened = open_log(path)
    except OSError:
        return b""
    with opened as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return b""
        file.seek(max(0, found.st_size - length))
        return file.read(length) or b""


def _end_of_log(tail: bytes) -> str:
    """Without the times and streams that stand before each line; a line may come in parts."""
    if len(tail) == _LOG_TAIL_BYTES:
        tail = tail.partition(b"\n")[2]  # what it begins with is no whole line
    lines = [b""]
    for each in tail.split(b"\n"):
        _time, _stream, kind, text = (*each.split(b" ", 3), b"", b"", b"")[:4]
        lines[-1] += text
        if kind == b"F":
            lines[-1] += b"\n"
            lines.append(b"")
    ended = b"".join(line for line in lines if line)
    kept = b"".join(ended.splitlines(keepends=True)[-LOG_LINES_MAX:])
    return kept[-LOG_BYTES_MAX:].decode("utf-8", "replace")
