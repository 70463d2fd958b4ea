"""No node is given more than it has, whoever binds, and its record is always what its pods make of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from api_cluster import ApiCluster, LoopOf, api_cluster
from api_server import Answered, RunningApi
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.api.core.pod import Pod
from apiserver.api.pod_requests import requests_of
from apiserver.effects.bound import Bound, counted_node, record_key

PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"
MERGE = {"Content-Type": "application/merge-patch+json"}
CPU_M, PODS_MAX = 1_000, 6
_numbers = itertools.count()


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def cluster(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> ApiCluster:
    return loop.enter(api_cluster(tmp_path_factory.mktemp("cluster")))


async def node(api: RunningApi, name: str, cpu_m: int = CPU_M, pods: int = PODS_MAX) -> None:
    has = {"cpu": f"{cpu_m}m", "memory": "1Gi", "pods": str(pods)}
    await api.create(NODES, {"metadata": {"name": name}, "status": {"allocatable": has, "capacity": has}})


def pod(name: str, cpu_m: int = 0, *, node_name: str = "", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": f"{cpu_m}m"}} if cpu_m else {}
    container = {"name": "app", "image": "app:1", "resources": resources}
    more = {"nodeName": node_name} if node_name else {}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **more, **spec}}


async def bind(api: RunningApi, name: str, to: str) -> Answered:
    return await api.json("POST", f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": to}})


async def bound_to(api: RunningApi, name: str) -> dict[str, int]:
    """What the node's record says, which must be what its pods ask for together."""
    await api.store.linearize()
    found = api.store.peek(record_key(name))
    record = msgspec.msgpack.decode(found.value, type=Bound).used if found is not None else {}
    total: dict[str, int] = {}
    for each in (await api.json("GET", "/api/v1/pods")).body["items"]:
        typed = msgspec.convert(each, Pod)
        if counted_node(typed) == name:
            for resource, number in requests_of(typed).items():
                total[resource] = total.get(resource, 0) + number
    assert record == {resource: number for resource, number in total.items() if number}
    return record


# --- what fits --------------------------------------------------------------------------------------------


