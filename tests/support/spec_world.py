"""A pod, and what it may refer to: for tests of what the runtime is told."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, Literal

import msgspec
from fake_api import FakeApi

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.containers import Container
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import ApiError
from apiserver.client import Client, Informer
from nodeagent.runtime.interface import ContainerConfig, Image, PodKey, Sandbox
from nodeagent.spec.specs import ContainerSpecs, NodeFacts

NETWORK = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)
IMAGE = Image(id="sha256:1", names=("registry.test/main:1",))
SANDBOX = Sandbox(
    id="s1",
    pod=PodKey(namespace="shop", name="web", uid="u1"),
    attempt=0,
    ready=True,
    created_at=0.0,
    ips=("10.244.1.7",),
)
GIB = 1 << 30


def container(name: str = "main", **fields: Any) -> Container:
    """`fields` in the API's names."""
    return msgspec.convert({"name": name, "image": "registry.test/main:1"} | fields, Container)


def pod(*containers: Container, meta: dict[str, Any] | None = None, quality: str = "BestEffort", **spec: Any) -> Pod:
    """`shop/web` on node-1."""
    body = {
        "metadata": {"namespace": "shop", "name": "web", "uid": "u1"} | (meta or {}),
        "spec": {"nodeName": "node-1", "serviceAccountName": "seller", "containers": []} | spec,
        "status": {"qosClass": quality},
    }
    made = msgspec.convert(body, Pod)
    made.spec.containers = list(containers) or [container()]
    return made


class Objects:
    """References. What is not here is nowhere; `down` makes the API silent."""

    def __init__(self) -> None:
        self.config_maps: dict[str, ConfigMap] = {}
        self.secrets: dict[str, Secret] = {}
        self.down = False

    def config(self, name: str, **data: str) -> None:
        self.config_maps[name] = ConfigMap(data=data)

    def secret_of(self, name: str, type_: str = "Opaque", **data: bytes) -> None:
        self.secrets[name] = Secret(
            data={key: base64.b64encode(value).decode() for key, value in data.items()}, type=type_
        )

    async def config_map(self, namespace: str, name: str) -> ConfigMap | None:
        self._check()
        return self.config_maps.get(name) if namespace == "shop" else None

    async def secret(self, namespace: str, name: str) -> Secret | None:
        self._check()
        return self.secrets.get(name) if namespace == "shop" else None

    def _check(self) -> None:
        if self.down:
            raise ApiError("nobody answers")


class Told:
    """An EventSink that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []  # reason, message, container

    def event(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = ""
    ) -> None:
        self.events.append((reason, message, container))

    def node_event(self, node: Node, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        raise AssertionError("nothing of the node is said here")


class SpecWorld:
    def __init__(self, client: Client, profiles: Path = Path("/nowhere")) -> None:
        self.objects = Objects()
        self.told = Told()
        self.services = Informer(client, Service)
        self.facts = NodeFacts(
            host_ips=("192.0.2.7",),
            allocatable={"cpu": "4", "memory": "8Gi"},
            memory_capacity=8 * GIB,
            profiles=profiles,
            app_armor=False,
            oom_group=False,
        )
        self.specs = ContainerSpecs(self.facts, NETWORK, self.objects, self.services, self.told)

    async def made(self, wanted: Pod, sandbox: Sandbox = SANDBOX, image: Image = IMAGE) -> ContainerConfig:
        """Of its first container."""
        return await self.specs.container(
            wanted, wanted.spec.containers[0], attempt=0, image=image, sandbox=sandbox, mounts=()
        )


def run_spec(story: Any) -> None:
    """`story(world)`, with services known."""

    async def main() -> None:
        api = FakeApi()
        async with api.client("test") as client:
            world = SpecWorld(client)
            async with world.services:
                await world.services.wait_for_sync()
                await story(world)

    asyncio.run(main())
