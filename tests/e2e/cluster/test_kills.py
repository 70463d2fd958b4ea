"""Whatever is killed, cut off or without power: no container of a pod runs twice, and in the end exactly what was
declared runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cluster_containers import (
    ContainersWatch,
    as_declared,
    pods_of,
    restarts,
    sample_deployment,
    watching,
)
from container_processes import is_first
from controllers_process import until
from kmini.cluster import Cluster
from sure_writes import create_surely, delete_surely

from apiserver.api.apps import Deployment
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.client import Client
from nodeagent.runtime.interface import Container

REPLICAS = 4
ROLLED_OUT_WITHIN_S = 180.0
RESTARTED_WITHIN_S = 180.0  # a pod that never ended before is started at once; the rest is the machine's
NOTICED_WITHIN_S = 180.0  # a watch that says nothing is left after 21 s
HOST_WITHIN_S = 240.0


class World(NamedTuple):
    cluster: Cluster
    client: Client
    watch: ContainersWatch

    async def pods(self, node: str = "") -> list[Pod]:
        return await pods_of(self.client, "web", node=node)

    async def whole(self, within_s: float) -> None:
        async def condition() -> bool:
            return await as_declared(self.client, self.watch, "web", REPLICAS)

        await until(condition, what="exactly what was declared runs", timeout_s=within_s)
        assert not self.watch.twice

    async def restarted(self, node: str) -> None:
        """Every container of the node."""

        async def condition() -> bool:
            counted = restarts(await self.pods(node))
            return bool(counted) and all(each >= 1 for each in counted.values())

        await until(condition, what=f"the containers of {node} were started again", timeout_s=HOST_WITHIN_S)

    def containers(self) -> list[str]:
        return sorted(each.id for each in self.watch.now)

    def a_container(self, node: str, pods: list[Pod]) -> Container:
        uids = {pod.metadata.uid for pod in pods if pod.spec.node_name == node}
        return next(each for each in self.watch.now if each.pod.uid in uids)


@asynccontextmanager
async def rolled_out(cluster: Cluster) -> AsyncIterator[World]:
    async with Client.from_kubeconfig(cluster.kubeconfig) as client, watching(cluster) as watch:
        world = World(cluster, client, watch)
        await create_surely(client, sample_deployment("web", REPLICAS))
        try:
            await world.whole(ROLLED_OUT_WITHIN_S)
            assert {pod.spec.node_name for pod in await world.pods()} == {"n1", "n2"}
            yield world
        finally:
            cluster.heal()
            await delete_surely(client, Deployment, "web")

            async def nothing_left() -> bool:
                return not await world.pods() and not world.containers()

            await until(nothing_left, what="nothing is left of what was deleted", timeout_s=HOST_WITHIN_S)


def run_story(cluster: Cluster, story: Callable[[World], Awaitable[None]]) -> None:
    async def body() -> None:
        async with rolled_out(cluster) as world:
            await story(world)

    asyncio.run(body())


def kill_container(container: Container) -> None:
    """kill -9 of its first process; a container's group is named by its id."""
    found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cgroup") if _names(path, container.id)]
    (first,) = filter(is_first, found)
    os.kill(first, signal.SIGKILL)


def _names(path: Path, container_id: str) -> bool:
    try:
        return f"/{container_id}\n" in path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # it ended meanwhile


@pytest.mark.timeout(900)
@pytest.mark.parametrize("process", ["agent", "containerd"])
def test_kill_9_of_a_daemon_leaves_containers_alone(cluster: Cluster, process: str) -> None:
    async def story(world: World) -> None:
        containers, before = world.containers(), restarts(await world.pods())
        await asyncio.to_thread(cluster.kill, "n1", process=process)
        await asyncio.to_thread(cluster.start, "n1")
        await asyncio.to_thread(cluster.wait_ready, "n1")
        await world.whole(RESTARTED_WITHIN_S)
        dead = world.a_container("n1", await world.pods())
        kill_container(dead)  # who came back has its hands on what runs

        async def restarted() -> bool:
            return restarts(await world.pods()).get(dead.pod.uid, 0) == before[dead.pod.uid] + 1

        await until(restarted, what="the killed container was started again", timeout_s=RESTARTED_WITHIN_S)
        await world.whole(RESTARTED_WITHIN_S)
        assert set(containers) - set(world.containers()) == {dead.id}, "the others never stopped"

    run_story(cluster, story)


