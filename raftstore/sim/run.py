"""One seed, or many on all cores: run, judge, report.

A run that does not come back is cut after a while of real time and counts as failed: whatever spins in
virtual time is a defect too.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import msgspec

from . import swarm
from .simulation import Simulation
from .swarm import Fault
from .verdict import Verdict, crashed, describe
from .workers import run_tasks

RUN_REAL_S_MAX = 120


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to change about the draw of every seed; `arguments` says the same on the command line."""

    protections_off: frozenset[str] = frozenset()
    only: frozenset[Fault] | None = None
    without: frozenset[Fault] = frozenset()

    @property
    def arguments(self) -> list[str]:
        found = [word for name in sorted(self.protections_off) for word in ("--off", name)]
        if self.only is not None:
            found += [word for fault in sorted(self.only, key=_name) for word in ("--only", fault.value)]
        return found + [word for fault in sorted(self.without, key=_name) for word in ("--without", fault.value)]


def _name(fault: Fault) -> str:
    return fault.value


class _Hangs(BaseException):
    """Not an Exception, so that no handler of the product takes it."""


def _alarm(signal_number: int, frame: FrameType | None) -> None:
    raise _Hangs


@contextmanager
def _alarmed() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(RUN_REAL_S_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quiet() -> Iterator[None]:
    """The product's log has nothing to say that the trace does not."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _alone() -> Iterator[None]:
    """Nothing that the process did before is collected in the middle of a run: finalizers may do anything."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def run_seed(seed: int, plan: Plan, *, trace: list[str] | None = None, folder: Path | None = None) -> Verdict:
    """Run one seed in this process, its files under `folder`. With `trace` the trace's lines are appended to it."""
    options = swarm.restrict(swarm.draw(seed), only=plan.only, without=plan.without)
    started_s = time.process_time()
    simulation = Simulation(
        options, folder=folder or memory_folder(), protections_off=plan.protections_off, keep_trace=trace is not None
    )
    try:
        with _alone(), _quiet(), _alarmed():
            verdict = simulation.run()
        return msgspec.structs.replace(verdict, cpu_s=time.process_time() - started_s)
    except _Hangs:
        where = "".join(traceback.format_exc(limit=-6))
        return crashed(seed, options.banner(), f"no end after {RUN_REAL_S_MAX} s: {where}", RUN_REAL_S_MAX)
    except Exception:
        return crashed(seed, options.banner(), traceback.format_exc(), time.process_time() - started_s)
    finally:
        simulation.close()
        if trace is not None:
            trace.extend(simulation.schedule.lines)


def memory_folder() -> Path:
    """Where files cost least: state folders of a run are real, and removed with it."""
    shared_memory = Path("/dev/shm")  # noqa: S108  # each run makes a folder of its own in it, mode 0700
    return shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())


def _run_task(task: tuple[int, Plan, Path]) -> Verdict:
    seed, plan, folder = task
    return run_seed(seed, plan, folder=folder)


def run_many(seeds: Iterable[int], plan: Plan, *, jobs: int = 0) -> Iterator[Verdict]:
    """Verdicts as they come, on `jobs` processes (0: one per core)."""
    with tempfile.TemporaryDirectory(prefix="raftstore-sim-", dir=memory_folder()) as folder:
        tasks = [(seed, plan, Path(folder)) for seed in seeds]
        workers = min(jobs or len(os.sched_getaffinity(0)), len(tasks))
        yield from run_tasks(_run_task, tasks, jobs=workers, died=_process_died)


def _process_died(task: tuple[int, Plan, Path], exit_code: int) -> Verdict:
    seed, plan, _ = task
    options = swarm.restrict(swarm.draw(seed), only=plan.only, without=plan.without)
    return crashed(seed, options.banner(), f"the process running it died with exit code {exit_code}", 0.0)


class Progress:
    """One line that is overwritten, on a terminal; failures as they come, anywhere."""

    def __init__(self, total: int, plan: Plan, out: TextIO) -> None:
        self._total = total
        self._plan = plan
        self._out = out
        self._started_s = time.monotonic()
        self.verdicts: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if self._out.isatty():
            self._out.write("\r\x1b[K")
        if not verdict.passed:
            self._out.write(describe(verdict, self._plan.arguments) + "\n")
        if self._out.isatty():
            failed = sum(not verdict.passed for verdict in self.verdicts)
            self._out.write(f"{len(self.verdicts)}/{self._total} seeds, {failed} failed")
        self._out.flush()

    def summary(self) -> str:
        if self._out.isatty():
            self._out.write("\r\x1b[K")
        verdicts = self.verdicts
        failed = sorted(verdict.seed for verdict in verdicts if not verdict.passed)
        kinds = Counter(verdict.checkers[0] for verdict in verdicts if not verdict.passed)
        faults = sum((Counter(verdict.faults) for verdict in verdicts), Counter[str]())
        lines = [
            f"{len(verdicts)} seeds in {time.monotonic() - self._started_s:.0f} s: "
            f"{sum(v.virtual_s for v in verdicts):.0f} virtual seconds, "
            f"{sum(v.operations for v in verdicts)} operations ({sum(v.acknowledged for v in verdicts)} acknowledged), "
            f"{sum(v.messages for v in verdicts)} messages, "
            f"{sum(v.elections for v in verdicts)} elections",
            "faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())),
            f"failed: {len(failed)}" + (f" {failed}" if failed else ""),
        ]
        lines += [f"  first violation {kind}: {count} seeds" for kind, count in kinds.most_common()]
        return "\n".join(lines)


def run(seeds: range, plan: Plan, *, jobs: int, as_json: bool) -> int:
    """The `run` command. The exit code: 0 when every seed passed."""
    progress = Progress(len(seeds), plan, sys.stderr if as_json else sys.stdout)
    for verdict in run_many(seeds, plan, jobs=jobs):
        progress.add(verdict)
    summary = progress.summary()
    if as_json:
        verdicts = sorted(progress.verdicts, key=lambda verdict: verdict.seed)
        sys.stdout.write(msgspec.json.encode(verdicts).decode() + "\n")
    else:
        sys.stdout.write(summary + "\n")
    return 0 if all(verdict.passed for verdict in progress.verdicts) else 1


def replay(seed: int, plan: Plan, *, with_trace: bool) -> int:
    """The `replay` command: one seed, with every event when asked for."""
    trace: list[str] | None = [] if with_trace else None
    verdict = run_seed(seed, plan, trace=trace)
    for line in trace or []:
        sys.stdout.write(line + "\n")
    if verdict.passed:
        sys.stdout.write(f"passed {verdict.banner}\n  trace {verdict.trace_hash}\n")
    else:
        sys.stdout.write(describe(verdict, plan.arguments) + "\n")
    return 0 if verdict.passed else 1
