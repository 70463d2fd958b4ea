"""A host that lost its power while no server can be reached goes on by what it knew: its pods run again, and find each
other and those of other hosts by the names of Services. Once it hears of the servers, only their word counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cluster_containers import ContainersWatch, as_declared, pods_of, sample_deployment, watching
from controllers_process import until
from kmini.cluster import Cluster
from service_objects import service
from sure_writes import create_surely, delete_surely

from apiserver.api.apps import Deployment
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service, ServicePort
from apiserver.client import Client
from nodeagent.runtime.interface import RuntimeFailure

APP, REPLICAS, PORT = "alone", 4, 8080
WITHIN_S = 120.0


@asynccontextmanager
async def rolled_out(cluster: Cluster, client: Client, watch: ContainersWatch) -> AsyncIterator[list[Pod]]:
    """Pods on both hosts, behind a Service."""

    async def all_run() -> bool:
        return await as_declared(client, watch, APP, REPLICAS)

    async def none_left() -> bool:
        return not await pods_of(client, APP) and not [each for each in watch.now if each.pod.name.startswith(APP)]

    ports = [ServicePort(port=80, target_port=PORT, protocol="TCP")]
    await create_surely(client, service(APP, cluster_ip="", ports=ports, selector={"app": APP}))
    await create_surely(client, sample_deployment(APP, REPLICAS))
    try:
        await until(all_run, what="it is rolled out", timeout_s=WITHIN_S)
        yield await pods_of(client, APP)
    finally:
        cluster.heal()
        await delete_surely(client, Deployment, APP)
        await delete_surely(client, Service, APP)
        await until(none_left, what="nothing is left of what was deleted", timeout_s=WITHIN_S)


async def known_on_disk(cluster: Cluster, host: str, pods: Sequence[Pod]) -> None:
    """The host has noted its own pods, and where all are; and the half minute is over after which a kernel has written
    whatever it was given."""
    folder = cluster.hosts[host].data_dir / "agent"
    own = [pod.metadata.uid for pod in pods if pod.spec.node_name == host]

    async def noted() -> bool:
        cluster_file = folder / "cluster.json"
        text = cluster_file.read_text() if cluster_file.exists() else ""
        has_pods = all((folder / "checkpoint" / f"{uid}.json").exists() for uid in own)
        return has_pods and all(f'"{pod.status.pod_ip}"' in text for pod in pods)

    await until(noted, what=f"{host} has noted what it knows", timeout_s=WITHIN_S)
    await asyncio.to_thread(cluster.run, host, ["sync", "-f", str(folder)])


async def answered(watch: ContainersWatch, host: str, pods: Sequence[Pod]) -> None:
    """By the name of the Service, from inside a pod of this host, by each of these pods."""
    wanted, heard = {pod.metadata.name for pod in pods}, set[str]()
    asking = next(pod for pod in pods if pod.spec.node_name == host)

    async def by_all() -> bool:
        for container in watch.of(asking):
            try:
                done = await watch.on(host).exec_sync(container, ("wget", "-qO-", f"http://{APP}/"), timeout_s=20.0)
            except RuntimeFailure:
                continue
            heard.add(done.stdout.decode().strip())
        return wanted <= heard

    try:
        await until(by_all, what=f"a pod on {host} reaches all", timeout_s=WITHIN_S)
    except AssertionError as error:
        error.add_note(f"of {sorted(wanted)} it heard {sorted(heard)}")
        raise


@pytest.mark.timeout(600)
def test_a_host_without_power_and_servers_goes_on_alone(cluster: Cluster) -> None:
    async def body() -> None:
        async with (
            Client.from_kubeconfig(cluster.kubeconfig) as client,
            watching(cluster) as watch,
            rolled_out(cluster, client, watch) as pods,
        ):
            own = [pod for pod in pods if pod.spec.node_name == "n1"]
            assert 0 < len(own) < len(pods)
            before = {pod.metadata.uid: watch.of(pod) for pod in own}
            await known_on_disk(cluster, "n1", pods)
            servers = [host.name for host in cluster.hosts.values() if host.role == "server"]
            await asyncio.to_thread(cluster.partition, "n1", servers)
            await asyncio.to_thread(cluster.power_off, "n1")
            await asyncio.to_thread(cluster.start, "n1")

            async def run_again() -> bool:
                return all(watch.of(pod) and watch.of(pod) != before[pod.metadata.uid] for pod in own)

            await until(run_again, what="its pods run again", timeout_s=WITHIN_S)
            await answered(watch, "n1", pods)
            await asyncio.to_thread(cluster.heal)
            await answered(watch, "n2", pods)

            async def as_before() -> bool:
                return await as_declared(client, watch, APP, REPLICAS)

            await until(as_before, what="exactly what was declared runs", timeout_s=WITHIN_S)
            assert {pod.metadata.uid for pod in await pods_of(client, APP)} == {pod.metadata.uid for pod in pods}
            assert not watch.twice

    try:
        asyncio.run(body())
    except BaseException as error:
        error.add_note(f"n1: {_end_of(cluster.hosts['n1'].log)}")
        raise


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-6000:]