@pytest.mark.timeout(900)
def test_a_host_that_is_killed_starts_its_pods_again(cluster: Cluster) -> None:
    async def story(world: World) -> None:
        before = {pod.metadata.uid for pod in await world.pods()}
        await asyncio.to_thread(cluster.kill, "n2")
        await asyncio.to_thread(cluster.start, "n2")
        await world.restarted("n2")
        await world.whole(HOST_WITHIN_S)
        assert {pod.metadata.uid for pod in await world.pods()} == before

    run_story(cluster, story)


@pytest.mark.timeout(900)
def test_a_host_without_power_starts_its_pods_again(cluster: Cluster) -> None:
    """The images were unpacked a moment ago: their layers are not on the disk yet, or they were made sure of."""

    async def story(world: World) -> None:
        before = {pod.metadata.uid for pod in await world.pods()}
        await asyncio.to_thread(cluster.power_off, "n1")
        await asyncio.to_thread(cluster.start, "n1")
        await world.restarted("n1")
        await world.whole(HOST_WITHIN_S)
        assert {pod.metadata.uid for pod in await world.pods()} == before

    run_story(cluster, story)


@pytest.mark.timeout(900)
def test_a_node_that_hears_no_server_keeps_its_pods_running(cluster: Cluster) -> None:
    async def story(world: World) -> None:
        servers = [host.name for host in cluster.hosts.values() if host.role == "server"]
        pods = await world.pods()
        await asyncio.to_thread(cluster.partition, "n1", servers)
        dead = world.a_container("n1", pods)
        kill_container(dead)

        async def alive_again() -> bool:
            return any(each.pod.uid == dead.pod.uid and each.id != dead.id for each in world.watch.now)

        await until(alive_again, what="it is started again without the API", timeout_s=RESTARTED_WITHIN_S)
        await asyncio.to_thread(cluster.heal)

        async def told() -> bool:
            return restarts(await world.pods())[dead.pod.uid] == 1

        await until(told, what="the API hears of it", timeout_s=NOTICED_WITHIN_S)
        await world.whole(NOTICED_WITHIN_S)
        assert {pod.metadata.uid for pod in await world.pods()} == {pod.metadata.uid for pod in pods}

    run_story(cluster, story)


@pytest.mark.timeout(900)
def test_an_agent_that_starts_without_the_api_goes_on_with_its_pods(cluster: Cluster) -> None:
    async def story(world: World) -> None:
        servers = [host.name for host in cluster.hosts.values() if host.role == "server"]
        pods, containers = await world.pods(), world.containers()
        await asyncio.to_thread(cluster.partition, "n1", servers)
        await asyncio.to_thread(cluster.kill, "n1", process="agent")
        await asyncio.to_thread(cluster.start, "n1")
        dead = world.a_container("n1", pods)
        kill_container(dead)

        async def alive_again() -> bool:
            return any(each.pod.uid == dead.pod.uid and each.id != dead.id for each in world.watch.now)

        await until(alive_again, what="what it remembers is started again", timeout_s=RESTARTED_WITHIN_S)
        await asyncio.to_thread(cluster.heal)
        await world.whole(NOTICED_WITHIN_S)
        assert set(containers) - set(world.containers()) == {dead.id}

    run_story(cluster, story)


@pytest.mark.timeout(900)
def test_a_killed_leader_is_nobodys_trouble(cluster: Cluster) -> None:
    async def story(world: World) -> None:
        containers = world.containers()
        leader = await asyncio.to_thread(cluster.wait_leader)
        await asyncio.to_thread(cluster.kill, leader)
        await asyncio.to_thread(cluster.wait_leader, other_than=leader)
        dead = world.a_container("n1", await world.pods())
        kill_container(dead)

        async def written() -> bool:
            return restarts(await world.pods())[dead.pod.uid] == 1

        await until(written, what="agents write to another server", timeout_s=NOTICED_WITHIN_S)
        await world.whole(NOTICED_WITHIN_S)
        assert set(containers) - set(world.containers()) == {dead.id}
        nodes = [node async for node in world.client.list(Node)]
        assert len(nodes) == 2

    run_story(cluster, story)
