"""A server that is busy, and one that goes down: nobody is starved, nothing cut off, all know where to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_cluster import ApiCluster, api_cluster
from api_server import Answered, RunningApi, api_server
from store_cluster import until
from watch_stream import watch_stream

from apiserver.admission.plugin import Admission
from apiserver.http.limits import Limits

MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
ANN: dict[str, Any] = {"user": "ann", "groups": ["editors"]}
FEW = Limits(writes=2, reads=2, queued=2, queue_timeout_s=20.0, watches=2)


class Held:
    """Creations of ConfigMaps stop in admission until they are let go."""

    def __init__(self, api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting = 0
        self.order: list[str] = []
        self.go = asyncio.Event()
        admit = api.server.admission.admit

        async def held(request: Admission) -> None:
            if request.operation == "CREATE" and request.resource.key == "configmaps":
                self.waiting += 1
                await self.go.wait()
                self.order.append(request.name)
            await admit(request)

        monkeypatch.setattr(api.server.admission, "admit", held)


async def editors(api: RunningApi) -> None:
    """ann may do everything, without being one of the system's."""
    await api.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "editors"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "editors"}],
        },
    )


def creating(api: RunningApi, name: str, **who: Any) -> asyncio.Task[Answered]:
    return asyncio.create_task(api.json("POST", MAPS, {"metadata": {"name": name}}, **who))


def test_a_full_class_queues_refuses_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with api_server(tmp_path, limits=FEW) as api:
            await editors(api)
            assert (await api.json("GET", MAPS, **ANN)).code == 200
            held = Held(api, monkeypatch)
            lane = api.server.gate.writes
            running = [creating(api, f"r{number}", **ANN) for number in range(2)]
            await until(lambda: held.waiting == 2)
            queued = []
            for number in range(2):
                queued.append(creating(api, f"q{number}", **ANN))
                await until(lambda number=number: lane.queued == number + 1)  # type: ignore[misc]
            refused = await api.json("POST", MAPS, {"metadata": {"name": "x"}}, **ANN)
            assert (refused.code, refused.body["reason"]) == (429, "TooManyRequests")
            assert refused.headers["Retry-After"] == "1"
            assert (await api.json("GET", MAPS, **ANN)).code == 200, "reads have places of their own"
            lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
            assert (await api.json("POST", LEASES, lease, **ANN)).code == 201, "and so has leader election"
            metrics = (await api.json("GET", "/metrics")).body.decode()
            assert 'apiserver_current_inflight_requests{class="write"} 2.0' in metrics
            assert 'apiserver_current_inqueue_requests{class="write"} 2.0' in metrics
            held.go.set()
            answers = await asyncio.gather(*running, *queued)
            assert [answer.code for answer in answers] == [201] * 4
            assert held.order[2:] == ["q0", "q1"], "first come, first served"
            assert (lane.running, lane.queued) == (0, 0)

    asyncio.run(test())


def test_who_hangs_up_gives_its_place_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with api_server(tmp_path, limits=FEW) as api:
            await editors(api)
            held = Held(api, monkeypatch)
            lane = api.server.gate.writes
            tasks = [creating(api, f"r{number}", **ANN) for number in range(2)]
            await until(lambda: held.waiting == 2)
            tasks += [creating(api, "queued", **ANN)]
            await until(lambda: lane.queued == 1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: (lane.running, lane.queued) == (0, 0))
            held.go.set()
            assert (await creating(api, "after", **ANN)).code == 201

    asyncio.run(test())


def test_watches_have_a_bound_and_give_their_place_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with api_server(tmp_path, limits=FEW) as api:
            async with watch_stream(api, MAPS), watch_stream(api, MAPS):
                answer = await api.json("GET", f"{MAPS}?watch=1")
                assert (answer.code, answer.body["reason"]) == (429, "TooManyRequests")
            await until(lambda: api.server.gate.watches == 0)
            async with watch_stream(api, MAPS) as watch:
                assert (await watch.next())["type"] == "ADDED"

    asyncio.run(test())


# --- going down -------------------------------------------------------------------------------------------


def test_a_server_that_goes_down_finishes_what_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(cluster: ApiCluster) -> None:
        api = cluster.apis["n2"]
        held = Held(api, monkeypatch)
        running = creating(api, "running")
        await until(lambda: held.waiting == 1)
        open_before = await api.session.get(api.url + "/livez", ssl=api.tls())
        await open_before.read()
        async with watch_stream(api, MAPS, allowWatchBookmarks="1", resourceVersion=api.store.revision) as watch:
            await until(lambda: len(api.server.dispatcher.sessions) == 1)
            stopping = asyncio.create_task(_stopped(api))
            await until(lambda: api.server.frontend.draining)
            *_, last = await watch.rest()
            assert last["type"] == "BOOKMARK"
        new = await api.json("GET", MAPS)
        assert (new.code, new.body["reason"]) == (503, "ServiceUnavailable")
        assert new.headers["Retry-After"]
        assert new.headers["Connection"] == "close"
        new_watch = await api.json("GET", f"{MAPS}?watch=1")
        assert new_watch.code == 503
        assert (await api.json("GET", "/readyz")).code != 200
        assert not stopping.done(), "it waits for what runs"
        held.go.set()
        assert (await running).code == 201
        await stopping
        version = last["object"]["metadata"]["resourceVersion"]
        async with watch_stream(cluster.apis["n1"], MAPS, resourceVersion=version) as watch:
            event = await watch.next()
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "running")

    run_cluster(tmp_path, test)


async def _stopped(api: RunningApi) -> None:
    await api.server.__aexit__(None, None, None)


def test_a_long_list_under_way_comes_whole(tmp_path: Path) -> None:
    """It is read while the server goes down."""

    async def test() -> None:
        async with api_server(tmp_path) as api:
            for first in range(0, 1_200, 200):
                bodies = [
                    {"metadata": {"name": f"m{n}"}, "data": {"x": "x" * 4_000}} for n in range(first, first + 200)
                ]
                await asyncio.gather(*(api.create(MAPS, body) for body in bodies))
            async with api.session.get(api.url + MAPS, ssl=api.tls()) as response:
                begun = await response.content.read(1_000)
                stopping = asyncio.create_task(_stopped(api))
                await until(lambda: api.server.frontend.draining)
                rest = await response.read()
            await stopping
            assert (begun + rest).count(b'"name":"m') == 1_200

    asyncio.run(test())


def run_cluster(folder: Path, test: Callable[[ApiCluster], Awaitable[None]]) -> None:
    async def body() -> None:
        async with api_cluster(folder) as cluster:
            await test(cluster)

    asyncio.run(body())
