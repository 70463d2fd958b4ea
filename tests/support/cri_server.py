"""Stands in for containerd's CRI half on a socket: sandboxes and containers are records, calls are counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from nodeagent.runtime.cri import CriRuntime, CriSettings
from nodeagent.runtime.gen import cri_pb2 as pb

_RUNTIME = {
    "Version": pb.VersionRequest,
    "Status": pb.StatusRequest,
    "RunPodSandbox": pb.RunPodSandboxRequest,
    "StopPodSandbox": pb.StopPodSandboxRequest,
    "RemovePodSandbox": pb.RemovePodSandboxRequest,
    "PodSandboxStatus": pb.PodSandboxStatusRequest,
    "ListPodSandbox": pb.ListPodSandboxRequest,
    "CreateContainer": pb.CreateContainerRequest,
    "StartContainer": pb.StartContainerRequest,
    "StopContainer": pb.StopContainerRequest,
    "RemoveContainer": pb.RemoveContainerRequest,
    "ListContainers": pb.ListContainersRequest,
    "ContainerStatus": pb.ContainerStatusRequest,
    "ExecSync": pb.ExecSyncRequest,
}
_IMAGES = {
    "PullImage": pb.PullImageRequest,
    "ImageStatus": pb.ImageStatusRequest,
    "RemoveImage": pb.RemoveImageRequest,
}


class Refusal(Exception):
    """What a call is to be answered with."""

    def __init__(self, code: grpc.StatusCode, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class CriServer:
    """`refusals`: by name of the call; `calls` counts them, `requests` keeps the last of each."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.requests: dict[str, Any] = {}
        self.refusals: dict[str, Refusal] = {}
        self.sandboxes: dict[str, pb.PodSandboxStatus] = {}
        self.containers: dict[str, tuple[str, pb.ContainerStatus]] = {}

    @asynccontextmanager
    async def on(self, socket: Path) -> AsyncIterator[None]:
        server = grpc.aio.server()
        for service, methods in (("runtime.v1.RuntimeService", _RUNTIME), ("runtime.v1.ImageService", _IMAGES)):
            handlers = {name: self._handler(name, kind) for name, kind in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)
            await server.wait_for_termination()
            await asyncio.to_thread(socket.unlink, missing_ok=True)

    def _handler(self, name: str, request_type: Any) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self.calls[name] += 1
            self.requests[name] = request
            try:
                if name in self.refusals:
                    raise self.refusals[name]
                work: Callable[[Any], Any] | None = getattr(self, name, None)
                made = work(request) if work else None
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.words)
            return made if made is not None else getattr(pb, f"{name}Response")()

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_type.FromString,
            response_serializer=lambda made: made.SerializeToString(),
        )

    # --- calls that do something --------------------------------------------------------------------------

    def Version(self, _: pb.VersionRequest) -> pb.VersionResponse:  # the CRI's names
        return pb.VersionResponse(runtime_name="containerd", runtime_version="v1.2.3")

    def RunPodSandbox(self, request: pb.RunPodSandboxRequest) -> pb.RunPodSandboxResponse:
        config, made = request.config, f"s{len(self.sandboxes)}"
        self.sandboxes[made] = pb.PodSandboxStatus(
            id=made, metadata=config.metadata, labels=config.labels, annotations=config.annotations
        )
        return pb.RunPodSandboxResponse(pod_sandbox_id=made)

    def StopPodSandbox(self, request: pb.StopPodSandboxRequest) -> None:
        self._sandbox(request.pod_sandbox_id).state = pb.SANDBOX_NOTREADY

    def RemovePodSandbox(self, request: pb.RemovePodSandboxRequest) -> None:
        del self.sandboxes[self._sandbox(request.pod_sandbox_id).id]

    def PodSandboxStatus(self, request: pb.PodSandboxStatusRequest) -> pb.PodSandboxStatusResponse:
        return pb.PodSandboxStatusResponse(status=self._sandbox(request.pod_sandbox_id))

    def ListPodSandbox(self, request: pb.ListPodSandboxRequest) -> pb.ListPodSandboxResponse:
        chosen = dict(request.filter.label_selector).items()
        found = [each for each in self.sandboxes.values() if chosen <= dict(each.labels).items()]
        items = [pb.PodSandbox(id=each.id, state=each.state, labels=each.labels) for each in found]
        return pb.ListPodSandboxResponse(items=items)

    def ExecSync(self, request: pb.ExecSyncRequest) -> pb.ExecSyncResponse:
        """A command is how many bytes it prints."""
        return pb.ExecSyncResponse(stdout=b"x" * int(request.cmd[0]))

    def CreateContainer(self, request: pb.CreateContainerRequest) -> pb.CreateContainerResponse:
        config, made = request.config, f"c{len(self.containers)}"
        status = pb.ContainerStatus(
            id=made, metadata=config.metadata, labels=config.labels, annotations=config.annotations
        )
        self.containers[made] = (request.pod_sandbox_id, status)
        return pb.CreateContainerResponse(container_id=made)

    def StartContainer(self, request: pb.StartContainerRequest) -> None:
        self._container(request.container_id).state = pb.CONTAINER_RUNNING

    def StopContainer(self, request: pb.StopContainerRequest) -> None:
        status = self._container(request.container_id)
        status.state, status.exit_code = pb.CONTAINER_EXITED, 137

    def RemoveContainer(self, request: pb.RemoveContainerRequest) -> None:
        del self.containers[self._container(request.container_id).id]

    def ListContainers(self, request: pb.ListContainersRequest) -> pb.ListContainersResponse:
        chosen = dict(request.filter.label_selector).items()
        found = [(sandbox, each) for sandbox, each in self.containers.values() if chosen <= dict(each.labels).items()]
        return pb.ListContainersResponse(
            containers=[
                pb.Container(id=each.id, pod_sandbox_id=sandbox, state=each.state, labels=each.labels)
                for sandbox, each in found
            ]
        )

    def ContainerStatus(self, request: pb.ContainerStatusRequest) -> pb.ContainerStatusResponse:
        return pb.ContainerStatusResponse(status=self._container(request.container_id))

    def _sandbox(self, sandbox_id: str) -> pb.PodSandboxStatus:
        if sandbox_id not in self.sandboxes:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"sandbox {sandbox_id}: not found")
        return self.sandboxes[sandbox_id]

    def _container(self, container_id: str) -> pb.ContainerStatus:
        if container_id not in self.containers:
            raise Refusal(grpc.StatusCode.NOT_FOUND, f"container {container_id}: not found")
        return self.containers[container_id][1]


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[CriServer, CriRuntime]]:
    """A server and a runtime that talks to it."""
    server = CriServer()
    runtime = runtime_of(folder)
    try:
        async with server.on(folder / "socket"):
            yield server, runtime
    finally:
        await runtime.close()


def runtime_of(folder: Path, *, layers: Path | None = None) -> CriRuntime:
    settings = CriSettings(
        node="n1",
        socket=folder / "socket",
        logs=folder / "logs",
        cgroup_parent="/kmini-test/kubepods",
        cni=folder / "cni",
        leases=folder / "leases",
        layers=layers,
        bridge="kmini0",
        mtu=1500,
    )
    return CriRuntime(settings)
