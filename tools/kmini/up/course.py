"""`kmini up` in order: server and node start side by side, the sample is made as soon as there is an API, and it is
done when the sample's pods answered over their Service.

What runs already is looked at and left alone. A daemon that ends meanwhile is what it fails with, in that daemon's own
words; what takes too long is left running and named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from apiserver.api.core.node import Node
from apiserver.api.errors import ApiError
from apiserver.client import Client, Informer

from ..errors import CommandError, NotReady
from ..layout import Layout, Running, RunningAgent
from ..supervise import Daemon, launch, watched
from . import machine, sample
from .answers import until_it_answers
from .sample import Sample
from .waiting import changed, until

SERVER_NAME = "n1"
SERVER, AGENT = "the server", "the node's agent"
SERVER_WITHIN_S = 180.0  # on a machine that is slow or busy: who ended is told of at once
NODE_WITHIN_S = 180.0

T = TypeVar("T")
Say = Callable[[str], None]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `kmini up`."""

    runtime: Literal["containerd", "fake"]
    api_port: int
    peer_port: int
    etcd_port: int
    node_port: int
    sample: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What runs. `sample` is None when none was wished for."""

    server: Running
    agent: RunningAgent
    sample: Sample | None


class Progress:
    """Lines with the seconds since the start."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun = time.monotonic()

    def tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._begun:5.1f} s  {text}")


