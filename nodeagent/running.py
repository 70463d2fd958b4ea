"""One node's agent with all that belongs to it: what it hears of the API, what it writes, its certificate."""

from __future__ import annotations

import asyncio
import time

from apiserver.client import Client

from .agent import Agent, AgentOptions
from .checkpoint import Checkpoint
from .clock import Wall
from .feeds import node_feed, pod_feed
from .house import Parts
from .identity import Identity
from .machine import Machine
from .renewal import Renewal
from .runtime.interface import Runtime
from .server.log_rotation import LogRotation
from .server.real_containers import RealContainers
from .server.serving import NodeApiSettings, NodeServer
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
        self.writer = StatusWriter(client, wall=wall)
        self.renewal = Renewal(client, identity, wall=wall) if identity is not None else None
        self._works = (*parts.works, checkpoint.run) if checkpoint is not None else parts.works
        self._pods = pod_feed(client, name)
        self._nodes = node_feed(client, name)
        self.server: NodeServer | None = None
        real = runtime if isinstance(runtime, RealContainers) else None
        self._rotation = LogRotation(runtime, real) if real is not None else None
        if identity is not None and machine.node_port:
            settings = NodeApiSettings(port=machine.node_port, real=real)
            self.server = NodeServer(client, identity, settings, pods=self._pods, runtime=runtime, wall=wall)
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

    async def run(self) -> None:
        async with self._pods, self._nodes, asyncio.TaskGroup() as group:
            group.create_task(self.writer.run())
            group.create_task(self.agent.run())
            for work in self._works:
                group.create_task(work())
            if self.renewal is not None:
                group.create_task(self.renewal.run())
            if self._rotation is not None:
                group.create_task(self._rotation.run())
            if self.server is not None:
                group.create_task(self.server.run())
