"""A small cluster for controllers: the fake API, nodes, and the controllers under test, in virtual time.

    @seeds(50)
    def test_a_deployment_becomes_pods(seed: int) -> None:
        async def body(world: World) -> None:
            world.api.put(deployment("web", 5))
            await world.settle()
            assert len(world.api.objects(Pod)) == 5

        run_world(body, seed=seed, parts=[deployment_parts, replicaset_parts], nodes=3, faults=stormy(seed))

`settle` returns once nothing has been written for a while and no queue has work or a failure to try again. Whatever an
invariant (`check`), a part or a hook raised comes out of it, or of the world's end: no client's retry swallows it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Any, Self

import pytest
import virtual_time
from controllers_world_nodes import Binder, Kubelet
from controllers_world_objects import node
from fake_api import CONTROLLERS, FakeApi, Faults, Hook, Written

from apiserver.api.errors import ApiError
from apiserver.api.meta import TopObject
from apiserver.client import Client, Informers
from controlplane.runtime.context import Context
from controlplane.runtime.metrics import Metrics
from controlplane.runtime.options import Options
from controlplane.runtime.pace import SLICE_S, Pace
from controlplane.runtime.queue import WorkQueue
from controlplane.runtime.reconciler import Part

Makers = Sequence[Callable[[Context], Sequence[Part]]]

#: Writes of these do not count when it is asked whether the world has settled.
NEWS = frozenset({"Event", "Lease"})
SEED = "KMINI_SEED"  # replays one seed
SEEDS = "KMINI_SEEDS"  # another number of them
SEEDS_MIN = 5
DOWN_S_MAX = 3.0  # after a crash
_SHOWN = 40
_LOGGERS = ("controlplane", "apiserver.client")


class Term:
    """The controllers from their start to their end: everything they know is here."""

    def __init__(self, client: Client, makers: Makers, options: Options, random: Random) -> None:
        self.informers = Informers(client)
        self.context = TrackedContext(
            client,
            self.informers,
            clock=virtual_time.clock(),
            options=options,
            metrics=Metrics(),
            random=random,
            identity="world",
        )
        self.parts: list[Part] = [self.context.recorder]
        for make in makers:
            self.parts += make(self.context)
        self.failed: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="term")

    async def _run(self) -> None:
        try:
            async with self.informers, asyncio.TaskGroup() as group:
                for part in self.parts:
                    group.create_task(self._run_part(part), name=part.name)
        except Exception as error:
            self.failed = error

    @staticmethod
    async def _run_part(part: Part) -> None:
        await part.run()
        raise RuntimeError(f"{part.name} has ended by itself")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def busy(self) -> list[str]:
        """Queues that have something to do now or failed at something."""
        return [
            f"{name}: {len(queue)} wait, failed: {sorted(map(str, queue._failures))[:5]}"
            for name, queue in self.context.queues.items()
            if not queue.idle or queue._failures
        ]


class TrackedContext(Context):
    """Its queues can be looked at, and its pace gives way at moments that the seed chooses."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queues: dict[str, WorkQueue] = {}
        self._passed_s = 0.0
        self.pace = Pace(self._time_that_passes)

    def _time_that_passes(self) -> float:
        self._passed_s += self.random.random() * SLICE_S
        return self._passed_s

    def queue(self, name: str) -> WorkQueue:
        self.queues[name] = super().queue(name)
        return self.queues[name]


class Bugs(logging.Handler):
    """Exceptions that were logged and survived: in a test they are failures. ApiErrors are news, no bugs."""

    def __init__(self, failures: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._failures = failures

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, ApiError):
            self._failures.append(error)