class Course:
    """Of one data directory, which the caller holds. `started` are the daemons that were not there before; `had_node`:
    containers may have been."""

    def __init__(self, layout: Layout, wish: Wish, progress: Progress) -> None:
        self.started: list[Daemon] = []
        self.daemons: list[Daemon] = []
        last = layout.last_agent()
        self.had_node = last is not None and not last.torn_down
        self._layout = layout
        self._wish = wish
        self._progress = progress

    async def run(self) -> Outcome:
        """Raises CommandError; NotReady when something takes too long."""
        self.start()
        return await alongside(self._wait(), self.daemons)

    # --- the daemons --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Both of them, unless they run. Raises CommandError before anything is started."""
        server, agent = self._layout.running(), self._layout.running_agent()
        self._check(server, agent)
        if server is None:
            self._launch(SERVER, self._server_arguments(), self._layout.server_log)
        else:
            self._progress.tell(f"server {server.name} runs already: process {server.pid}")
            self.daemons.append(watched(SERVER, server.pid, log=self._layout.server_log))
        if agent is None:
            self._launch(AGENT, self._agent_arguments(server), self._layout.agent_log)
        else:
            self._progress.tell(f"node {agent.node} runs already: process {agent.pid}")
            self.daemons.append(watched(AGENT, agent.pid, log=self._layout.agent_log))

    def _check(self, server: Running | None, agent: RunningAgent | None) -> None:
        wish = self._wish
        ports: dict[str, int] = {}
        if server is None:
            ports |= {"--api-port": wish.api_port, "--peer-port": wish.peer_port, "--etcd-port": wish.etcd_port}
        if agent is None:
            ports |= {"--node-port": wish.node_port}
            if wish.runtime == "containerd":
                machine.check_alone(self._layout)
        elif agent.runtime != wish.runtime:
            raise CommandError(
                f"the node in {self._layout.data_dir} runs with --runtime {agent.runtime}: `kmini down` ends it, "
                f"or go on with --runtime {agent.runtime}"
            )
        machine.check_ports({flag: port for flag, port in ports.items() if port})

    def _server_arguments(self) -> list[str]:
        wish = self._wish
        ports = ["--api-port", wish.api_port, "--peer-port", wish.peer_port, "--etcd-port", wish.etcd_port]
        return ["server", "--name", SERVER_NAME, "--data-dir", str(self._layout.data_dir), *map(str, ports)]

    def _agent_arguments(self, server: Running | None) -> list[str]:
        layout, wish = self._layout, self._wish
        address = server.api_address if server is not None else f"127.0.0.1:{wish.api_port}"
        return [
            *("agent", "--node-name", machine.node_name(layout), "--data-dir", str(layout.data_dir)),
            *("--server", f"https://{address}", "--token-file", str(layout.token), "--node-port", str(wish.node_port)),
            *("--runtime", wish.runtime, "--cgroup", machine.group_of(layout)),
        ]

    def _launch(self, what: str, arguments: Sequence[str], log: Path) -> None:
        daemon = launch(what, arguments, log=log)
        self._progress.tell(f"{what} starts: process {daemon.pid}, log in {log}")
        self.started.append(daemon)
        self.daemons.append(daemon)

    # --- until it works -----------------------------------------------------------------------------------

    async def _wait(self) -> Outcome:
        server = await self._server_ready()
        async with Client.from_kubeconfig(self._layout.kubeconfig, user_agent="kmini-up") as client:
            try:
                made = await self._make_sample(client) if self._wish.sample else None
                agent = await self._node_ready(client)
                if made is not None:
                    simulated, log = agent.runtime == "fake", self._layout.agent_log
                    await until_it_answers(client, made, self._progress.tell, simulated=simulated, log=log)
            except ApiError as error:
                raise CommandError(f"the API at {server.api_address} said no: {error.message}") from error
        return Outcome(server=server, agent=agent, sample=made)

    async def _server_ready(self) -> Running:
        def look() -> Running | None:
            found = self._layout.running()
            return found if found is not None and found.ready else None

        late = f"the server is not ready after {SERVER_WITHIN_S:g} s: see {self._layout.server_log}"
        server = await until(look, SERVER_WITHIN_S, late)
        self._progress.tell(f"the server is ready: https://{server.api_address}")
        return server

    async def _make_sample(self, client: Client) -> Sample:
        found, made = await sample.apply(client)
        names = " and ".join(f"{what} {sample.NAME}" for what in made)
        self._progress.tell(f"{names} {'are' if len(made) > 1 else 'is'} made" if made else "the sample is there")
        return found

    async def _node_ready(self, client: Client) -> RunningAgent:
        late = f"the node is not ready after {NODE_WITHIN_S:g} s: see {self._layout.agent_log}"
        deadline = time.monotonic() + NODE_WITHIN_S
        answers = await until(lambda: self._agent(bool), NODE_WITHIN_S, late)
        simulated = answers.runtime == "fake"
        self._progress.tell("the node is simulated" if simulated else f"{answers.version} runs, with its images")
        agent = await until(lambda: self._agent(lambda each: each.ready), deadline - time.monotonic(), late)
        self._progress.tell(f"node {agent.node} is registered")
        async with Informer(client, Node, fields=f"metadata.name={agent.node}") as nodes:
            try:
                await changed(nodes, lambda: any(map(_is_ready, nodes.cache)), deadline - time.monotonic())
            except TimeoutError:
                said = [each.message for node in nodes.cache for each in node.status.conditions if each.type == "Ready"]
                raise NotReady(
                    f"node {agent.node} is not ready: {'; '.join(said)}: see {self._layout.agent_log}"
                ) from None
        self._progress.tell(f"node {agent.node} is ready")
        return agent

    def _agent(self, good: Callable[[RunningAgent], bool]) -> RunningAgent | None:
        found = self._layout.running_agent()
        return found if found is not None and found.version and good(found) else None


async def alongside(work: Coroutine[Any, Any, T], daemons: Sequence[Daemon]) -> T:
    """What the work gives. Raises CommandError when one of the daemons ends before that."""
    working = asyncio.ensure_future(work)
    watching: list[asyncio.Future[Any]] = [asyncio.ensure_future(each.failed()) for each in daemons]
    try:
        await asyncio.wait({working, *watching}, return_when=asyncio.FIRST_COMPLETED)
        for each in watching:
            if each.done():
                each.result()
        return working.result()
    finally:
        for task in (working, *watching):
            task.cancel()
        await asyncio.gather(working, *watching, return_exceptions=True)


def _is_ready(node: Node) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)
