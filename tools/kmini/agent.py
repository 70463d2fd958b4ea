"""One node agent as a process, or many simulated ones: lock, join, run, one line when ready, and back on a signal.

An agent that ends leaves its containers as they are, and the Node as it is: a short absence is nobody's business.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec
import uvloop

from apiserver.api.node_folders import VOLUMES_ANNOTATION
from apiserver.client import Client
from nodeagent.agent import AgentOptions
from nodeagent.checkpoint import Checkpoint
from nodeagent.errors import AgentError, NoAnswer
from nodeagent.house import Parts
from nodeagent.identity import Identity
from nodeagent.joining import ensure_identity
from nodeagent.machine import Machine, system_info, this_machine
from nodeagent.network.node_network import NodeNetwork
from nodeagent.network.overlay import Overlay, pods_mtu
from nodeagent.network.settings import cluster_network
from nodeagent.network.underlay import link_of
from nodeagent.node_address import node_address
from nodeagent.parts import container_parts
from nodeagent.plain import plain_parts
from nodeagent.references import References
from nodeagent.running import NodeAgent
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.fake import FakeRuntime
from nodeagent.runtime.interface import Runtime
from nodeagent.simulation import SimulatedNodes

from . import addresses, collector
from .commands.version import package_version
from .errors import EXIT_OK, CommandError, NotReady
from .layout import AgentFile, Layout, RunningAgent, owned_agent

log = logging.getLogger("kmini.agent")

JOIN_WITHIN_S = 180.0  # a server on the same machine may still be starting
JOIN_PAUSE_S = 0.1
REGISTER_WITHIN_S = 120.0
STAGGER_S = 5.0  # over how long simulated nodes come
_USER_AGENT = "kmini-agent"

MakeParts = Callable[[Client, Machine], Awaitable[Parts]]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `kmini agent`, checked against each other. With `simulate` there is no data directory in use.
    Without `containerd` containers are simulated."""

    servers: tuple[str, ...]
    token_file: Path | None
    kubeconfig: Path | None
    node_name: str
    data_dir: Path
    node_port: int
    simulate: int
    containerd: bool
    containerd_socket: Path | None
    cgroup: str
    overlay: Overlay

    @property
    def folder(self) -> Path:
        return self.data_dir / "agent"


def run(settings: AgentSettings) -> int:
    """Until a signal; returns the exit code. Raises CommandError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if settings.simulate:
            return runner.run(_Process().run(_simulate, settings))
        with owned_agent(Layout(settings.data_dir)) as file:
            if settings.containerd:
                _close(settings.folder)
            announcement = _Announcement(file, settings)
            return runner.run(_Process().run(partial(_one_node, announcement), settings))


def _close(folder: Path) -> None:
    """To other users of the machine: below are files of pods, Secrets among them, with the modes that pods need.
    Containers do not come by here, what they see is mounted for them. Raises CommandError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise CommandError(f"{folder} cannot be closed to other users: {error.strerror}") from error


class _Announcement:
    """What `kmini up`, `status` and `down` read of this agent."""

    def __init__(self, file: AgentFile, settings: AgentSettings) -> None:
        self._file = file
        self._said = RunningAgent(
            pid=os.getpid(),
            node=settings.node_name,
            runtime="containerd" if settings.containerd else "fake",
            private=settings.containerd and settings.containerd_socket is None,
            group=settings.cgroup,
            boot_id=system_info().boot_id,
        )
        self.say()

    def say(self, **news: Any) -> None:
        self._said = msgspec.structs.replace(self._said, **news)
        self._file.announce(self._said)


