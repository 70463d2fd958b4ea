"""The parts of a node that only pretends to run containers: names, commands and plain environment; nothing to mount.

Its runtime says how well its containers are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod

from .decide import is_sidecar, lasting_containers
from .health import HealthSource
from .house import Parts, Variables
from .runtime.interface import (
    Container,
    ContainerConfig,
    Credentials,
    Image,
    Mount,
    PodKey,
    PortMapping,
    Sandbox,
    SandboxConfig,
)
from .status import Ending


def plain_parts(health: HealthSource) -> Parts:
    return Parts(specs=PlainSpecs(), volumes=NoVolumes(), hooks=NoHooks(), health=health, events=NoEvents())


class PlainSpecs:
    """What needs nothing but the pod itself."""

    async def sandbox(self, pod: Pod, attempt: int) -> SandboxConfig:
        return plain_sandbox(pod, attempt)

    async def container(
        self, pod: Pod, spec: ContainerSpec, *, attempt: int, image: Image, sandbox: Sandbox, mounts: Sequence[Mount]
    ) -> ContainerConfig:
        return plain_container(pod, spec, attempt=attempt, image_id=image.id, mounts=mounts)

    async def variables(self, pod: Pod, spec: ContainerSpec, sandbox: Sandbox) -> Mapping[str, str]:
        return {}

    async def credentials(self, pod: Pod, image: str) -> Sequence[Credentials]:
        return ()


class NoVolumes:
    async def prepare(self, pod: Pod) -> None:
        """Nothing to do."""

    async def mounts(self, pod: Pod, spec: ContainerSpec, variables: Variables) -> Sequence[Mount]:
        return ()

    async def release(self, pod: PodKey) -> None:
        """Nothing was there."""

    def look(self, pod: Pod) -> Ending | None:
        return None

    def listen(self, changed: Callable[[str], None]) -> None:
        """Nothing will be told."""

    def keep_only(self, uids: Collection[str]) -> None:
        """Nothing is there of others."""


class NoHooks:
    async def started(self, pod: Pod, spec: ContainerSpec, container_id: str, address: str) -> str:
        return ""

    async def stopping(self, pod: Pod, container: Container, address: str, *, grace_period_s: float) -> float:
        return grace_period_s


class NoEvents:
    def event(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = ""
    ) -> None:
        """Nobody hears it."""

    def node_event(self, node: Node, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Nobody hears it."""


def key_of(pod: Pod) -> PodKey:
    return PodKey(namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid)


def plain_sandbox(pod: Pod, attempt: int) -> SandboxConfig:
    grace_s = pod.spec.termination_grace_period_seconds
    return SandboxConfig(
        pod=key_of(pod),
        attempt=attempt,
        hostname=pod.spec.hostname or pod.metadata.name,
        host_network=pod.spec.host_network,
        grace_period_s=30.0 if grace_s is None else float(grace_s),
        labels=pod.metadata.labels,
        annotations=pod.metadata.annotations,
        port_mappings=[
            PortMapping(
                protocol=port.protocol or "TCP",
                container_port=port.container_port,
                host_port=port.host_port,
                host_ip=port.host_ip,
            )
            for spec in lasting_containers(pod)
            for port in spec.ports
            if port.host_port and not pod.spec.host_network
        ],
    )


def plain_container(
    pod: Pod, spec: ContainerSpec, *, attempt: int, image_id: str, mounts: Sequence[Mount]
) -> ContainerConfig:
    return ContainerConfig(
        name=spec.name,
        attempt=attempt,
        image=spec.image,
        image_id=image_id,
        command=spec.command,
        args=spec.args,
        working_dir=spec.working_dir,
        environment=[(each.name, each.value) for each in spec.env if each.value_from is None],
        mounts=mounts,
        stdin=spec.stdin,
        tty=spec.tty,
        runs_to_end=any(each is spec for each in pod.spec.init_containers) and not is_sidecar(spec),
    )
