"""One node's agent with all that belongs to it: what it hears of the API, what it writes, its certificate."""

from __future__ import annotations

import asyncio
import time

import msgspec

from apiserver.client import Client
from apiserver.client.recorder import WRITTEN

from .agent import Agent, AgentOptions
from .checkpoint import Checkpoint
from .clock import Wall
from .events import NodeEvents
from .feeds import node_feed, pod_feed
from .house import Parts
from .identity import Identity
from .machine import Machine
from .renewal import Renewal
from .runtime.interface import Runtime
from .server.log_rotation import LogRotation
from .server.pod_starts import PodStarts
from .server.real_containers import RealContainers
from .server.serving import NodeServer
from .server.sources import Counters, Sources
from .side_work import side_work
from .status_writer import StatusWriter


class NodeAgent:
    """`run` until it is cancelled. `identity` is renewed when there is one. With it, and a port, a node has its API."""

    def __init__(
        self,
        client: Client,
        name: str,
        machine: Machine,
        runtime: Runtime,
        parts: Parts,
        *,
        identity: Identity | None = None,
        checkpoint: Checkpoint | None = None,
        options: AgentOptions | None = None,
        wall: Wall = time.time,
    ) -> None:
        self.writer = StatusWriter(client, wall=wall, listeners=parts.listeners)
        self.renewal = Renewal(client, identity, wall=wall) if identity is not None else None
        self._works = list(parts.works)
        if checkpoint is not None:
            self._works.append(side_work("checkpoint", checkpoint.run))
        self._outcomes = parts.events.outcomes if isinstance(parts.events, NodeEvents) else {}
        self._pods = pod_feed(client, name)
        self._nodes = node_feed(client, name)
        real = runtime if isinstance(runtime, RealContainers) else None
        self._rotation = LogRotation(runtime, real) if real is not None else None
        if self._rotation is not None:
            self._works.append(side_work("log rotation", self._rotation.run))
        self.server: NodeServer | None = None
        if identity is None:  # nobody could be sure that it is this node who answers
            machine = msgspec.structs.replace(machine, node_port=0)
        elif machine.node_port:
            starts = PodStarts(wall=wall)
            self._pods.listen(starts.changed)
            sources = Sources(
                node=name,
                pods=self._pods,
                runtime=runtime,
                real=real,
                folder=identity.folder,
                starts=starts,
                counters=self._counters,
                wall=wall,
            )
            self.server = NodeServer(client, sources, machine.node_port)
        self.agent = Agent(
            client,
            name,
            machine,
            runtime,
            parts,
            pods=self._pods,
            nodes=self._nodes,
            writer=self.writer,
            checkpoint=checkpoint,
            options=options,
            wall=wall,
        )

    @property
    def registered(self) -> asyncio.Event:
        return self.agent.registered

    def _counters(self) -> Counters:
        """The agent's own, for Prometheus."""
        rotated = self._rotation.done if self._rotation is not None else 0
        dropped = [({"why": why}, number) for why, number in self._outcomes.items() if why != WRITTEN]
        return {
            ("kmini_container_logs_put_aside_total", "Logs of containers that were put aside"): [({}, rotated)],
            ("kmini_events_written_total", "Events written to the API"): [({}, self._outcomes.get(WRITTEN, 0))],
            ("kmini_events_dropped_total", "Events that were not written"): dropped,
        }

    async def run(self) -> None:
        async with self._pods, self._nodes, asyncio.TaskGroup() as group:
            for feed in (self._pods, self._nodes):
                group.create_task(feed.watch_over())
            group.create_task(self.writer.run())
            group.create_task(self.agent.run())
            for work in self._works:
                group.create_task(work())
            if self.renewal is not None:
                group.create_task(self.renewal.run())
            if self.server is not None:
                group.create_task(self.server.run())
