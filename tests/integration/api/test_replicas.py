"""Three replicas: who is alive, what is left without a majority, and nobody shows what is old as if it were new."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_cluster import HOSTS, ApiCluster, api_cluster
from api_server import Answered, RunningApi
from kmini.dev.control_plane import ControlPlane
from peers import eventually
from watch_stream import watch_stream

from apiserver import live

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
OBJECTS = (
    "/api/v1/namespaces/default/services/kubernetes",
    "/api/v1/namespaces/default/endpoints/kubernetes",
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
)

NEVER_A_HANG_S = 60.0  # a request waits 3 s for a leader

Test = Callable[[ApiCluster], Awaitable[None]]


def run(folder: Path, test: Test) -> None:
    async def body() -> None:
        async with api_cluster(folder) as cluster:
            await test(cluster)

    asyncio.run(body())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes is seen soon; a lease ends because a test ends it, and not because the machine stood still."""
    monkeypatch.setattr(live, "LEASE_S", 120)
    monkeypatch.setattr(live, "LEAVE_S", 30.0)
    monkeypatch.setattr(live, "RENEW_S", 0.5)
    monkeypatch.setattr(live, "LOOK_S", 0.1)


def addresses_in(endpoints: Any) -> set[str]:
    return {each["ip"] for subset in endpoints.get("subsets", []) for each in subset.get("addresses", [])}


def addresses_in_slice(slice_: Any) -> set[str]:
    return {address for each in slice_.get("endpoints") or [] for address in each["addresses"]}


@contextlib.asynccontextmanager
async def told_addresses(api: RunningApi) -> AsyncIterator[Callable[[set[str]], Awaitable[None]]]:
    """`wait(addresses)` returns once default/kubernetes has these, by its Endpoints, read from a watch."""
    path = "/api/v1/namespaces/default/endpoints"
    async with watch_stream(api, path, fieldSelector="metadata.name=kubernetes") as watch:
        current: set[str] = set()

        async def wait(wanted: set[str]) -> None:
            nonlocal current
            while current != wanted:
                current = addresses_in((await watch.next())["object"])

        yield wait


# --- who is alive -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_default_kubernetes_follows_those_that_are_alive(tmp_path: Path) -> None:
    async def test(cluster: ApiCluster) -> None:
        leader = await cluster.leader()
        first, second = (name for name in HOSTS if name != leader)
        api = cluster.apis[first]
        hosts = set(HOSTS.values())
        async with told_addresses(api) as wait:
            await wait(hosts)
            service, endpoints = [(await api.json("GET", path)).body for path in OBJECTS[:2]]
            assert service["spec"]["clusterIP"] == "10.96.0.1"
            assert endpoints["subsets"][0]["ports"] == [{"name": "https", "port": api.port, "protocol": "TCP"}]
            async with watch_stream(api, OBJECTS[2].rpartition("/")[0]) as slices:  # it is written last
                while addresses_in_slice((await slices.next())["object"]) != hosts:
                    pass
            await cluster.stop(second)
            left = await api.store.get(live.SERVERS + second.encode())
            assert left is None, "one that takes its leave is forgotten before it is gone"
            await wait(hosts - {HOSTS[second]})

    run(tmp_path, test)


@pytest.mark.usefixtures("quick")
def test_one_that_dies_is_forgotten_when_its_lease_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LEASE_S", 10)  # it is looked for while it lasts

    async def test(cluster: ApiCluster) -> None:
        dying = await cluster.leader()
        api = next(api for name, api in cluster.apis.items() if name != dying)
        async with told_addresses(api) as wait:
            await wait(set(HOSTS.values()))
            await cluster.kill(dying)
            assert api.store.peek(live.SERVERS + dying.encode()) is not None
            await wait(set(HOSTS.values()) - {HOSTS[dying]})

    run(tmp_path, test)


@pytest.mark.usefixtures("quick")
def test_what_somebody_did_to_default_kubernetes_is_undone(tmp_path: Path) -> None:
    async def test(cluster: ApiCluster) -> None:
        api = cluster.all[0]
        async with told_addresses(api) as wait:
            await wait(set(HOSTS.values()))
            assert (await api.json("PATCH", OBJECTS[1], {"subsets": []}, headers=MERGE)).code == 200
            await wait(set())
            await wait(set(HOSTS.values()))
            assert (await api.json("DELETE", OBJECTS[0])).code == 200
            async with watch_stream(api, "/api/v1/namespaces/default/services") as watch:
                again = await watch.next()
                while again["object"]["metadata"]["name"] != "kubernetes":
                    again = await watch.next()
            assert again["object"]["spec"]["clusterIP"] == "10.96.0.1"

    run(tmp_path, test)


