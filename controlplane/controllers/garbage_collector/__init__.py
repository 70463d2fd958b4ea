"""Garbage collection by ownerReferences: `graph` knows who belongs to whom, `monitors` tell it, `collector` acts.

It is of no importance how far behind the graph is: what is done is decided on what the API says at that moment.
"""

from __future__ import annotations

import asyncio

from controlplane.runtime import Context, Controller, Part, Request

from .collector import Collector
from .graph import Graph
from .monitors import Monitor, collectable, kept_anyway, listen

NAME = "garbage-collector"
WORKERS = 8
SYNC_S = 30.0
#: A look over the whole graph, in case that a change was never told, such as of an owner that came and went unseen.
LOOK_S = 600.0


class GarbageCollector:
    """A Part: the monitors, and the controller once they have told of all there was."""

    name = NAME

    def __init__(self, context: Context) -> None:
        queue = context.queue(NAME)
        self.graph = Graph(lambda uid: queue.add(Request("", uid)))
        self._pace = context.pace
        informers = kept_anyway(context.caches)
        for kind, informer in informers.items():
            listen(self.graph, kind, informer)
        self._monitors = [
            Monitor(context.client, kind, self.graph, context.pace) for kind in collectable() if kind not in informers
        ]
        collector = Collector(context, self.graph)
        self.controller = Controller(NAME, collector, queue, list(informers.values()), workers=WORKERS)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for monitor in self._monitors:
                group.create_task(monitor.run(), name=f"monitor of {monitor.kind.group_resource}")
            group.create_task(self._look_again(), name=f"{NAME} look")
            await self._wait_for_monitors()
            await self.controller.run()

    async def _wait_for_monitors(self) -> None:
        """Not for ever: a kind that cannot be listed makes the others no less collectable."""
        waiting = [asyncio.ensure_future(monitor.synced.wait()) for monitor in self._monitors]
        try:
            await asyncio.wait(waiting, timeout=SYNC_S)
        finally:
            for each in waiting:
                each.cancel()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            async for uid in self.graph.unsettled(self._pace):
                self.graph.wake(uid)


def parts(context: Context) -> list[Part]:
    return [GarbageCollector(context)]
