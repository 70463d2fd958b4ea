"""What a cluster is, kept in DIR/cluster.json, so that every command can be a process of its own.

The file is written before the first namespace is made and names everything by the cluster's id: whatever becomes of
the command that builds, the next one knows what to remove. It is replaced whole (temporary file, fsync, rename),
carries a format version, and an unknown one is refused by name. Who changes a cluster holds `DIR/cluster.lock`.

What it names is ended and removed by root: so it must be ours, and its names can lead nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ..errors import CommandError
from ..layout import is_trusted

FORMAT = 1
SERVERS_MAX = 9  # as many voters as a cluster may have (kmini.addresses)
NODES_MAX = 100
LOCK_TIMEOUT_S = 60.0
LOCK_POLL_S = 0.05
BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")

#: The root namespace's place on the bridge: a name that hosts cannot have, for cuts between it and a host.
OUTSIDE = "outside"

Role = Literal["server", "node"]
Phase = Literal["building", "up", "down"]
Runtime = Literal["containerd", "fake"]
#: Both are parts of paths.
ClusterId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{8}\Z")]
HostName = Annotated[str, msgspec.Meta(pattern=r"\A[sn][1-9][0-9]{0,2}\Z")]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon of a host. `start_ticks` (since boot, /proc/PID/stat) tells it from a later process of the same id."""

    name: str
    pid: int
    start_ticks: int


class HostState(msgspec.Struct, frozen=True, kw_only=True):
    """One host. `processes` are those that were started and not ended by a command."""

    name: HostName
    role: Role
    address: str
    processes: tuple[Process, ...] = ()
    boot_id: str = ""  # of its own, since it lost power; the machine's before


class Cut(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """What `sender` sends to `receiver` is lost. Either may be OUTSIDE."""

    sender: str
    receiver: str


class ClusterState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to know. `boot_id` is the machine's: after a reboot only the files are left."""

    format: int = FORMAT
    id: ClusterId
    boot_id: str
    phase: Phase
    subnet: str
    tmpfs: bool
    images: bool = False
    runtime: Runtime = "fake"  # of the nodes; states of before had no other
    hosts: tuple[HostState, ...]
    cuts: tuple[Cut, ...] = ()
    server_arguments: tuple[str, ...] = ()
    node_arguments: tuple[str, ...] = ()

    def host(self, name: str) -> HostState:
        """Raises CommandError naming the hosts there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise CommandError(f"there is no host {name!r}: the hosts are {', '.join(host.name for host in self.hosts)}")

    def of_role(self, role: Role) -> tuple[HostState, ...]:
        return tuple(host for host in self.hosts if host.role == role)

    @property
    def outside_address(self) -> str:
        return str(IPv4Network(self.subnet)[OUTSIDE_OFFSET])

    def address_of(self, name: str) -> str:
        return self.outside_address if name == OUTSIDE else self.host(name).address

    def with_host(self, host: HostState) -> ClusterState:
        hosts = tuple(host if known.name == host.name else known for known in self.hosts)
        return msgspec.structs.replace(self, hosts=hosts)

    @property
    def link_name(self) -> str:
        return link_name(self.id)

    @property
    def group_name(self) -> str:
        return group_name(self.id)


OUTSIDE_OFFSET = 1
_SERVER_OFFSET = 11
_NODE_OFFSET = 101


def link_name(cluster_id: str) -> str:
    """The one link of a cluster in the root namespace (at most 15 bytes, as the kernel has it)."""
    return f"km{cluster_id}"


def group_name(cluster_id: str) -> str:
    """The cgroup under which every host of a cluster has its own."""
    return f"kmini-cluster-{cluster_id}"


def new_id() -> str:
    return secrets.token_hex(4)


def boot_id() -> str:
    return BOOT_ID_PATH.read_text(encoding="ascii").strip()


def plan_hosts(subnet: IPv4Network, *, servers: int, nodes: int) -> tuple[HostState, ...]:
    """Servers s1, s2, ... and nodes n1, n2, ... with addresses of a /24. Raises CommandError beyond the bounds."""
    if not 1 <= servers <= SERVERS_MAX:
        raise CommandError(f"{servers} servers: a cluster has 1 to {SERVERS_MAX}")
    if not 0 <= nodes <= NODES_MAX:
        raise CommandError(f"{nodes} nodes: a cluster has 0 to {NODES_MAX}")

    def host(role: Role, letter: str, offset: int, index: int) -> HostState:
        return HostState(name=f"{letter}{index + 1}", role=role, address=str(subnet[offset + index]))

    return tuple(
        [host("server", "s", _SERVER_OFFSET, index) for index in range(servers)]
        + [host("node", "n", _NODE_OFFSET, index) for index in range(nodes)]
    )


# --- the file -----------------------------------------------------------------------------------------


class _Versioned(msgspec.Struct):
    format: int


def read(path: Path) -> ClusterState | None:
    """The state, or None when there is no file. Raises CommandError for a file that is not one, or somebody else's."""
    try:
        with path.open("rb") as file:
            owner, content = os.fstat(file.fileno()).st_uid, file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
    if not is_trusted(owner):
        raise CommandError(f"{path} belongs to another user: nothing that it tells of is touched")
    try:
        found = msgspec.json.decode(content, type=_Versioned).format
        if found != FORMAT:
            raise CommandError(f"{path} has format {found}; this kmini knows format {FORMAT}")
        return msgspec.json.decode(content, type=ClusterState)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{path} is not a cluster's state: {error}") from error


def write(path: Path, state: ClusterState) -> None:
    """Replace the file; after a crash it is the old one or the new one. Raises CommandError."""
    content = msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n"
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def locked(path: Path, *, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
    """Hold a lock file, which is made when missing. Raises CommandError when another process has it for too long."""
    deadline = time.monotonic() + timeout_s
    while (descriptor := _try_lock(path)) is None:
        if time.monotonic() > deadline:
            raise CommandError(f"another command holds {path} for more than {timeout_s:.0f} s")
        time.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """The descriptor that holds it; None when somebody else does, or removed the file meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"cannot write to {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return descriptor