class _Process:
    """Runs one coroutine until it ends or a signal comes."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    async def run(self, work: Callable[[AgentSettings], Awaitable[None]], settings: AgentSettings) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        working = asyncio.ensure_future(work(settings))
        waiting = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            log.info("stopping")
        finally:
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)
        return EXIT_OK

    def _signalled(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            os._exit(128 + number)  # asked twice: what runs is the runtime's, so nothing is lost
        self._stopping.set()


async def _one_node(announcement: _Announcement, settings: AgentSettings) -> None:
    """Servers may start with us: the runtime is made ready while we wait for one of them."""
    joining = asyncio.create_task(_client(settings), name="join")
    try:
        async with _runtime(settings) as (runtime, make_parts, runtime_name):
            announcement.say(version=runtime_name)
            client, identity = await joining
            async with client:
                machine = await _machine(settings, client)
                parts = await make_parts(client, machine)
                node = NodeAgent(
                    *(client, settings.node_name, machine, runtime, parts),
                    identity=identity,
                    checkpoint=Checkpoint(settings.folder / "checkpoint") if settings.containerd else None,
                    options=_options(),
                )
                collector.started()
                reached = f"{machine.addresses[0]}, runtime {runtime_name}, {client.caller.servers.current}"
                await _run(node, announcement, reached)
    finally:
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)


async def _run(node: NodeAgent, announcement: _Announcement, reached: str) -> None:
    running = asyncio.ensure_future(node.run())
    try:
        await _either(running, node.registered.wait())
        announcement.say(ready=True)
        click.echo(f"{node.agent.name} is ready: {reached}")
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _machine(settings: AgentSettings, client: Client) -> Machine:
    """As it is reached from where the servers are; by others, when they are on this machine. Raises CommandError."""
    servers = client.caller.servers
    hosts = [urlsplit(each).hostname or "" for each in dict.fromkeys([servers.current, *servers.all])]
    try:
        address = await asyncio.to_thread(node_address, hosts, settings.folder, outward=addresses.own_address)
        machine = await asyncio.to_thread(
            this_machine, addresses=(address,), labels={}, folder=settings.data_dir, node_port=settings.node_port
        )
    except OSError as error:
        raise CommandError(f"no way leads from this machine to {servers.current}: {error.strerror or error}") from error
    except AgentError as error:
        raise CommandError(str(error)) from error
    volumes = str((settings.folder / "volumes").absolute())
    return msgspec.structs.replace(machine, annotations={VOLUMES_ANNOTATION: volumes})


@asynccontextmanager
async def _runtime(settings: AgentSettings) -> AsyncIterator[tuple[Runtime, MakeParts, str]]:
    """With what makes the parts that go with it, and its name. Raises CommandError."""
    if not settings.containerd:
        fake = FakeRuntime(node=settings.node_name)

        async def plain(_client: Client, _machine: Machine) -> Parts:
            return plain_parts(fake)

        yield fake, plain, "fake"
        return
    from .agent_runtime import RuntimeSettings, open_runtime

    wanted = RuntimeSettings(
        node=settings.node_name,
        folder=settings.folder,
        images=settings.data_dir / "images",
        socket=settings.containerd_socket,
        group=settings.cgroup,
    )
    async with open_runtime(wanted) as runtime:
        version = await runtime.version()
        yield runtime, partial(_container_parts, settings, runtime), f"{version.name} {version.version}"


async def _container_parts(settings: AgentSettings, runtime: CriRuntime, client: Client, machine: Machine) -> Parts:
    """Once the cluster said what its network is. Raises CommandError."""
    node, address = settings.node_name, machine.addresses[0]
    try:
        network = await cluster_network(client, settings.folder)
        runtime.mtu = pods_mtu(settings.overlay, link_of(address))
    except (AgentError, OSError) as error:
        raise CommandError(str(error)) from error
    memory = settings.folder / "cluster.json"
    network_of_node = NodeNetwork(
        client, node, address=address, network=network, overlay=settings.overlay, memory=memory
    )
    references = References(client)
    return container_parts(
        client, node, runtime, network_of_node, machine=machine, folder=settings.folder, references=references
    )


async def _simulate(settings: AgentSettings) -> None:
    client, _ = await _client(settings)
    async with client:
        nodes = SimulatedNodes(
            client,
            count=settings.simulate,
            prefix=settings.node_name,
            options=_options(relist_s=600.0),
            stagger_s=STAGGER_S * settings.simulate / (settings.simulate + 10),
        )
        async with nodes:
            try:
                await nodes.wait_registered(timeout_s=REGISTER_WITHIN_S)
            except TimeoutError:
                raise NotReady(f"not all nodes are registered after {REGISTER_WITHIN_S:g} s") from None
            collector.started()
            names = nodes.names
            click.echo(f"{names[0]} to {names[-1]} are ready: {len(names)} simulated nodes")
            await nodes.watch_over()


async def _client(settings: AgentSettings) -> tuple[Client, Identity | None]:
    """With a kubeconfig as whoever that says; else as the node, which joins first. Raises CommandError."""
    try:
        if settings.kubeconfig is not None:
            servers = settings.servers
            return Client.from_kubeconfig(settings.kubeconfig, servers=servers, user_agent=_USER_AGENT), None
        identity = Identity(settings.folder, settings.node_name)
        await _join(identity, settings)
        access = identity.access(settings.servers)
        return Client(access, servers_file=identity.servers_file, user_agent=_USER_AGENT), identity
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error


async def _join(identity: Identity, settings: AgentSettings) -> None:
    """Servers that do not answer, and have not written their token yet, are asked for a while."""
    deadline = asyncio.get_running_loop().time() + JOIN_WITHIN_S
    told = ""
    while True:
        try:
            await ensure_identity(identity, settings.servers, settings.token_file)
            return
        except NoAnswer as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise NotReady(f"did not join within {JOIN_WITHIN_S:g} s: {error}") from error
            if str(error) != told:
                told = str(error)
                log.info("waiting for a server to join through", extra={"reason": told})
        except AgentError as error:
            raise CommandError(str(error)) from error
        await asyncio.sleep(JOIN_PAUSE_S)


async def _either(running: asyncio.Future[Any], other: Awaitable[Any]) -> None:
    """Wait for `other`; raise what `running` fails with before."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        waiting.cancel()


def _options(**more: float) -> AgentOptions:
    base = AgentOptions(version=f"v1.33.0+kmini.{package_version()}")
    return msgspec.structs.replace(base, **more)