def test_schedulers_on_three_replicas_never_over_commit_a_node(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for round_ in range(4):
            name = f"crowded-{round_}"
            await node(cluster.all[0], name)
            pods = [f"{name}-p{number}" for number in range(9)]
            await asyncio.gather(*(cluster.all[0].create(PODS, pod(each, 300)) for each in pods))

            async def schedule(number: int, each: str, name: str = name) -> bool:
                """As a scheduler: again until it is bound or does not fit."""
                while True:
                    answer = await bind(cluster.all[number % 3], each, name)
                    if answer.code == 201:
                        return True
                    assert answer.code == 409, answer
                    if "not enough cpu" in answer.body["message"]:
                        return False

            fitted = await asyncio.gather(*(schedule(number, each) for number, each in enumerate(pods)))
            assert sum(fitted) == 3
            assert await bound_to(cluster.all[1], name) == {"cpu": 900, "pods": 3}

    loop.run(test())


def test_one_pod_is_bound_once(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for name in ("here", "there", "elsewhere"):
            await node(cluster.all[0], name)
        for number in range(6):
            await cluster.all[0].create(PODS, pod(f"once-{number}", 100))
            answers = await asyncio.gather(
                *(
                    bind(api, f"once-{number}", to)
                    for api, to in zip(cluster.all, ("here", "there", "elsewhere"), strict=True)
                )
            )
            assert sorted(answer.code for answer in answers) == [201, 409, 409]
        records = [await bound_to(cluster.all[0], name) for name in ("here", "there", "elsewhere")]
        assert sum(record.get("pods", 0) for record in records) == 6

    loop.run(test())


def test_a_refusal_says_what_is_short(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        one, two, _ = cluster.all
        await node(one, "small", cpu_m=500, pods=2)
        await one.create(PODS, pod("large", 600))
        answer = await bind(two, "large", "small")
        assert (answer.code, answer.body["reason"]) == (409, "Conflict")
        assert "node small has not enough cpu: requested 600m, used 0m, capacity 500m" in answer.body["message"]
        for name in ("t1", "t2", "t3"):
            await one.create(PODS, pod(name))
        assert [(await bind(two, name, "small")).code for name in ("t1", "t2")] == [201, 201]
        answer = await bind(two, "t3", "small")
        assert "not enough pods: requested 1, used 2, capacity 2" in answer.body["message"]
        await one.create(PODS, pod("exotic", containers=[_exotic()]))
        answer = await bind(two, "exotic", "small")
        assert answer.code == 409
        answer = await bind(two, "t3", "nowhere")
        assert 'node "nowhere" not found' in answer.body["message"]
        assert await bound_to(one, "small") == {"pods": 2}

    loop.run(test())


def _exotic() -> dict[str, Any]:
    amount = {"example.com/gpu": "1"}
    return {"name": "app", "image": "app:1", "resources": {"requests": amount, "limits": amount}}


def test_a_node_that_shrinks_meanwhile_is_looked_at_again(loop: LoopOf, cluster: ApiCluster) -> None:
    async def test() -> None:
        for number in range(8):
            name = f"shrinking-{number}"
            await node(cluster.all[0], name)
            await cluster.all[0].create(PODS, pod(f"{name}-p", 600))
            less = {"status": {"allocatable": {"cpu": "500m"}}}
            shrunk, answer = await asyncio.gather(
                cluster.all[1].json("PATCH", f"{NODES}/{name}/status", less, headers=MERGE),
                bind(cluster.all[2], f"{name}-p", name),
            )
            assert shrunk.code == 200
            if answer.code == 201:
                there = (await cluster.all[0].json("GET", f"{PODS}/{name}-p")).body
                assert int(there["metadata"]["resourceVersion"]) < int(shrunk.body["metadata"]["resourceVersion"])
            else:
                assert answer.code == 409

    loop.run(test())


# --- what frees -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["delete", "evict", "succeed", "fail", "collection"])
def test_a_pod_that_ends_is_counted_out_once(loop: LoopOf, cluster: ApiCluster, way: str) -> None:
    async def test() -> None:
        one, two, three = cluster.all
        name = f"frees-{way}"
        await node(one, name)
        for each in ("stays", "goes"):
            body = pod(f"{name}-{each}", 400, terminationGracePeriodSeconds=0)
            body["metadata"]["labels"] = {"way": f"{way}-{each}"}
            await one.create(PODS, body)
            assert (await bind(two, f"{name}-{each}", name)).code == 201
        going = f"{PODS}/{name}-goes"
        if way == "delete":
            answers = await asyncio.gather(*(api.json("DELETE", going) for api in cluster.all))
            assert {answer.code for answer in answers} <= {200, 404}
        elif way == "evict":
            body = {"metadata": {"name": f"{name}-goes"}}
            answers = await asyncio.gather(*(api.json("POST", f"{going}/eviction", body) for api in cluster.all))
            assert {answer.code for answer in answers} <= {201, 404}
        elif way == "collection":
            answer = await three.json("DELETE", f"{PODS}?labelSelector=way%3D{way}-goes")
            assert answer.code == 200
        else:
            phase = {"status": {"phase": "Succeeded" if way == "succeed" else "Failed"}}
            answers = await asyncio.gather(
                *(api.json("PATCH", f"{going}/status", phase, headers=MERGE) for api in cluster.all)
            )
            assert {answer.code for answer in answers} <= {200, 409}
        assert await bound_to(three, name) == {"cpu": 400, "pods": 1}
        await one.json("DELETE", f"{going}?gracePeriodSeconds=0")
        assert await bound_to(three, name) == {"cpu": 400, "pods": 1}
        await one.create(PODS, pod(f"{name}-next", 600))
        assert (await bind(two, f"{name}-next", name)).code == 201

    loop.run(test())


def test_a_pod_created_with_its_node_counts_and_one_that_is_going_does_until_it_is_gone(
    loop: LoopOf, cluster: ApiCluster
) -> None:
    async def test() -> None:
        one, two, _ = cluster.all
        await node(one, "static")
        await one.create(PODS, pod("static-p", 700, node_name="static"))
        assert await bound_to(two, "static") == {"cpu": 700, "pods": 1}
        await one.create(PODS, pod("static-q", 400))
        assert (await bind(two, "static-q", "static")).code == 409
        marked = await one.json("DELETE", f"{PODS}/static-p")
        assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 30
        assert await bound_to(two, "static") == {"cpu": 700, "pods": 1}
        await one.json("DELETE", f"{PODS}/static-p?gracePeriodSeconds=0")
        assert await bound_to(two, "static") == {}
        assert one.store.peek(record_key("static")) is None
        assert (await bind(two, "static-q", "static")).code == 201

    loop.run(test())


# --- anything at all --------------------------------------------------------------------------------------

NAMES = [f"r{number}" for number in range(6)]
STEP = st.tuples(
    st.sampled_from(("create", "bind", "bind", "static", "finish", "run", "delete", "mark", "evict")),
    st.sampled_from(NAMES),
    st.sampled_from((100, 300, 500)),
    st.sampled_from(("x", "y")),
)


async def one_step(api: RunningApi, step: tuple[str, str, int, str], to: str) -> Answered:
    what, name, cpu_m, _ = step
    match what:
        case "create" | "static":
            node_name = to if what == "static" else ""
            return await api.json("POST", PODS, pod(name, cpu_m, node_name=node_name))
        case "bind":
            return await bind(api, name, to)
        case "finish" | "run":
            phase = {"status": {"phase": "Succeeded" if what == "finish" else "Running"}}
            return await api.json("PATCH", f"{PODS}/{name}/status", phase, headers=MERGE)
        case "delete":
            return await api.json("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
        case "evict":
            return await api.json("POST", f"{PODS}/{name}/eviction", {"metadata": {"name": name}})
    return await api.json("DELETE", f"{PODS}/{name}")


@settings(max_examples=30)
@given(st.lists(STEP, min_size=4, max_size=40), st.integers(1, 8), st.booleans())
def test_the_record_is_what_the_pods_make_of_it(
    loop: LoopOf, cluster: ApiCluster, steps: list[Any], at_once: int, static: bool
) -> None:
    async def test() -> None:
        nodes = {each: f"random-{next(_numbers)}-{each}" for each in "xy"}
        await asyncio.gather(*(node(cluster.all[0], name) for name in nodes.values()))
        mine = [step for step in steps if static or step[0] not in ("static", "run")]  # those are not refused
        for first in range(0, len(mine), at_once):
            answers = await asyncio.gather(
                *(
                    one_step(cluster.all[place % 3], step, nodes[step[3]])
                    for place, step in enumerate(mine[first : first + at_once])
                )
            )
            assert {answer.code for answer in answers} <= {200, 201, 404, 409, 422}, answers
            for name in nodes.values():
                used = await bound_to(cluster.all[first % 3], name)
                assert static or (used.get("cpu", 0) <= CPU_M and used.get("pods", 0) <= PODS_MAX)
        await asyncio.gather(*(cluster.all[0].json("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0") for name in NAMES))
        for name in nodes.values():
            assert await bound_to(cluster.all[0], name) == {}

    loop.run(test())
