"""What is asked of the streams of a container, and what they need of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Refused(Exception):
    """Not served, and nothing was sent yet: answer with `status` and these words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Run `command` beside the container's own process. With `tty` there is no stderr: a terminal has one output."""

    container_id: str
    command: Sequence[str]
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class AttachRequest(msgspec.Struct, frozen=True, kw_only=True):
    """To the container's own process. `tty` and `stdin_once` are the container's, not the client's wish. `stdin_once`:
    its input ends with that of its first client; that of any other stays open, and whose input ends is let go."""

    container_id: str
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False
    stdin_once: bool = False


class PortForwardRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to what listens on the loopback of a pod's network. Each names its port when it is opened; `ports`
    are for clients that cannot (websocket_ports.py)."""

    sandbox_id: str
    ports: Sequence[int] = ()


class SandboxNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pod's processes listen: in the node's own network, else in the namespace at this path; "" when the
    runtime does not say."""

    is_node: bool
    namespace: str = ""


class StreamingRuntime(Protocol):
    """URLs are of one use and last for about a minute; they lead to the node's loopback. Raise RuntimeFailure."""

    async def exec_url(
        self, container_id: str, command: Sequence[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str: ...

    async def attach_url(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> str: ...

    async def port_forward_url(self, sandbox_id: str) -> str: ...

    async def sandbox_network(self, sandbox_id: str) -> SandboxNetwork: ...
