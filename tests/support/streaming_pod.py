"""One pod on a real containerd, and what streams to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from container_host import Host
from kmini.agent_runtime import open_runtime
from kmini.images import SAMPLE
from stream_clients import node_server

from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.cri_streaming import CriStreaming
from nodeagent.runtime.interface import ContainerConfig, PodKey, SandboxConfig
from nodeagent.streams import AttachRequest, ExecRequest, PortForwardRequest, Streams

POD_CIDR = "10.200.0.0/24"
POD = PodKey(namespace="default", name="p", uid="uid-p")


class StreamingPod:
    """Each of `exec`, `attach`, `port_forward` gives the port of a server at which just that can be asked for."""

    def __init__(self, runtime: CriRuntime, sandbox_id: str, container_id: str) -> None:
        self.runtime = runtime
        self.streaming = CriStreaming(runtime.connection)
        self.streams = Streams(self.streaming)
        self.sandbox_id = sandbox_id
        self.container_id = container_id

    @asynccontextmanager
    async def exec(self, *command: str, **wanted: bool) -> AsyncIterator[int]:
        request = ExecRequest(container_id=self.container_id, command=command, **({"stdout": True} | wanted))
        async with node_server(lambda asked: self.streams.exec(asked, request)) as port:
            yield port

    @asynccontextmanager
    async def attach(self, **wanted: bool) -> AsyncIterator[int]:
        request = AttachRequest(container_id=self.container_id, **({"stdout": True} | wanted))
        async with node_server(lambda asked: self.streams.attach(asked, request)) as port:
            yield port

    @asynccontextmanager
    async def port_forward(self) -> AsyncIterator[int]:
        request = PortForwardRequest(sandbox_id=self.sandbox_id)
        async with node_server(lambda asked: self.streams.port_forward(asked, request)) as port:
            yield port

    async def output(self, *command: str) -> str:
        """Of a command in the container."""
        return (await self.runtime.exec_sync(self.container_id, command, timeout_s=60)).stdout.decode()

    async def has_ended(self) -> bool:
        """Its container. containerd may fail to stop one that is about to end: wait for it before the pod goes."""
        (found,) = await self.runtime.list_containers(pod_uid=POD.uid)
        return found.exited


@asynccontextmanager
async def streaming_pod(
    host: Host, command: Sequence[str] = (), *, host_network: bool = False, **more: Any
) -> AsyncIterator[StreamingPod]:
    """With a container of the sample image that runs this, or serves."""
    async with open_runtime(host.settings) as runtime:
        await runtime.update_pod_cidr(POD_CIDR)
        sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=POD, hostname="p", host_network=host_network))
        try:
            config = ContainerConfig(name="main", attempt=0, image=SAMPLE, command=command, **more)
            container_id = await runtime.create_container(sandbox_id, config)
            await runtime.start_container(container_id)
            yield StreamingPod(runtime, sandbox_id, container_id)
        finally:
            await runtime.remove_sandbox(sandbox_id)
