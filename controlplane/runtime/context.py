"""Everything a controller is made of. One for each term of leadership: what one term knew, the next finds out anew."""

from __future__ import annotations

from random import Random

from apiserver.client import Client, Informers
from apiserver.client.recorder import Recorder

from .caches import Caches
from .clock import Clock
from .metrics import Metrics, event_counts
from .options import Options
from .pace import Pace
from .queue import WorkQueue


class Context:
    """`client` writes under the fence of this term; `informers` only read, and need none."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        *,
        clock: Clock | None = None,
        options: Options | None = None,
        metrics: Metrics | None = None,
        random: Random | None = None,
        identity: str = "",
    ) -> None:
        self.client = client
        self.informers = informers
        self.clock = clock or Clock()
        self.options = options or Options()
        self.metrics = metrics or Metrics()
        self.random = random or Random()
        self.caches = Caches(informers)
        self.recorder = Recorder(
            client,
            wall=self.clock.wall,
            monotonic=self.clock.monotonic,
            random=self.random,
            counted=event_counts(self.metrics),
            instance=identity,
        )
        self.pace = Pace(self.clock.monotonic)

    def queue(self, name: str) -> WorkQueue:
        return WorkQueue(self.metrics.queue(name), clock=self.clock, random=self.random)
