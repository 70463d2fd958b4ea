"""Tasks on several processes: all are done, and one that kills its process is reported, not lost."""

from __future__ import annotations

import os
import signal

from raftstore.sim.workers import run_tasks


def square(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def test_every_task_has_a_result_and_a_death_is_one() -> None:
    results = sorted(run_tasks(square, range(6), jobs=2, died=lambda task, code: 1000 * task - code))
    assert results == [0, 1, 4, 16, 25, 3000 + signal.SIGKILL]


def test_no_task_is_no_work() -> None:
    assert list(run_tasks(square, [], jobs=2, died=lambda task, code: 0)) == []
