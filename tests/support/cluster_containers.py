"""Real containers on the hosts of a cluster, seen from the hosts' own containerds all the while, whatever is done to
the hosts: no container of a pod may ever run twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from controllers_process import until
from kmini.agent_runtime import RuntimeSettings, make_runtime
from kmini.cluster import Cluster, Host
from kmini.images import SAMPLE
from rollout_watch import is_ready

from apiserver.api.apps import Deployment
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError
from apiserver.client import Client
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.interface import Container, RuntimeFailure

LOOK_EVERY_S = 0.1
OPEN_WITHIN_S = 180.0


def runtime_of(host: Host) -> CriRuntime:
    """Of the containerd in this host: its socket is a file, and files are everybody's."""
    folder, group = host.data_dir / "agent", f"/{host.group.parent.name}/{host.name}"
    settings = RuntimeSettings(node=host.name, folder=folder, images=folder / "none", socket=None, group=group)
    return make_runtime(settings)


class ContainersWatch:
    """`now` is what runs; `twice` whatever was ever seen to run more than once at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self.now: list[Container] = []
        self.twice: set[tuple[str, str]] = set()
        self.looks = 0
        self._runtimes = {host.name: runtime_of(host) for host in cluster.hosts.values() if host.role == "node"}
        self._seen: dict[str, list[Container]] = {}

    async def look(self) -> None:
        """A host that does not answer has what it had: its containers may run on."""
        for name, runtime in self._runtimes.items():
            try:
                found = await runtime.list_containers()
            except RuntimeFailure:
                continue
            self._seen[name] = [each for each in found if each.running]
        self.now = [each for found in self._seen.values() for each in found]
        counted = Counter((each.pod.uid, each.name) for each in self.now)
        self.twice |= {each for each, times in counted.items() if times > 1}
        self.looks += 1

    async def run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        for runtime in self._runtimes.values():
            await runtime.close()

    def of(self, pod: Pod) -> list[str]:
        """Ids of the pod's containers that run."""
        return sorted(each.id for each in self.now if each.pod.uid == pod.metadata.uid)

    def on(self, host: str) -> CriRuntime:
        return self._runtimes[host]


@asynccontextmanager
async def watching(cluster: Cluster) -> AsyncIterator[ContainersWatch]:
    watch = ContainersWatch(cluster)
    looking = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await watch.close()


def sample_deployment(name: str, replicas: int, **pod: Any) -> Deployment:
    labels = {"app": name}
    body = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "sample", "image": SAMPLE}]} | pod,
            },
        },
    }
    return msgspec.convert(body, Deployment)


async def wait_open(cluster: Cluster) -> None:
    """Until pods are let on every node: one that is ready is still tainted for a moment."""
    async with Client.from_kubeconfig(cluster.kubeconfig) as client:

        async def none_tainted() -> bool:
            try:
                return not [each async for each in client.list(Node) if each.spec.taints]
            except ApiError:
                return False

        await until(none_tainted, what="nodes without taints", timeout_s=OPEN_WITHIN_S)


async def pods_of(client: Client, app: str, *, node: str = "") -> list[Pod]:
    found = client.list(Pod, namespace="default", labels=f"app={app}")
    return [pod async for pod in found if node in ("", pod.spec.node_name)]


async def as_declared(client: Client, watch: ContainersWatch, app: str, replicas: int) -> bool:
    """Exactly these many pods, all ready, and one container of each runs, and nothing else of the app."""
    try:
        pods = await pods_of(client, app)
    except ApiError:
        return False
    uids = sorted(each.metadata.uid for each in pods)
    mine = sorted(each.pod.uid for each in watch.now if each.pod.name.startswith(f"{app}-"))
    return len(pods) == replicas and all(map(is_ready, pods)) and mine == uids


def restarts(pods: Sequence[Pod]) -> dict[str, int]:
    """By uid."""
    return {pod.metadata.uid: sum(each.restart_count for each in pod.status.container_statuses) for pod in pods}
