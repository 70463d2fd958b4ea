"""The volumes of a node over an API in memory, on virtual time and a real folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
from fake_api import FakeApi
from mounting_place import mounting_place
from virtual_time import run

from apiserver.api.core.config import ConfigMap, Secret
from apiserver.api.core.containers import Container
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client
from nodeagent.plain import key_of
from nodeagent.references import References
from nodeagent.runtime.interface import Mount
from nodeagent.spec.fields import Place
from nodeagent.volumes.folders import PodFolders
from nodeagent.volumes.keeping import Keeper
from nodeagent.volumes.kinds import Kinds
from nodeagent.volumes.pod_volumes import PodVolumes
from nodeagent.volumes.reclaiming import Reclaimer
from nodeagent.volumes.tokens import Tokens

NODE = "node-1"
Objects = list[dict[str, Any]]


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def event(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = ""
    ) -> None:
        self.told.append((reason, message))

    def node_event(self, node: Node, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self.told.append((reason, message))


class VolumesWorld:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api = FakeApi()
        self.api.put(Node(metadata=ObjectMeta(name=NODE, labels={"kubernetes.io/hostname": NODE})))
        self.new_agent()

    def new_agent(self) -> None:
        """Another process: it knows nothing but what is on the disk and in the API."""
        self.client: Client = self.api.client("agent")
        self.folders = PodFolders(self.folder / "pods")
        self.references, self.tokens = References(self.client), Tokens(self.client)
        self.events = Events()
        place = Place(host_ips=["192.0.2.1"], allocatable={"cpu": "2", "memory": "1Gi"})
        kinds = Kinds(self.client, self.folders, self.references, self.tokens, node=NODE, place=place, memory=64 << 20)
        self.volumes = PodVolumes(self.folders, self.references, self.tokens, kinds)
        self.keeper = Keeper(self.volumes, self.events, random=Random(1))
        self.reclaimer = Reclaimer(self.client, NODE, self.folders)

    # --- objects

    def config_map(self, name: str, **data: str) -> None:
        self.api.put(ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data))

    def secret(self, name: str, **data: str) -> None:
        self.api.put(Secret(metadata=ObjectMeta(name=name, namespace="default"), data=data))

    def pod(self, volumes: Objects, mounts: Objects | None = None, *, name: str = "web", **spec: Any) -> Pod:
        """Bound to the node. It mounts all volumes when no mounts are given."""
        if mounts is None:
            mounts = [{"name": each["name"], "mountPath": f"/{each['name']}"} for each in volumes]
        container = {"name": "main", "image": "i", "volumeMounts": mounts}
        body = {"nodeName": NODE, "containers": [container], "volumes": volumes} | spec
        return self.api.put(msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": body}, Pod))

    # --- what is seen

    async def ready(self, pod: Pod) -> dict[str, Mount]:
        """By the path in the container."""
        await self.volumes.prepare(pod)
        return await self.mounts(pod)

    async def mounts(self, pod: Pod) -> dict[str, Mount]:
        spec: Container = pod.spec.containers[0]

        async def variables() -> dict[str, str]:
            return {each.name: each.value for each in spec.env}

        return {each.container_path: each for each in await self.volumes.mounts(pod, spec, variables)}

    async def shown(self, pod: Pod, path: str) -> dict[str, str]:
        """The files of a mount."""
        return files_in((await self.mounts(pod))[path])

    async def release(self, pod: Pod) -> None:
        await self.volumes.release(key_of(pod))


def files_in(mount: Mount) -> dict[str, str]:
    top = Path(mount.host_path)
    return {each.name: each.read_text() for each in top.iterdir() if not each.name.startswith("..")}


def run_volumes(folder: Path, story: Callable[[VolumesWorld], Awaitable[None]]) -> None:
    """Skips the test where no mounts can be made."""

    async def main(place: Path) -> None:
        world = VolumesWorld(place)
        await story(world)
        world.api.check()

    with ExitStack() as stack:
        place = stack.enter_context(mounting_place(folder))
        run(main(place))