class World:
    """Use it as `async with`. `parts` are `parts` functions of controllers; all run until `restart` or the end.

    api: another world's, for two that work on one cluster; then with another `name`.
    nodes: so many are made, named node-1 and so on; more by `api.put`.
    binds: whether a simple scheduler gives pods to nodes; leave it out when the real one runs.
    """

    def __init__(
        self,
        parts: Makers = (),
        *,
        seed: int = 0,
        faults: Faults | None = None,
        options: Options | None = None,
        nodes: int = 0,
        binds: bool = True,
        leases: bool = False,
        api: FakeApi | None = None,
        name: str = CONTROLLERS,
    ) -> None:
        self.random = Random(f"world {name} {seed}")
        self.api = api or FakeApi(seed=seed, faults=faults)
        self.client = self.api.client("test")
        self.options = options or Options()
        self.restarts = 0
        self.term: Term | None = None
        self._parts = parts
        self._name = name
        self._crashes: asyncio.Task[None] | None = None
        self._back = asyncio.Event()
        self._down_s: float | None = None  # that somebody asked for
        self._bugs = Bugs(self.api.failures)
        for number in range(nodes):
            self.api.put(node(f"node-{number + 1}"))
        own = api is None
        self.kubelet = Kubelet(self.api, Random(self.random.random()), leases=leases) if own else None
        self._binder = Binder(self.api, Random(self.random.random())) if own and binds else None

    # --- life -----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self._bugs)
        for each in (self.kubelet, self._binder):
            if each is not None:
                each.begin()
        self._start()
        self._crashes = asyncio.create_task(self._restart_after_crashes(), name="crashes")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._end()
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._bugs)
        if kind is None:
            self.raise_failures()

    async def _end(self) -> None:
        assert self._crashes is not None
        self._crashes.cancel()
        await asyncio.gather(self._crashes, return_exceptions=True)
        if self.term is not None:
            await self.term.stop()
        for each in (self.kubelet, self._binder):
            if each is not None:
                each.end()

    def _start(self) -> None:
        client = self.api.client(self._name)
        self.term = Term(client, self._parts, self.options, Random(self.random.random()))
        self.term.start()

    async def restart(self, down_s: float = 0.0) -> None:
        """The controllers die where they are: what is under way does not happen. New ones know nothing."""
        self._down_s = down_s
        self._back.clear()
        self.api.kill(self._name)
        await self._back.wait()

    def crash_after(self, writes: int) -> None:
        """They die with their `writes`-th write from now on, before they hear of it, and come back by themselves."""
        self.api.crash_after(writes, self._name)

    async def _restart_after_crashes(self) -> None:
        while True:
            await self.api.crashed(self._name).wait()
            term, self.term = self.term, None
            if term is not None:
                await term.stop()
                self._note(term)
            down_s, self._down_s = self._down_s, None
            await asyncio.sleep(self.random.uniform(0, DOWN_S_MAX) if down_s is None else down_s)
            self.restarts += 1
            self.api.revive(self._name)
            self._start()
            self._back.set()

    # --- for tests ------------------------------------------------------------------------------------

    @property
    def nodes(self) -> Kubelet:
        """The kubelet of all nodes. A world on another's API has none."""
        assert self.kubelet is not None
        return self.kubelet

    def put(self, *objects: TopObject) -> None:
        for obj in objects:
            self.api.put(obj)

    def check(self, invariant: Hook) -> None:
        """Called with (verb, old, new) after every write, whoever writes; raises AssertionError."""
        self.api.on_write.append(invariant)

    def written(self, since_s: float = 0.0, *, ignoring: Collection[str] = NEWS) -> list[Written]:
        """What the controllers wrote."""
        return [
            each
            for each in self.api.log
            if each.by == self._name and each.at_s >= since_s and each.kind not in ignoring
        ]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.raise_failures()

    async def settle(self, *, quiet_s: float = 10.0, limit_s: float = 1800.0, failing: bool = False) -> None:
        """Return once `quiet_s` have gone by without a write. `failing`: failures in a queue may go on for ever.

        Raises what went wrong, AssertionError when the world does not come to rest within `limit_s`.
        """
        time = asyncio.get_running_loop().time
        end_s = time() + limit_s
        quiet_s = max(quiet_s, 3 * self.api.faults.watch_lag_s[1] + 3 * self.api.faults.latency_s[1])
        begin_s = time()
        while True:
            self.raise_failures()
            left_s = max(self._last_write_s(), begin_s) + quiet_s - time()
            busy = self.term is None or (self.term.busy() if not failing else [])
            if left_s <= 0 and not busy:
                return
            if time() > end_s:
                raise AssertionError(f"the world does not settle within {limit_s:g} s: {busy}\n{self.told()}")
            await asyncio.sleep(max(left_s, 0.25))

    def _last_write_s(self) -> float:
        return next((each.at_s for each in reversed(self.api.log) if each.kind not in NEWS), 0.0)

    def raise_failures(self) -> None:
        if self.term is not None:
            self._note(self.term)
        self.api.check()

    def _note(self, term: Term) -> None:
        if term.failed is not None and term.failed not in self.api.failures:
            self.api.failures.append(term.failed)

    def told(self) -> str:
        """The last writes, for people."""
        lines = [
            f"{each.at_s:10.3f} {each.by or 'test':12} {each.verb:6} {each.kind} {each.namespace}/{each.name}"
            for each in self.api.log[-_SHOWN:]
        ]
        return "\n".join(["the last writes:", *lines])


def run_world(
    body: Callable[[World], Awaitable[None]],
    *,
    seed: int = 0,
    limit_s: float = virtual_time.DAY_S,
    steps_max: int = virtual_time.STEPS_MAX,
    **settings: Any,
) -> None:
    """A world from start to end. `settings` are those of World. What is raised names the seed and the last writes."""

    async def main() -> None:
        async with World(seed=seed, **settings) as world:
            try:
                await body(world)
            except Exception as error:
                for failure in world.api.failures:
                    if failure is not error:
                        error.add_note(f"before that: {type(failure).__name__}: {failure}")
                error.add_note(f"seed {seed} ({SEED}={seed} replays it alone)\n{world.told()}")
                raise

    virtual_time.run(main(), seed=seed, shuffle=True, limit_s=limit_s, steps_max=steps_max)


def seeds(number: int) -> pytest.MarkDecorator:
    """Run a test with `seed` from 0 on. KMINI_SEEDS asks for so many, KMINI_SEED for one alone; without them it is a
    third of `number`, which is what a night deserves."""
    one = os.environ.get(SEED)
    chosen = [int(one)] if one else list(range(int(os.environ.get(SEEDS, max(SEEDS_MIN, number // 3)))))
    return pytest.mark.parametrize("seed", chosen, ids=[f"seed={each}" for each in chosen])


def stormy(seed: int, *, of: tuple[str, ...] = (CONTROLLERS,)) -> Faults:
    """Some mixture of everything that may go wrong for the controllers, mild or wild by the seed."""
    random = Random(f"storm {seed}")

    def maybe(most: float) -> float:
        return random.choice((0.0, random.random() * most))

    return Faults(
        latency_s=(0.0, maybe(0.5)),
        lost_answers=maybe(0.15),
        lost_requests=maybe(0.1),
        refused=maybe(0.1),
        watch_lag_s=(0.0, maybe(5.0)),
        watch_break=maybe(0.1),
        watch_repeats=random.choice((0, 5)),
        history_gone=maybe(0.2),
        of=of,
    )
