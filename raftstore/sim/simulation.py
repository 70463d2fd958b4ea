"""One seed from start to verdict: a safety phase full of faults, then a liveness phase in which all is well.

The safety phase ends at the first violation. In the liveness phase the healed cluster must, within a bound
of virtual time, have one leader and all members caught up, take a write through each of them, and let go
of every lease nobody keeps. Then the history is judged.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import failpoint
from ..command import Command
from ..errors import Removed, StoreError
from ..model import ALL_FROM, Put, Range
from .checkers import Violation, leases, linearizability, registers, watches, writes
from .cluster import Cluster
from .faults import Faults
from .history import History, Kind, Operation, Outcome
from .observer import Observer
from .process import Process
from .schedule import Schedule
from .swarm import Options
from .verdict import Verdict
from .watching import Watcher
from .workload import Client, LeaseClient, World

LIVENESS_BOUND_S = 40.0
LEASE_BOUND_S = 10.0
_CLIENTS_GO_ON_S = 1.5  # after healing
_STEP_S = 0.25
_EVENTS_MAX = 3_000_000
_PROBE_CLIENT = 9_000


class Simulation:
    def __init__(
        self,
        options: Options,
        *,
        folder: Path,
        protections_off: frozenset[str] = frozenset(),
        keep_trace: bool = False,
    ) -> None:
        self.options = options
        self.schedule = Schedule(keep_trace=keep_trace)
        self.observer = Observer(self.schedule)
        self.history = History()
        self._folder = Path(tempfile.mkdtemp(prefix=f"raftstore-sim-{options.seed}-", dir=folder))
        self._rng = random.Random(f"raftstore simulation {options.seed}")
        self.cluster = Cluster(
            schedule=self.schedule,
            options=options,
            observer=self.observer,
            folder=self._folder,
            rng=self._stream("cluster"),
            protections_off=protections_off,
        )
        self.world = World(schedule=self.schedule, options=options, history=self.history, ports=self.cluster.processes)
        self.faults = Faults(self.cluster, self._stream("faults"), options)

    def _stream(self, name: str) -> random.Random:
        """Chance of its own for each part, so that changing one leaves the others' draws alone."""
        return random.Random(f"raftstore {name} {self.options.seed}")

    def close(self) -> None:
        self.cluster.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the run

    def run(self) -> Verdict:
        with failpoint.enabled(self.cluster.failpoints.actions()), self.observer.watching_machines():
            self.cluster.found()
            self._start_clients()
            self.schedule.after(1.0, self.faults.start)
            self._run_until(1.0 + self.options.safety_s)
            if not self.observer.violations:
                self._liveness_phase()
        if not self.observer.violations:
            for violation in self._judge():
                self.observer.report(violation)
        return self._verdict()

    def _start_clients(self) -> None:
        for number in range(self.options.clients):
            Client(self.world, number, self._stream(f"client {number}")).start()
        LeaseClient(self.world, 1_000, self._stream("lease client")).start()
        for number in range(self.options.watchers):
            Watcher(self.world, 2_000 + number, self._stream(f"watcher {number}")).start()

    def _run_until(self, until_s: float) -> None:
        finished = self.schedule.run(
            until_s=until_s, stop=lambda: bool(self.observer.violations), events_max=_EVENTS_MAX
        )
        if not finished:
            self._violated("simulator", f"more than {_EVENTS_MAX} events: something spins")

    def _violated(self, checker: str, message: str) -> None:
        self.observer.report(Violation(checker, message, self.schedule.now_s))

    # --- liveness

    def _liveness_phase(self) -> None:
        self.faults.stop()
        self.schedule.trace("HEAL")
        self.cluster.heal()
        healed_s = self.schedule.now_s
        self._run_until(healed_s + _CLIENTS_GO_ON_S)
        self.world.stopped = True
        self._wait_for("convergence", self._not_converged, healed_s + LIVENESS_BOUND_S)
        for process in self.cluster.processes():
            self._probe(process)
        self._run_until(self.schedule.now_s + self.options.lease_ttl_s + LEASE_BOUND_S / 2)
        self._wait_for("convergence", self._not_converged, self.schedule.now_s + LIVENESS_BOUND_S)
        self._wait_for("leases", self._leases_left, self.schedule.now_s + LEASE_BOUND_S)

    def _wait_for(self, checker: str, missing: Any, until_s: float) -> None:
        """Run until `missing()` is None; what it says at the bound is the violation."""
        while not self.observer.violations:
            lacking = missing()
            if lacking is None:
                return
            if self.schedule.now_s >= until_s:
                self._violated(checker, lacking)
                return
            self._run_until(self.schedule.now_s + _STEP_S)

    def _not_converged(self) -> str | None:
        down = [host for host in self.cluster.hosts if not host.running]
        processes = self.cluster.processes()
        leading = [process for process in processes if process.leading_term]
        if len(leading) != 1:
            return f"{len(leading)} leaders: {self._describe()}"
        status = leading[0].replica.status()
        if leading[0].node.status().configuration_committed:
            self.cluster.retire_strangers(frozenset(member.id for member in status.configuration.members))
            self.cluster.remove_lost(leading[0])
            processes = self.cluster.processes()
        if down:
            for host in down:
                host.start()
            return f"{[host.name for host in down]} do not stay up: {self._describe()}"
        members = {member.id for member in status.configuration.members if not member.learner}
        running = {process.member_id for process in processes}
        if members != running:
            return f"voters are {sorted(members)}, running {sorted(running)}: {self._describe()}"
        applied = {process.replica.applied_index for process in processes}
        if applied != {status.commit_index} or any(process.damaged for process in processes):
            return f"not caught up: {self._describe()}"
        return None

    def _describe(self) -> str:
        """Every replica in a few words."""
        words = []
        for process in self.cluster.processes():
            status = process.replica.status()
            damaged = " damaged" if process.damaged else ""
            words.append(
                f"{process.host.name} {status.role.value} term {status.term} leader {status.leader} commit "
                f"{status.commit_index} applied {status.applied_index}{damaged} {list(status.problems)}"
            )
        return "; ".join(words)

    def _probe(self, process: Process) -> None:
        """A healed cluster takes a write through any member."""
        value = self.world.unique_value()
        key = b"p/%d" % process.member_id
        number = len(self.history.operations)
        operation = Operation(
            number, _PROBE_CLIENT, process.member_id, Kind.PUT, key, self.schedule.now_s, values={key: value}
        )
        self.history.add(operation)
        command: Command = Put(key, value)

        def done(answer: Any) -> None:
            operation.completed_s = self.schedule.now_s
            if isinstance(answer, StoreError):
                operation.error = str(answer)
                if process.host in self.cluster.hosts and not isinstance(answer, Removed):
                    self._violated("liveness", f"a write through {process.host.name} failed after healing: {answer!r}")
            else:
                operation.outcome, operation.revision = Outcome.OK, answer.revision

        process.write(command, LIVENESS_BOUND_S, done)

    def _leases_left(self) -> str | None:
        processes = self.cluster.processes()
        alive = sorted({lease.id for process in processes for lease in process.replica.house.machine.leases()})
        found = list(leases.check_ended(alive, self.history, self.schedule.now_s, bound_s=LEASE_BOUND_S))
        return found[0].message if found else None

    # --- the judgement

    def _judge(self) -> Iterator[Violation]:
        history, truth = self.history, self.observer.truth
        yield from self._unanswered_probes()
        yield from writes.check(history, truth)
        yield from linearizability.check(history, truth)
        yield from registers.check(history)
        rate_max = 1.0 + 2 * self.options.clock_rates
        yield from leases.check(history, self.observer.expiries, rate_max=rate_max)
        for process in self.cluster.processes():
            result = process.replica.read(Range(ALL_FROM, ALL_FROM))
            yield from writes.check_final_state(process.member_id, result.revision, result.kvs, history, truth)
        for log in history.watches:
            yield from watches.check(log, truth)
            yield from watches.check_complete(log, truth, up_to=truth.last_revision)

    def _unanswered_probes(self) -> Iterator[Violation]:
        """But for a member that a late answer to the operator removed in the meantime."""
        running = {process.member_id for process in self.cluster.processes()}
        for operation in self.history:
            probe = operation.client == _PROBE_CLIENT and operation.replica in running
            if probe and operation.outcome is not Outcome.OK:
                yield Violation("liveness", f"after healing there was no answer to {operation}")

    def _verdict(self) -> Verdict:
        violations = self.observer.violations
        return Verdict(
            seed=self.options.seed,
            banner=self.options.banner(),
            violations=[str(violation) for violation in violations],
            checkers=[violation.checker for violation in violations],
            trace_hash=self.schedule.trace_hash(),
            virtual_s=self.schedule.now_s,
            cpu_s=0.0,
            events=self.schedule.events_run,
            messages=self.cluster.network.messages_delivered,
            operations=len(self.history.operations),
            acknowledged=len(self.history.with_outcome(Outcome.OK)),
            revisions=self.observer.truth.last_revision,
            elections=self.observer.raft.elections,
            faults=dict(self.faults.counts),
            counters=dict(self.cluster.failpoints.hits),
        )
