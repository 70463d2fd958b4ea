"""Seeds on all cores, one process each, and no seed lost: a process that dies says which seed killed it.

`multiprocessing.Pool` waits for ever for a worker that was killed by a signal; a simulator exists to find
such things, so this room hands out one seed at a time and notices.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_PER_PROCESS = 100  # then a new one takes over, so that nothing piles up


def _serve(work: Callable[[Task], Result], pipe: Connection) -> None:
    """A worker's life: a task in, its result out."""
    try:
        while True:
            pipe.send(work(pipe.recv()))
    except (EOFError, KeyboardInterrupt):
        return


class _Worker(Generic[Task, Result]):
    def __init__(self, work: Callable[[Task], Result]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.tasks_done = 0

    def give(self, task: Task) -> None:
        self.task = task
        self.pipe.send(task)

    def end(self) -> None:
        self.pipe.close()
        self.process.join()


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int,
    died: Callable[[Task, int], Result],
) -> Iterator[Result]:
    """`work(task)` for each task in `jobs` processes; results as they come.

    `work` must be importable. A process that ends in the middle of a task gives `died(task, exit code)`, the
    code negative when it was a signal.
    """
    waiting = iter(tasks)
    workers: list[_Worker[Task, Result]] = []

    def employ() -> None:
        for task in waiting:
            worker: _Worker[Task, Result] = _Worker(work)
            worker.give(task)
            workers.append(worker)
            return

    for _ in range(jobs):
        employ()
    try:
        while workers:
            ready = wait([worker.pipe for worker in workers])
            for worker in [worker for worker in workers if worker.pipe in ready]:
                yield _take(worker, died)
                following = next(waiting, None) if worker.task is None else None
                if following is not None and worker.tasks_done < _TASKS_PER_PROCESS:
                    worker.give(following)
                    continue
                workers.remove(worker)
                worker.end()
                if following is not None:
                    workers.append(_Worker(work))
                    workers[-1].give(following)
                elif worker.task is not None:
                    employ()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.end()


def _take(worker: _Worker[Task, Result], died: Callable[[Task, int], Result]) -> Result:
    """The result of a worker that has something to say, or the news of its death (it keeps its task then)."""
    assert worker.task is not None
    try:
        result: Result = worker.pipe.recv()
    except EOFError:
        worker.process.join()
        return died(worker.task, worker.process.exitcode or 0)
    worker.task = None
    worker.tasks_done += 1
    return result
