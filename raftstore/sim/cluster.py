"""The hosts of a run and what an operator does with them: found, crash, change the membership, heal."""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import JournalDamaged, NoSpace, Removed, StoreError
from ..failpoint import NAMES
from ..raft.engine import Configuration, Member
from .checkers import Violation
from .host import Host
from .network import VirtualNetwork
from .observer import Observer
from .process import Process, found
from .runtime import VirtualRuntime, running
from .schedule import Schedule
from .swarm import Options

_SIZE_MAX = 5
_OPERATOR_TIMEOUT_S = 4.0
_LOG_LOOK_S = 0.5


class Failpoints:
    """At most one armed action per host: at the n-th time its code passes a name."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self._armed: dict[int, tuple[str, int, Host, Callable[[Host], None]]] = {}

    def actions(self) -> dict[str, Callable[[], None]]:
        return {name: self._action(name) for name in NAMES}

    def arm(self, host: Host, name: str, hits_left: int, action: Callable[[Host], None]) -> None:
        self._armed[host.member_id] = (name, hits_left, host, action)

    def disarm(self) -> None:
        self._armed.clear()

    def _action(self, name: str) -> Callable[[], None]:
        return lambda: self._hit(name)

    def _hit(self, name: str) -> None:
        process = running()
        if process is None:
            return
        self.hits[name] += 1
        process.schedule.trace(f"{process.owner} at {name}")
        armed = self._armed.get(process.owner)
        if armed is None or armed[0] != name:
            return
        _, hits_left, host, action = armed
        if hits_left:
            self._armed[host.member_id] = (name, hits_left - 1, host, action)
        else:
            del self._armed[host.member_id]
            action(host)


class Cluster:
    """`hosts` are those that belong to the cluster or are on their way in, in the order they came."""

    def __init__(
        self,
        *,
        schedule: Schedule,
        options: Options,
        observer: Observer,
        folder: Path,
        rng: random.Random,
        protections_off: frozenset[str],
    ) -> None:
        self.schedule = schedule
        self.options = options
        self.observer = observer
        self.failpoints = Failpoints()
        self.hosts: list[Host] = []
        self.expected_errors: Counter[str] = Counter()
        self.network = VirtualNetwork(schedule, random.Random(rng.getrandbits(64)), options.network)
        self.network.on_message = observer.sent
        self._folder = folder
        self._rng = rng
        self._protections_off = protections_off
        self._cluster_id = rng.getrandbits(62) + 1
        self._changing = False
        self._hosts_made = 0

    # --- birth

    def found(self) -> None:
        """The founding members, each with its journal, all started within a moment."""
        members = tuple(self._new_member() for _ in range(self.options.size))
        configuration = Configuration(self._cluster_id, members)
        for member in members:
            host = self._add_host(member)
            found(host, configuration, self.options)
            self.schedule.after(self._rng.random() * 0.3, host.start)
        self.schedule.after(_LOG_LOOK_S, self._look_at_logs)

    def _new_member(self) -> Member:
        self._hosts_made += 1
        number = self._hosts_made
        return Member(self._rng.getrandbits(62) + 1, f"n{number}", f"10.0.0.{number}:2380")

    def _add_host(self, member: Member) -> Host:
        rates = self.options.clock_rates
        host = Host(
            schedule=self.schedule,
            member=member,
            cluster_id=self._cluster_id,
            folder=self._folder / member.name,
            rng=random.Random(self._rng.getrandbits(64)),
            clock_rate=1.0 + rates * (2 * self._rng.random() - 1),
            disk_median_s=self.options.disk_median_s,
            make_process=self._make_process,
            failed=self._process_failed,
            refused=self._opening_refused,
        )
        self.hosts.append(host)
        return host

    def _make_process(self, host: Host, runtime: VirtualRuntime) -> Process:
        return Process(
            host,
            runtime,
            options=self.options,
            network=self.network,
            observer=self.observer,
            protections_off=self._protections_off,
            stopped=lambda error: self._replica_stopped(host, runtime, error),
        )

    # --- ends that nobody asked for

    def _process_failed(self, host: Host, context: str, error: BaseException) -> None:
        """An exception that the product did not take: the process would crash. Never right."""
        where = _where(error)
        message = f"{host.name}: {type(error).__name__}: {error} ({context}, {where})"
        self.observer.report(Violation("unhandled exception", message, self.schedule.now_s))

    def _opening_refused(self, host: Host, error: Exception) -> None:
        """The replica could not be opened: for want of space that ends by itself, else never right."""
        if isinstance(error, NoSpace) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
            self.schedule.after(0.5, host.start)
        elif isinstance(error, StoreError) and self._may_stop(host, error):
            host.lost = True
        else:
            message = f"{host.name} cannot be opened: {type(error).__name__}: {error}"
            self.observer.report(Violation("needless stop", message, self.schedule.now_s))

    def _replica_stopped(self, host: Host, runtime: VirtualRuntime, error: StoreError) -> None:
        """The replica gave up, with a reason. Some reasons are right; all others are violations."""
        self.schedule.trace(f"stopped {host.name} {type(error).__name__}: {error.message}")
        self.expected_errors[type(error).__name__] += 1
        if isinstance(error, Removed):
            host.retired = True
            self.hosts.remove(host)
        elif not self._may_stop(host, error):
            message = f"{host.name} stopped: {type(error).__name__}: {error.message}"
            self.observer.report(Violation("needless stop", message, self.schedule.now_s))
        else:
            host.lost = True
        runtime.call_soon(host.stopped_itself)

    def _may_stop(self, host: Host, error: StoreError) -> bool:
        """A flipped bit may cost a replica its disk; the others go on without it."""
        return isinstance(error, JournalDamaged) and host.flipped

    # --- looked at from outside

    def processes(self) -> list[Process]:
        return [host.process for host in self.hosts if host.process is not None]

    def leader(self) -> Host | None:
        """Who leads the newest term, as far as anybody says so."""
        leading = [host for host in self.hosts if host.process is not None and host.process.leading_term]
        return max(leading, key=lambda host: host.process.leading_term if host.process else 0, default=None)

    def spare_log(self, host: Host) -> bool:
        """Whether the journal of `host` may be damaged: it is one of three voters, and all others are whole."""
        leader = self.leader()
        if leader is None or leader.process is None or self._changing:
            return False
        status = leader.process.node.status()
        voters = status.configuration.voters
        others = [other for other in self.hosts if other is not host and other.member_id in voters]
        if not status.configuration_committed or len(voters) < 3 or host.member_id not in voters:
            return False
        return not host.flipped and len(others) == len(voters) - 1 and all(map(_whole, others))

    def _look_at_logs(self) -> None:
        for process in self.processes():
            self.observer.raft.look_at_log(process.member_id, process.journal)
            if not process.damaged:
                process.host.flipped = False
        self.schedule.after(_LOG_LOOK_S, self._look_at_logs)

    # --- an operator's work

    def transfer_leadership(self, rng: random.Random) -> bool:
        running = self.processes()
        if len(running) < 2:
            return False
        target = rng.choice([0, *(process.member_id for process in running)])
        rng.choice(running).transfer(target, _OPERATOR_TIMEOUT_S, lambda answer: None)
        return True

    def change_membership(self, rng: random.Random) -> bool:
        """Add a host, or remove one; one such change at a time, and none while a journal is damaged.

        A damaged voter is as good as dead until a leader has mended it: with another one taken away, the
        rest may be no majority, and no store could help.
        """
        running = self.processes()
        if self._changing or not running or any(host.flipped or host.lost for host in self.hosts):
            return False
        size = len(self.hosts)
        grow = size == 1 or (size < _SIZE_MAX and rng.random() < 0.5)
        self._changing = True
        self.schedule.after(_OPERATOR_TIMEOUT_S * 2, self._change_over)
        if grow:
            self._grow(rng.choice(running))
        else:
            self._shrink(rng.choice(running), rng.choice(self.hosts))
        return True

    def _change_over(self) -> None:
        self._changing = False

    def _grow(self, asked: Process) -> None:
        member = self._new_member()

        def done(answer: Any) -> None:
            self.schedule.trace(f"added {member.name}: {answer if isinstance(answer, StoreError) else 'yes'}")
            self._changing = False
            if isinstance(answer, Configuration):
                host = self._add_host(member)
                found(host, answer, self.options)
                self.schedule.after(self._rng.random(), host.start)

        self.schedule.trace(f"add {member.name} {member.id} asked of {asked.member_id}")
        asked.add_member(member, _OPERATOR_TIMEOUT_S, done)

    def _shrink(self, asked: Process, host: Host) -> None:
        def done(answer: Any) -> None:
            self.schedule.trace(f"removed {host.name}: {answer if isinstance(answer, StoreError) else 'yes'}")
            self._changing = False
            if isinstance(answer, Configuration) and host in self.hosts:
                self.schedule.after(self._rng.random() * 2, lambda: self._retire(host))

        self.schedule.trace(f"remove {host.name} asked of {asked.member_id}")
        asked.remove_member(host.member_id, _OPERATOR_TIMEOUT_S, done)

    def _retire(self, host: Host) -> None:
        """Its removal is certain: somebody switches the machine off."""
        if host in self.hosts:
            self.hosts.remove(host)
            host.retired = True
            host.crash(power=False)

    # --- healing

    def heal(self) -> None:
        """Everything works again, and everybody who is a member runs."""
        self.network.heal()
        self.failpoints.disarm()
        for host in self.hosts:
            host.mend()
            host.start()

    def remove_lost(self, asked: Process) -> None:
        """Take hosts out of the cluster that will never start again."""
        lost = [host for host in self.hosts if host.lost or (host.process is not None and host.process.knows_nobody)]
        if lost and not self._changing:
            self._changing = True
            self._shrink(asked, lost[0])

    def retire_strangers(self, members: frozenset[int]) -> None:
        """Switch off who is no member, though nobody who was told so acted on it."""
        for host in list(self.hosts):
            if host.member_id not in members:
                self.schedule.trace(f"stranger {host.name}")
                self._retire(host)

    def close(self) -> None:
        for host in self.hosts:
            if host.running:
                host.crash(power=False)


def _whole(host: Host) -> bool:
    return host.process is not None and not host.process.damaged and not host.flipped


def _where(error: BaseException) -> str:
    """The innermost frames of an exception, in one line."""
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        frames.append(f"{Path(code.co_filename).name}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return " < ".join(reversed(frames[-4:]))
