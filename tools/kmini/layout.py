"""Where a replica keeps what, and how others find the one that runs in a data directory.

A running server holds a lock on `DIR/run/server.json` and writes there how to reach it. The lock is what
says that it runs: it goes with the process however that ends, and a recycled process id cannot fool it.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from .addresses import is_unspecified, join_host_port
from .errors import CommandError


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the server of a data directory."""

    pid: int
    name: str
    bind: str
    peer_port: int
    etcd_port: int  # 0: the etcd face is off
    api_port: int
    ready: bool = False

    @property
    def host(self) -> str:
        """An address of this machine that the server listens on."""
        if not is_unspecified(self.bind):
            return self.bind
        return "::1" if ":" in self.bind else "127.0.0.1"

    @property
    def etcd_address(self) -> str:
        return join_host_port(self.host, self.etcd_port)

    @property
    def api_address(self) -> str:
        return join_host_port(self.host, self.api_port)


class Layout:
    """The paths under a data directory (docs/contract.md, "Files")."""

    def __init__(self, data_dir: Path, state_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self.raft = data_dir / "raft"
        self.state = state_dir or data_dir / "state"
        self.pki = data_dir / "pki"
        self.run = data_dir / "run"
        self.server_file = self.run / "server.json"
        self.server_log = self.run / "server.log"
        self.kubeconfig = data_dir / "kubeconfig"
        self.token = data_dir / "token"
        self.server_token = data_dir / "server-token"

    def running(self) -> Running | None:
        """The server that runs here now, or None."""
        try:
            file = self.server_file.open("rb")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CommandError(f"cannot read {self.server_file}: {error.strerror}") from error
        with file:
            if not _is_locked(file.fileno()):
                return None
            try:
                return msgspec.json.decode(file.read(), type=Running)
            except msgspec.DecodeError:
                return None  # it has the lock and has not written yet


# An open file description lock (fcntl(2)): it can be asked for without being taken, so that somebody who
# only looks never keeps a server from starting.
_FLOCK = struct.Struct("hhqqi")  # type, whence, start, length, pid
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _is_locked(descriptor: int) -> bool:
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


class ServerFile:
    """The lock, held. `announce` says how this server is reached."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def announce(self, running: Running) -> None:
        content = json.dumps(msgspec.to_builtins(running)).encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


@contextmanager
def owned(layout: Layout) -> Iterator[ServerFile]:
    """Hold the data directory for this process. Raises CommandError when another server has it."""
    try:
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(layout.server_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"cannot write to {error.filename}: {error.strerror}") from error
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
        except BlockingIOError:
            other = layout.running()
            who = f"process {other.pid}" if other else "another process"
            raise CommandError(f"{who} runs a server on {layout.data_dir} already") from None
        os.ftruncate(descriptor, 0)
        yield ServerFile(descriptor)
    finally:
        os.close(descriptor)
