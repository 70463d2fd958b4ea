"""A hundred simulated nodes on a real control plane."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import pytest
from joined_agent import phase_is, pod_named, until
from kmini.testing.fixture import Kmini

from apiserver import storage
from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.client import Client
from nodeagent.runtime.faults import Fault
from nodeagent.simulation import SimulatedNodes

NODES, PODS = 100, 300


async def all_beat(client: Client, nodes: Iterable[str]) -> bool:
    leases = [each async for each in client.list(Lease, namespace="kube-node-lease")]
    return {each.metadata.name for each in leases} >= set(nodes)


def test_a_hundred_nodes_run_pods(kmini: Kmini, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "REQUEST_TIMEOUT_S", 60.0)  # all of this is one process: it may take long

    async def story() -> None:
        async with kmini.client as client, kmini.make_client() as theirs:
            zones = ("a", "b", "c")
            nodes = SimulatedNodes(
                theirs,
                count=NODES,
                prefix="many",
                labels=lambda number: {"topology.kubernetes.io/zone": zones[number % 3]},
                remove=True,
            )
            async with nodes:
                await nodes.wait_registered()
                found = [each async for each in client.list(Node) if each.metadata.name in nodes.names]
                assert len(found) == NODES
                assert Counter(each.metadata.labels["topology.kubernetes.io/zone"] for each in found) == Counter(
                    {"a": 33, "b": 34, "c": 33}
                )
                await asyncio.gather(
                    *(
                        client.create(pod_named(f"p{number}", kmini.namespace, node=nodes.names[number % NODES]))
                        for number in range(PODS)
                    )
                )

                async def all_run() -> bool:
                    pods = [each async for each in client.list(Pod, namespace=kmini.namespace)]
                    return len(pods) == PODS and all(each.status.phase == "Running" for each in pods)

                await until(all_run, "300 running pods", within_s=150)
                assert nodes.running_containers == PODS
                addresses = [each.status.pod_ip async for each in client.list(Pod, namespace=kmini.namespace)]
                assert len(set(addresses)) == PODS
                await until(lambda: all_beat(client, nodes.names), "a lease of each node")
                nodes.fail({"app": "p7"}, Fault.exits(code=3))

                async def crashed() -> bool:
                    status = (await client.get(Pod, "p7")).status.container_statuses[0]
                    return status.state.waiting is not None and status.state.waiting.reason == "CrashLoopBackOff"

                await until(crashed, "a crash loop")
                await client.delete_collection(Pod, namespace=kmini.namespace)

                async def none_left() -> bool:
                    return not [each async for each in client.list(Pod, namespace=kmini.namespace)]

                await until(none_left, "no pods", within_s=150)

                async def nothing_runs() -> bool:
                    return nodes.running_containers == 0

                await until(nothing_runs, "no containers")
            assert not [each async for each in client.list(Node) if each.metadata.name in nodes.names]

    asyncio.run(story())


def test_a_node_that_falls_silent_lets_its_lease_run_out(kmini: Kmini) -> None:
    async def story() -> None:
        async with (
            kmini.client as client,
            kmini.make_client() as theirs,
            SimulatedNodes(theirs, count=2, prefix="quiet", remove=True) as nodes,
        ):
            await nodes.wait_registered()
            await until(lambda: all_beat(client, nodes.names), "two leases")
            await nodes.stop_node("quiet-1")
            last = await client.get(Lease, "quiet-1", namespace="kube-node-lease")
            other = await client.get(Lease, "quiet-2", namespace="kube-node-lease")

            async def other_beats() -> bool:
                now = await client.get(Lease, "quiet-2", namespace="kube-node-lease")
                return now.spec.renew_time != other.spec.renew_time

            await until(other_beats, "the other's pulse")
            assert await client.get(Lease, "quiet-1", namespace="kube-node-lease") == last
            await nodes.start_node("quiet-1")

            async def back() -> bool:
                return await client.get(Lease, "quiet-1", namespace="kube-node-lease") != last

            await until(back, "the pulse of who came back")

    asyncio.run(story())


def test_a_pod_that_does_not_fit_is_refused_by_its_node(kmini: Kmini) -> None:
    """Who names a node in the spec goes past the scheduler: only the node itself can say no."""

    async def story() -> None:
        async with (
            kmini.client as client,
            kmini.make_client() as theirs,
            SimulatedNodes(theirs, count=1, prefix="small", capacity={"cpu": "1"}, remove=True) as nodes,
        ):
            await nodes.wait_registered()
            big = [{"name": "main", "image": "i", "resources": {"requests": {"cpu": "2"}}}]
            await client.create(pod_named("big", kmini.namespace, node="small-1", containers=big))
            pod = await phase_is(client, "big", "Failed")
            words = "Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000"
            assert (pod.status.reason, pod.status.message) == ("OutOfcpu", f"Pod was rejected: {words}")
            assert nodes.running_containers == 0

    asyncio.run(story())
