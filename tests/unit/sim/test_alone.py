"""A run owes nothing to what else this Python process does or did."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mvcc_world import World
from sim_runs import seen

from raftstore.failpoint import failpoint
from raftstore.model import Put
from raftstore.sim.run import Plan, run_seed

SEED = 3


def test_a_real_store_on_another_thread_leaves_a_run_alone(tmp_path: Path) -> None:
    alone = run_seed(SEED, Plan(), folder=tmp_path)
    over = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        applied = threads.submit(_apply_until, over, tmp_path / "real")
        try:
            beside = run_seed(SEED, Plan(), folder=tmp_path)
        finally:
            over.set()
    assert applied.result() > 0
    assert seen(beside) == seen(alone)


def _apply_until(over: threading.Event, folder: Path) -> int:
    """How many entries a real machine took meanwhile; it is opened anew for each."""
    world, entries = World(folder), 0
    while not over.is_set():
        failpoint("before_apply")
        world.one(Put(b"key", b"%d" % entries))
        entries += 1
        world.reopen()
    world.machine.close()
    return entries


class Garbage:
    """What only the collector ends; passing a failpoint stands for any of the product's code in a finalizer."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        failpoint("before_snapshot")


def test_garbage_from_before_leaves_a_run_alone(tmp_path: Path) -> None:
    alone = run_seed(SEED, Plan(), folder=tmp_path)
    Garbage()
    assert seen(run_seed(SEED, Plan(), folder=tmp_path)) == seen(alone)
