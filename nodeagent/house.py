"""What the workers of one node share, and what they ask of others: the seams of a pod's life.

    specs     what the runtime is told: sandboxes and containers, made from the pod and what it refers to
    volumes   what is mounted into containers, there before the sandbox and gone after it
    hooks     what runs when a container has started and before it is stopped
    health    how well what runs is (probes)
    events    what people should know

A step that cannot go on raises NotYet: what it is for waits, shows why, and it is tried again. All of these may be
cancelled in the middle, and are then asked anew: what is done already is not done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, Literal, Protocol

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod, PodStatus

from .clock import Wall
from .health import HealthSource
from .pulls import Pulls
from .runtime.interface import (
    Container,
    ContainerConfig,
    Credentials,
    Image,
    Mount,
    PodKey,
    Runtime,
    Sandbox,
    SandboxConfig,
)
from .status import Ending
from .status_writer import StatusWriter

AGAIN_S = 10.0

NORMAL: Literal["Normal"] = "Normal"
WARNING: Literal["Warning"] = "Warning"


class NotYet(Exception):
    """What a pod needs is not there. `reason` is Kubernetes' word, shown where the container waits
    (CreateContainerConfigError, ContainerCreating, ...); `event` the word in the pod's events, when it is another."""

    def __init__(self, reason: str, message: str, *, event: str = "", again_s: float = AGAIN_S) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.event = event or reason
        self.again_s = again_s


#: Asks for a container's environment. Raises NotYet.
Variables = Callable[[], Awaitable[Mapping[str, str]]]


class PodSpecs(Protocol):
    """Raises NotYet for references that lead nowhere."""

    async def sandbox(self, pod: Pod, attempt: int) -> SandboxConfig: ...

    async def container(
        self, pod: Pod, spec: ContainerSpec, *, attempt: int, image: Image, sandbox: Sandbox, mounts: Sequence[Mount]
    ) -> ContainerConfig:
        """`mounts` are those of its volumes; it may have more."""

    async def variables(self, pod: Pod, spec: ContainerSpec, sandbox: Sandbox) -> Mapping[str, str]:
        """What a container has in its environment."""

    async def credentials(self, pod: Pod, image: str) -> Sequence[Credentials]:
        """To be tried one after another; none: as anybody."""


class Volumes(Protocol):
    async def prepare(self, pod: Pod) -> None:
        """All its volumes are there when this returns; next to nothing is done when they are. Raises NotYet."""

    async def mounts(self, pod: Pod, spec: ContainerSpec, variables: Variables) -> Sequence[Mount]:
        """For one container of a pod that was prepared; its `variables` may be in paths. Raises NotYet."""

    async def release(self, pod: PodKey) -> None:
        """Nothing of the pod runs any more: what it had on the node goes. Also of pods that nobody remembers. Raises
        NotYet."""

    def look(self, pod: Pod) -> Ending | None:
        """It is to run here, and this is how it is now; why it must end, if it must. Quick; no waiting."""

    def listen(self, changed: Callable[[str], None]) -> None:
        """Who is told, by uid, when a pod must end."""

    def keep_only(self, uids: Collection[str]) -> None:
        """These are all pods that this node knows of: what is there of others goes."""


class Hooks(Protocol):
    async def started(self, pod: Pod, spec: ContainerSpec, container_id: str, address: str) -> str:
        """Its postStart hook, to its end. What went wrong, for people: then the container must not run; "" when all
        is well. `address`: where the node reaches the pod."""

    async def stopping(self, pod: Pod, container: Container, address: str, *, grace_period_s: float) -> float:
        """Its preStop hook, for as long as there is time; how much of the time is left."""


class EventSink(Protocol):
    def event(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = ""
    ) -> None:
        """At once; nobody waits for it. `container`: whose it is."""

    def node_event(self, node: Node, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Likewise, of the node itself."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between a node with containers and a simulated one (plain.py). `works` go on as long as the agent
    does; `listeners` are told what the node says of its pods."""

    specs: PodSpecs
    volumes: Volumes
    hooks: Hooks
    health: HealthSource
    events: EventSink
    works: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    listeners: Sequence[Callable[[Pod, PodStatus], None]] = ()


class House(msgspec.Struct, frozen=True, kw_only=True):
    """`starts` and `pulls` bound how many pods start, and images come, at once. `gone` is told of a pod of which
    nothing is left."""

    runtime: Runtime
    runtime_name: str
    parts: Parts
    writer: StatusWriter
    wall: Wall
    random: Random
    host_ips: list[str]
    starts: asyncio.Semaphore
    pulls: Pulls
    gone: Callable[[str], None]

    def address(self, pod: Pod, sandbox: Sandbox | None) -> str:
        """Where the node reaches the pod; "" when nowhere."""
        found = self.host_ips if pod.spec.host_network else sandbox.ips if sandbox is not None else ()
        return found[0] if found else ""