@pytest.mark.usefixtures("quick")
def test_a_lease_that_ended_is_taken_anew(tmp_path: Path) -> None:
    """As after a long silence: a server that is alive is told of again. It may be so soon that nobody looks between."""

    async def test(cluster: ApiCluster) -> None:
        api = cluster.all[0]
        async with told_addresses(api) as wait:
            await wait(set(HOSTS.values()))
        key = live.SERVERS + b"n2"
        found = api.store.peek(key)
        assert found is not None
        await api.store.lease_revoke(found.lease)

        def is_taken_anew() -> bool:
            current = api.store.peek(key)
            return current is not None and current.lease != found.lease

        await eventually(is_taken_anew)
        async with told_addresses(api) as wait:
            await wait(set(HOSTS.values()))

    run(tmp_path, test)


# --- without a majority -----------------------------------------------------------------------------------


def test_without_a_majority_nothing_is_promised_and_nothing_hangs(tmp_path: Path) -> None:
    async def test(cluster: ApiCluster) -> None:
        await cluster.all[0].create(MAPS, {"metadata": {"name": "a"}})
        await asyncio.gather(*(api.json("GET", f"{MAPS}/a") for api in cluster.all))
        leader = await cluster.leader()
        left = next(name for name in HOSTS if name != leader)
        api = cluster.apis[left]
        async with watch_stream(api, MAPS, resourceVersion=api.store.revision) as watch:
            for name in [name for name in HOSTS if name != left]:
                await cluster.kill(name)
            async with asyncio.timeout(NEVER_A_HANG_S):
                answers = await asyncio.gather(
                    api.json("GET", f"{MAPS}/a"),
                    api.json("GET", MAPS),
                    api.json("GET", f"{MAPS}?labelSelector=a%3Db"),
                    api.json("GET", f"{MAPS}?watch=1"),
                    api.json("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}}),
                    api.json("DELETE", f"{MAPS}/a"),
                )
                for answer in answers:
                    assert (answer.code, answer.body["reason"]) == (503, "ServiceUnavailable"), answer
                    assert answer.headers["Retry-After"]
                created = await api.json("POST", MAPS, {"metadata": {"name": "b"}})
                assert created.code in (503, 504), created
            old = await api.json("GET", f"{MAPS}/a?resourceVersion=0")
            assert old.code == 200, "who asks for what is here gets it"
            assert (await api.json("GET", "/readyz")).code != 200
            assert (await api.json("GET", "/livez")).code == 200
            await cluster.stores.start(*[name for name in HOSTS if name != left])
            await cluster.stores.wait_for_leader()
            written = await api.create(MAPS, {"metadata": {"name": "c"}})
            event = await watch.next()
            while event["object"]["metadata"]["name"] != "c":
                event = await watch.next()
            assert event["object"] == written, "the watch went on through all of it"

    run(tmp_path, test)


def test_a_replica_that_is_cut_off_never_shows_what_is_old() -> None:
    """It may have been the leader, and not know better yet."""
    with ControlPlane(replicas=3) as plane:
        cut = plane.leader
        others = [name for name in plane.names if name != cut]
        servers = plane.servers
        context = _tls(plane)

        async def ask(
            session: aiohttp.ClientSession, method: str, server: str, path: str, body: Any = None
        ) -> Answered:
            async with session.request(method, servers[server] + path, json=body, ssl=context) as response:
                return Answered(response.status, await response.json(), response.headers)

        async def before() -> None:
            async with aiohttp.ClientSession() as session:
                body = {"metadata": {"name": "a"}, "data": {"n": "old"}}
                assert (await ask(session, "POST", cut, MAPS, body)).code == 201

        async def after() -> None:
            async with aiohttp.ClientSession() as session:
                body = {"metadata": {"name": "a"}, "data": {"n": "new"}}
                stale = asyncio.create_task(ask(session, "GET", cut, f"{MAPS}/a"))
                answer = await ask(session, "PUT", others[0], f"{MAPS}/a", body)
                while answer.code != 200:  # until the others have a leader
                    answer = await ask(session, "PUT", others[0], f"{MAPS}/a", body)
                more = (ask(session, "GET", cut, f"{MAPS}/a"), ask(session, "GET", cut, MAPS))
                for answer in await asyncio.gather(stale, *more):
                    assert (answer.code, answer.body["reason"]) == (503, "ServiceUnavailable"), answer
                assert (await ask(session, "GET", others[1], f"{MAPS}/a")).body["data"] == {"n": "new"}

        async def healed() -> None:
            async with aiohttp.ClientSession() as session:
                answer = await ask(session, "GET", cut, f"{MAPS}/a")
                while answer.code != 200:
                    answer = await ask(session, "GET", cut, f"{MAPS}/a")
                assert answer.body["data"] == {"n": "new"}

        asyncio.run(before())
        plane.partition(cut)
        asyncio.run(after())
        plane.heal()
        asyncio.run(healed())


def _tls(plane: ControlPlane) -> Any:
    import base64
    import json
    import ssl

    config = json.loads(plane.kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    user = config["users"][0]["user"]
    pair = plane.folder / "test-client.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    context.load_cert_chain(pair)
    return context
