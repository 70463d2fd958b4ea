"""The Python face: a cluster of hosts on this machine, and what can be done to them.

    with Cluster(folder, servers=3) as cluster:
        cluster.partition(cluster.leader(), "s2", one_way=True)
        cluster.kill("s3")
        cluster.run("s1", ["ip", "address"])
        cluster.heal()
        cluster.start("s3")

Everything is also a command (`kmini cluster ...`), and both may be used on one folder in turns: the truth is in the
folder and in the kernel, never in this object. Every method blocks, is idempotent, raises CommandError, and may be
called from any thread; not from an event loop that has something else to do.

A host is a network namespace and a cgroup. It stays when everything in it is killed: `start` boots it again with the
same address and the same disk. What a machine loses without power (unsynced data, its boot id) is not lost by `kill`,
but by `power_off`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from nodeagent.runtime.containerd import remembered
from nodeagent.runtime.processes import Process as Known

from ..errors import CommandError, NotReady
from . import access, building, disks, network, processes, waiting
from .cgroups import Group
from .daemons import DAEMONS, Files
from .state import OUTSIDE, ClusterState, Cut, HostState, Process, Role, Runtime, locked, read, write

READY_TIMEOUT_S = 180.0  # only what hangs takes so long
STOP_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 60.0


class Host(NamedTuple):
    """What there is to know of a host. `group` is its cgroup: whatever is put below it is killed with the host."""

    name: str
    role: Role
    address: str
    disk: Path
    data_dir: Path
    log: Path
    group: Path
    namespace: Path


def _silent(_line: str) -> None:
    """Progress that nobody wants to see."""


class Cluster:
    """A cluster in a folder; as a context manager it is up inside and down (not purged) afterwards."""

    def __init__(
        self,
        folder: Path | str,
        *,
        servers: int = 3,
        nodes: int = 0,
        tmpfs: bool = False,
        images: bool = False,
        runtime: Runtime = "containerd",
        server_arguments: Sequence[str] = (),
        node_arguments: Sequence[str] = (),
        say: Callable[[str], None] = _silent,
    ) -> None:
        """Only `up` looks at `servers`, `nodes`, `tmpfs`, `images` (disks that can lose power), `runtime` (of the
        nodes) and the daemons' arguments. `say` gets progress lines."""
        self.files = Files(Path(folder).absolute())
        self._wish = building.Wish(
            servers=servers,
            nodes=nodes,
            tmpfs=tmpfs,
            images=images,
            runtime=runtime,
            server_arguments=tuple(server_arguments),
            node_arguments=tuple(node_arguments),
        )
        self._say = say

    def __enter__(self) -> Cluster:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- being there ----------------------------------------------------------------------------------

    def up(self, *, timeout_s: float = READY_TIMEOUT_S) -> bool:
        """Build everything and wait until all are ready; False when the cluster ran already.

        What is half built is removed first. Raises NotReady (it is left running, for its logs), CommandError (nothing
        is left running).
        """
        building.check_machine()
        building.check_containers(self._wish, self.files)
        if self._wish.images:
            disks.check_programs()
        self._make_folder()
        with locked(self.files.lock):
            known = read(self.files.state)
            if known is not None and building.runs(known):
                building.check_same(known, self._wish, self.files)
                return False
            try:
                self._build(known, timeout_s)
            except NotReady:
                raise
            except BaseException:
                self._remove()
                raise
            return True

    def down(self, *, purge: bool = False) -> bool:
        """Remove all the cluster made outside its folder, with `purge` inside too; False when nothing was there."""
        if not self.files.folder.is_dir():
            return self._remove()
        with locked(self.files.lock):
            was_there = self._remove()
            if purge:
                building.purge(self.files)
            return was_there

    def _make_folder(self) -> None:
        try:
            self.files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.files.logs.mkdir(exist_ok=True)
        except OSError as error:
            raise CommandError(f"cannot make {error.filename}: {error.strerror}") from error

    def _build(self, known: ClusterState | None, timeout_s: float) -> None:
        for cluster_id in building.ids(known, self.files):
            building.remove(cluster_id, self.files)
        deadline = time.monotonic() + timeout_s
        state = building.build(known, self._wish, self.files)
        self._say(f"{len(state.hosts)} hosts on {state.subnet}")
        for host in state.of_role("server"):
            state = self._start(state, host)
        self._wait(state, state.of_role("server"), deadline)
        nodes = state.of_role("node")
        if nodes:
            building.take_agent_token(state, self.files, deadline)
        for host in nodes:
            state = self._start(state, host)
        self._wait(state, nodes, deadline)
        write(self.files.state, msgspec.structs.replace(state, phase="up"))

    def _remove(self) -> bool:
        """With the lock held. Whether something was there."""
        known = read(self.files.state)
        ids = building.ids(known, self.files)
        for cluster_id in ids:
            building.remove(cluster_id, self.files)
        if known is not None:
            gone = tuple(msgspec.structs.replace(host, processes=()) for host in known.hosts)
            write(self.files.state, msgspec.structs.replace(known, phase="down", hosts=gone, cuts=()))
            return known.phase != "down"
        return bool(ids)

    # --- looking --------------------------------------------------------------------------------------

    @property
    def state(self) -> ClusterState:
        """As the folder has it now. Raises CommandError when there is no cluster, or it is down."""
        known = read(self.files.state)
        if known is None or known.phase == "down":
            raise CommandError(f"no cluster runs in {self.files.folder}: `kmini cluster up` starts one")
        if not building.runs(known) and known.phase == "up":
            raise CommandError(
                f"of the cluster in {self.files.folder} only files are left (was the machine restarted?): "
                "`kmini cluster up` starts it again"
            )
        return known

    @property
    def hosts(self) -> dict[str, Host]:
        """By name, servers first."""
        state, files = self.state, self.files
        return {
            host.name: Host(
                name=host.name,
                role=host.role,
                address=host.address,
                disk=files.disk(host.name),
                data_dir=files.data_dir(host.name),
                log=files.log(host.name, DAEMONS[host.role]),
                group=self._group(state, host.name).path,
                namespace=network.namespace_path(state, host.name),
            )
            for host in state.hosts
        }

    @property
    def kubeconfig(self) -> Path:
        """Of the admin, with one context per server, to be used in the root namespace."""
        return self.files.kubeconfig

    def leader(self) -> str | None:
        """The server that leads in the newest term any server knows of; None when that is not known."""
        return access.leader(self.state, self.files)

    def wait_leader(self, *, other_than: str | None = None, timeout_s: float = READY_TIMEOUT_S) -> str:
        """The leader, once there is one, and one that is not `other_than`. Raises NotReady."""
        deadline = time.monotonic() + timeout_s
        return waiting.until_leader(self.state, self.files, deadline=deadline, other_than=other_than)

    def wait_ready(self, *hosts: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Until these hosts (all, when none is named) are ready. Raises NotReady, CommandError when a daemon ended."""
        state = self.state
        chosen = [state.host(name) for name in hosts] or list(state.hosts)
        self._wait(state, chosen, time.monotonic() + timeout_s)

    # --- links ----------------------------------------------------------------------------------------

    def partition(self, a: str | Iterable[str], b: str | Iterable[str] | None = None, *, one_way: bool = False) -> None:
        """What the hosts `a` send to `b` (all other hosts, without it) is lost, and the other way unless `one_way`.

        OUTSIDE ("outside") stands for the root namespace and is never meant unless named.
        """
        state = self.state
        pairs = self._pairs(state, _names(a), _names(b))
        if not one_way:
            pairs |= {Cut(sender=pair.receiver, receiver=pair.sender) for pair in pairs}
        with self._change() as state:
            for pair in sorted(pairs):
                network.cut(state, sender=pair.sender, receiver=pair.receiver)
            cuts = tuple(sorted({*state.cuts, *pairs}))
            write(self.files.state, msgspec.structs.replace(state, cuts=cuts))

    def isolate(self, host: str, *, outside: bool = False) -> None:
        """Cut a host from all other hosts, both ways; with `outside` from the root namespace too."""
        self.partition(host)
        if outside:
            self.partition(host, OUTSIDE)

    def heal(self, a: str | Iterable[str] | None = None, b: str | Iterable[str] | None = None) -> None:
        """End the cuts between `a` and `b`, in both directions; those of `a` with anybody without `b`; else all."""
        first, second = set(_names(a)), set(_names(b))
        with self._change() as state:
            for name in first | second:
                state.address_of(name)  # a name that is none is an error, not a cut that is not there
            healed = {cut for cut in state.cuts if _is_between(cut, first, second)}
            for cut in sorted(healed):
                network.mend(state, sender=cut.sender, receiver=cut.receiver)
            cuts = tuple(cut for cut in state.cuts if cut not in healed)
            write(self.files.state, msgspec.structs.replace(state, cuts=cuts))

    @staticmethod
    def _pairs(state: ClusterState, senders: Sequence[str], receivers: Sequence[str]) -> set[Cut]:
        others = receivers or [host.name for host in state.hosts if host.name not in senders]
        pairs = {Cut(sender=sender, receiver=receiver) for sender in senders for receiver in others}
        for pair in pairs:
            if pair.sender == pair.receiver:
                raise CommandError(f"{pair.sender} cannot be cut from itself")
            state.address_of(pair.sender), state.address_of(pair.receiver)
        return pairs

    # --- hosts ----------------------------------------------------------------------------------------

    def kill(self, host: str, *, process: str | None = None) -> None:
        """kill -9: everything in the host, or the one daemon of that name ("server", "agent", "containerd")."""
        with self._change() as state:
            found = state.host(host)
            if process is None:
                self._group(state, host).kill()
                left: tuple[Process, ...] = ()
            else:
                processes.kill(self._daemon(found, process))
                left = tuple(known for known in found.processes if known.name != process)
            write(self.files.state, state.with_host(msgspec.structs.replace(found, processes=left)))

    def power_off(self, host: str) -> None:
        """Pull the plug: `kill`, and what was not synced is lost, and so are the kernel's network and its boot id.
        Others get no word of it. Only with `images`; `start` boots it again."""
        with self._change() as state:
            write(self.files.state, state.with_host(building.power_off(state, state.host(host).name, self.files)))

    def start(self, host: str) -> None:
        """Start the daemon of a host that does not run; `wait_ready` waits for it."""
        with self._change() as state:
            self._awake(state, host)
            self._start(state, state.host(host))

    def stop(self, host: str, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM to the host's daemons, patience, and then `kill` for whatever is left."""
        state = self.state
        self._awake(state, host)
        found = state.host(host)
        for process in found.processes:
            processes.terminate(process)
        deadline = time.monotonic() + timeout_s
        for process in found.processes:
            processes.wait_gone(process, timeout_s=max(0.0, deadline - time.monotonic()))
        self.kill(host)

    def restart(self, host: str) -> None:
        """`stop` and `start`."""
        self.stop(host)
        self.start(host)

    def pause(self, host: str) -> None:
        """Freeze everything in the host: it hangs, connections stay, the kernel still acknowledges what comes."""
        with self._change() as state:
            self._group(state, state.host(host).name).freeze()

    def resume(self, host: str) -> None:
        with self._change() as state:
            self._group(state, state.host(host).name).thaw()

    def paused(self, host: str) -> bool:
        state = self.state
        return self._group(state, state.host(host).name).frozen()

    def run(
        self, host: str, argv: Sequence[str], *, timeout_s: float = RUN_TIMEOUT_S, input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside a host to its end. Raises CommandError when it takes too long (it is killed)."""
        with self.popen(
            host, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                output, errors = process.communicate(input, timeout_s)
            except BaseException as caught:
                process.kill()
                if isinstance(caught, subprocess.TimeoutExpired):
                    raise CommandError(f"{argv[0]} on {host} did not end within {timeout_s:.0f} s") from caught
                raise
            return subprocess.CompletedProcess(list(argv), process.returncode, output, errors)

    def popen(self, host: str, argv: Sequence[str], **settings: Any) -> subprocess.Popen[Any]:
        """Start a command inside a host; it is the caller's to wait for, and the host's to be killed with."""
        state = self.state
        self._awake(state, host)
        if not argv:
            raise CommandError("no command to run")
        line = processes.command_inside(
            leaf=self._group(state, host).leaf,
            namespace=network.namespace_path(state, host),
            boot_id=None,
            log=None,
            argv=argv,
        )
        settings.setdefault("env", processes.environment())
        return subprocess.Popen(line, **settings)

    # --- of these -------------------------------------------------------------------------------------

    @contextmanager
    def _change(self) -> Iterator[ClusterState]:
        """The state, with the lock held. An OSError inside becomes a CommandError."""
        building.check_root()
        if not self.files.folder.is_dir():
            raise CommandError(f"no cluster runs in {self.files.folder}: `kmini cluster up` starts one")
        try:
            with locked(self.files.lock):
                yield self.state
        except OSError as error:
            raise CommandError(f"{error.filename or 'the kernel'}: {error.strerror}") from error

    def _daemon(self, host: HostState, name: str) -> Process:
        """Raises CommandError naming those there are."""
        containerd = remembered(self.files.containerd(host.name))
        own = [] if containerd is None else [_process("containerd", containerd)]
        for process in (*host.processes, *own):
            if process.name == name:
                return process
        known = ", ".join(process.name for process in (*host.processes, *own)) or "nothing"
        raise CommandError(f"no process {name!r} was started on {host.name}: it has {known}")

    def _group(self, state: ClusterState, host: str) -> Group:
        return building.group_of(state, state.host(host).name)

    def _awake(self, state: ClusterState, host: str) -> None:
        if self._group(state, host).frozen():
            raise CommandError(f"{host} is paused: resume it first")

    def _start(self, state: ClusterState, host: HostState) -> ClusterState:
        """Returns the state as it is then, and as it is written."""
        if any(processes.alive(known) for known in host.processes):
            return state
        state = state.with_host(building.start_daemon(state, host, self.files))
        write(self.files.state, state)
        return state

    def _wait(self, state: ClusterState, hosts: Sequence[HostState], deadline: float) -> None:
        waiting.until_ready(state, hosts, self.files, deadline=deadline, say=self._say)


def _process(name: str, found: Known) -> Process:
    return Process(name=name, pid=found.pid, start_ticks=found.start_ticks)


def _names(value: str | Iterable[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _is_between(cut: Cut, first: set[str], second: set[str]) -> bool:
    if not first:
        return True
    if not second:
        return cut.sender in first or cut.receiver in first
    return (cut.sender in first and cut.receiver in second) or (cut.sender in second and cut.receiver in first)
