"""exec and attach on a real containerd, by every protocol that clients speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from container_host import Host
from kmini.agent_runtime import open_runtime
from kmini.images import SAMPLE
from stream_clients import Result, command_by_spdy, command_by_websocket, node_server

from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.cri_streaming import CriStreaming
from nodeagent.runtime.interface import ContainerConfig, PodKey, SandboxConfig
from nodeagent.streams import ExecRequest, Streams

POD_CIDR = "10.200.0.0/24"
PROTOCOLS = ("spdy", "websocket")


class Node(NamedTuple):
    runtime: CriRuntime
    streams: Streams
    container_id: str

    @asynccontextmanager
    async def running(self, *command: str, **wanted: bool) -> AsyncIterator[int]:
        """The port of a server at which exec of this command can be asked for."""
        request = ExecRequest(container_id=self.container_id, command=command, **({"stdout": True} | wanted))
        async with node_server(lambda asked: self.streams.exec(asked, request)) as port:
            yield port


@asynccontextmanager
async def node(host: Host, *command: str, **more: Any) -> AsyncIterator[Node]:
    """With a container that runs this."""
    async with open_runtime(host.settings) as runtime:
        await runtime.update_pod_cidr(POD_CIDR)
        pod = PodKey(namespace="default", name="p", uid="uid-p")
        sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=pod, hostname="p"))
        try:
            config = ContainerConfig(name="main", attempt=0, image=SAMPLE, command=command, **more)
            container_id = await runtime.create_container(sandbox_id, config)
            await runtime.start_container(container_id)
            yield Node(runtime, Streams(CriStreaming(runtime.connection)), container_id)
        finally:
            await runtime.remove_sandbox(sandbox_id)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def command(protocol: str, port: int, stdin: bytes | None = None) -> Result:
    if protocol == "spdy":
        return await command_by_spdy(port, stdin=stdin)
    return await command_by_websocket(port, stdin=stdin)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command_has_its_own_output_errors_and_exit_code(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with (
            node(host) as made,
            made.running("sh", "-c", "echo out; echo err >&2; exit 7", stderr=True) as port,
        ):
            found = await command(protocol, port)
            assert (found.stdout, found.stderr, found.exit_code) == (b"out\n", b"err\n", 7)

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stdin_that_ends_ends_cat(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with node(host) as made, made.running("cat", stdin=True, stderr=True) as port:
            found = await command(protocol, port, b"x\n")
            assert (found.stdout, found.exit_code) == (b"x\n", 0)

    run(work())
