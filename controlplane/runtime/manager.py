"""Runs all parts for as long as this process is the elected one; term after term, each with everything new."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from apiserver.api.errors import Fenced
from apiserver.client import Client, Informers

from .clock import Clock
from .context import Context
from .election import NAMESPACE, Election, ElectionTiming
from .metrics import Metrics
from .options import Options
from .pace import Lateness
from .reconciler import Part

log = logging.getLogger("controlplane.manager")

LEASE = "kmini-controllers"

#: Name of a controller → what makes its parts.
Makers = Mapping[str, Callable[[Context], Sequence[Part]]]


class Manager:
    """`run` until it is cancelled. `load` readies what the makers need, given their names: it is called in a thread, at
    the beginning of a term. `right` as in Election."""

    def __init__(
        self,
        client: Client,
        makers: Makers,
        *,
        identity: str,
        options: Options | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
        timing: ElectionTiming | None = None,
        load: Callable[[Iterable[str]], None] | None = None,
        right: Callable[[], bool] | None = None,
        random: Random | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._client = client
        self._makers = makers
        self._load = load
        self._identity = f"{identity}_{secrets.token_hex(4)}"
        self._options = options or Options()
        self._clock = clock or Clock()
        self._random = random or Random()
        self._election = Election(
            client,
            LEASE,
            identity=self._identity,
            clock=self._clock,
            metrics=self.metrics,
            timing=timing,
            right=right,
        )
        self._running: list[str] = []

    @property
    def leads(self) -> bool:
        return self._election.leads

    @property
    def running(self) -> list[str]:
        """Names of the parts that run; empty while another process leads."""
        return list(self._running)

    async def run(self) -> None:
        await self._election.run(self._term)

    async def _term(self, transitions: int) -> None:
        """All parts, until one of them fails or the term is over. What they wrote stays; what they knew goes."""
        if self._load is not None:
            await asyncio.to_thread(self._load, list(self._makers))
        informers = Informers(self._client)
        context = Context(
            self._client.fence(f"{NAMESPACE}/{LEASE}", transitions),
            informers,
            clock=self._clock,
            options=self._options,
            metrics=self.metrics,
            random=self._random,
            identity=self._identity,
        )
        parts: list[Part] = [context.recorder, Lateness(self.metrics)]
        for make in self._makers.values():
            parts += make(context)
        try:
            async with informers, asyncio.TaskGroup() as group:
                group.create_task(informers.watch_over(), name="informers")
                for part in parts:
                    group.create_task(self._run(part), name=part.name)
                self._running = [part.name for part in parts]
        except* Fenced:
            log.warning("another process leads: a write of this term was refused")
        finally:
            self._running = []

    @staticmethod
    async def _run(part: Part) -> None:
        await part.run()
        raise RuntimeError(f"{part.name} has ended by itself")
