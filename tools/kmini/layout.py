"""Where a replica keeps what, and how others find the daemons that run in a data directory.

A running server holds a lock on `DIR/run/server.json` and writes there how to reach it; an agent does the same with
`DIR/run/agent.json`. The lock is what says that it runs: it goes with the process however that ends, and a recycled
process id cannot fool it. What an agent wrote stays when it has ended: its containers do, too.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Literal, TypeVar

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


class RunningAgent(msgspec.Struct, frozen=True, kw_only=True):
    """The agent of a data directory, or the last one that was.

    `group`: the control group of its containers; `boot_id`: of the machine, when it started; `version`: the runtime's,
    once that answers and has its images; `ready`: its Node is registered; `torn_down`: nothing of it is left.
    """

    pid: int
    node: str
    runtime: Literal["containerd", "fake"]
    private: bool  # its containerd is its own
    group: str
    boot_id: str
    version: str = ""
    ready: bool = False
    torn_down: bool = False


Announced = TypeVar("Announced", Running, RunningAgent)


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
        self.agent_file = self.run / "agent.json"
        self.agent_log = self.run / "agent.log"
        self.work_file = self.run / "work.lock"
        self.agent = data_dir / "agent"
        self.images = data_dir / "images"
        self.kubeconfig = data_dir / "kubeconfig"
        self.token = data_dir / "token"
        self.server_token = data_dir / "server-token"

    def running(self) -> Running | None:
        """The server that runs here now, or None."""
        return _announced(self.server_file, Running, held=True)

    def running_agent(self) -> RunningAgent | None:
        """The agent that runs here now, or None."""
        return _announced(self.agent_file, RunningAgent, held=True)

    def last_agent(self) -> RunningAgent | None:
        """The agent that runs or ran here last; None before the first."""
        return _announced(self.agent_file, RunningAgent, held=False)


def _announced(path: Path, type_: type[Announced], *, held: bool) -> Announced | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    with file:
        if held and not _is_locked(file.fileno()):
            return None
        try:
            found = msgspec.json.decode(file.read(), type=type_)
        except msgspec.DecodeError:
            return None  # it has the lock and has not written yet
        if held and not _may_name(os.fstat(file.fileno()).st_uid, found.pid):
            raise CommandError(f"{path} names process {found.pid}, which is not its owner's: nothing is done to that")
        return found


def is_trusted(owner: int) -> bool:
    """Whether what a file of this user says may be done with our rights."""
    return owner in (0, os.geteuid())


def _may_name(owner: int, pid: int) -> bool:
    """Others' files could name any process for root to end: only their own count."""
    try:
        return is_trusted(owner) or os.stat(f"/proc/{pid}").st_uid == owner
    except FileNotFoundError:
        return True  # it has ended meanwhile


# An open file description lock (fcntl(2)): it can be asked for without being taken, so that somebody who
# only looks never keeps a daemon from starting.
_FLOCK = struct.Struct("hhqqi")  # type, whence, start, length, pid
_WHOLE_FILE = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _is_locked(descriptor: int) -> bool:
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE_FILE)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


class HeldFile(Generic[Announced]):
    """The lock, held. `announce` says who holds it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def announce(self, running: Announced) -> None:
        content = msgspec.json.encode(running)
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))


ServerFile = HeldFile[Running]
AgentFile = HeldFile[RunningAgent]


@contextmanager
def owned(layout: Layout) -> Iterator[ServerFile]:
    """Hold the data directory for this server. Raises CommandError when another one has it."""
    with _held(layout.server_file) as descriptor:
        if descriptor is None:
            other = layout.running()
            who = f"process {other.pid}" if other else "another process"
            raise CommandError(f"{who} runs a server on {layout.data_dir} already")
        os.ftruncate(descriptor, 0)
        yield ServerFile(descriptor)


@contextmanager
def owned_agent(layout: Layout) -> Iterator[AgentFile]:
    """Hold it for this agent: two on one would run each pod twice. What was announced last stays until the next.

    Raises CommandError when another one has it.
    """
    with _held(layout.agent_file) as descriptor:
        if descriptor is None:
            other = layout.running_agent()
            who = f"process {other.pid}" if other else "another process"
            raise CommandError(f"{who} runs an agent on {layout.data_dir} already")
        yield AgentFile(descriptor)


@contextmanager
def worked_on(layout: Layout) -> Iterator[None]:
    """Hold it for a command that starts or ends what runs here. Raises CommandError when another one does."""
    with _held(layout.work_file) as descriptor:
        if descriptor is None:
            raise CommandError(
                f"another `kmini up` or `kmini down` works on {layout.data_dir}: wait until it has ended"
            )
        yield


@contextmanager
def _held(path: Path) -> Iterator[int | None]:
    """None when somebody else holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        instead = ": choose a --data-dir of your own" if isinstance(error, PermissionError) else ""
        raise CommandError(f"cannot write to {error.filename}: {error.strerror}{instead}") from error
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE_FILE)
            held = True
        except BlockingIOError:
            held = False
        yield descriptor if held else None
    finally:
        os.close(descriptor)
