"""Where containerd streams: the CRI's calls that answer with a URL, and where the network of a sandbox is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nodeagent.streams.interface import SandboxNetwork

from .gen import cri_pb2 as pb
from .interface import RuntimeFailure
from .rpc import Connection

_RUNTIME = "/runtime.v1.RuntimeService/"


class _Namespace(msgspec.Struct, frozen=True):
    type: str
    path: str = ""


class _Linux(msgspec.Struct, frozen=True):
    namespaces: list[_Namespace] = []


class _Spec(msgspec.Struct, frozen=True):
    linux: _Linux = _Linux()


class _Info(msgspec.Struct, frozen=True):
    """What containerd says of a sandbox when asked for more, as far as we need it."""

    spec: _Spec | None = msgspec.field(name="runtimeSpec", default=None)


class CriStreaming:
    """A StreamingRuntime, over the connection of a CriRuntime."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        request = pb.ExecRequest(
            container_id=container_id, cmd=command, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty
        )
        return (await self._connection.call(_RUNTIME + "Exec", request, pb.ExecResponse)).url

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)
        return (await self._connection.call(_RUNTIME + "Attach", request, pb.AttachResponse)).url

    async def port_forward_url(self, sandbox_id: str) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id)
        return (await self._connection.call(_RUNTIME + "PortForward", request, pb.PortForwardResponse)).url

    async def sandbox_network(self, sandbox_id: str) -> SandboxNetwork:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id, verbose=True)
        found = await self._connection.call(_RUNTIME + "PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        if found.status.state != pb.SANDBOX_READY:
            raise RuntimeFailure(f"pod sandbox {sandbox_id} does not run")
        try:
            spec = msgspec.json.decode(found.info.get("info", ""), type=_Info).spec
        except msgspec.DecodeError:
            spec = None
        if spec is None:
            return SandboxNetwork(is_node=False)
        networks = [each.path for each in spec.linux.namespaces if each.type == "network"]
        return SandboxNetwork(is_node=not networks, namespace=networks[0] if networks else "")
