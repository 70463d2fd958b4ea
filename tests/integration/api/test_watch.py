"""Watches over HTTP: how they are asked for, what they look like, and what they survive."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from api_cluster import ApiCluster, LoopOf, api_cluster
from api_server import RunningApi, api_server
from store_cluster import until
from watch_stream import watch_stream

from apiserver.http import watch as watch_module
from apiserver.listening import listener

MAPS = "/api/v1/namespaces/{}/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
EVENT_STREAM = {"Accept": "text/event-stream"}
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def api(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> RunningApi:
    return loop.enter(api_server(tmp_path_factory.mktemp("api")))


@pytest.fixture(scope="module")
def cluster(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> ApiCluster:
    return loop.enter(api_cluster(tmp_path_factory.mktemp("cluster")))


def config_map(name: str, size: int = 0, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"x": "x" * size}}


async def maps_of(api: RunningApi, namespace: str) -> str:
    """The path of the ConfigMaps of a new namespace, in which there is none."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = MAPS.format(namespace)
    await api.json("DELETE", f"{path}/kube-root-ca.crt")
    return path


def version_of(body: Any) -> str:
    return str(body["metadata"]["resourceVersion"])


# --- where they begin -------------------------------------------------------------------------------------


def test_without_a_version_everything_that_is_there_is_added_first(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "begin")
        for name in "ab":
            await api.create(path, config_map(name))
        queries: list[dict[str, Any]] = [{}, {"resourceVersion": 0}]
        for query in queries:
            async with watch_stream(api, path, **query) as watch:
                assert await watch.next_names(2) == [("ADDED", "a"), ("ADDED", "b")]
                changed = (await api.json("PUT", f"{path}/a", config_map("a", colour="red"))).body
                event = await watch.next()
                assert (event["type"], event["object"]) == ("MODIFIED", changed)
                await api.json("PUT", f"{path}/a", config_map("a"))
                await watch.next()

    loop.run(test())


def test_from_a_version_on_only_what_is_new(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "onward")
        first = await api.create(path, config_map("a"))
        second = await api.create(path, config_map("b"))
        gone = await api.json("DELETE", f"{path}/a")
        assert gone.code == 200
        async with watch_stream(api, path, resourceVersion=version_of(first)) as watch:
            added, deleted = await watch.next(), await watch.next()
            assert added == {"type": "ADDED", "object": second}
            assert deleted["type"] == "DELETED"
            shown = deleted["object"]
            assert int(version_of(shown)) > int(version_of(second)), "its deletion's version, to resume from"
            assert {**shown, "metadata": {**shown["metadata"], "resourceVersion": version_of(first)}} == first

    loop.run(test())


def test_initial_events_and_their_end(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "initial")
        await api.create(path, config_map("a"))
        query: dict[str, Any] = {
            "sendInitialEvents": "true",
            "allowWatchBookmarks": "true",
            "resourceVersionMatch": "NotOlderThan",
        }
        async with watch_stream(api, path, **query) as watch:
            assert await watch.next_names(1) == [("ADDED", "a")]
            mark = await watch.next()
            assert mark["type"] == "BOOKMARK"
            assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            await api.create(path, config_map("b"))
            assert await watch.next_names(1) == [("ADDED", "b")]
        async with watch_stream(api, path, sendInitialEvents="false", resourceVersionMatch="NotOlderThan") as watch:
            await api.create(path, config_map("c"))
            assert await watch.next_names(1) == [("ADDED", "c")]
        refused = await api.json("GET", f"{path}?watch=1&sendInitialEvents=true")
        assert (refused.code, refused.body["reason"]) in [(400, "BadRequest"), (422, "Invalid")]

    loop.run(test())


def test_a_compacted_version_is_gone(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "compacted")
        first = await api.create(path, config_map("a"))
        await api.create(path, config_map("b"))
        await api.store.compact(api.store.revision)
        answer = await api.json("GET", f"{path}?watch=1&resourceVersion={version_of(first)}")
        assert (answer.code, answer.body["reason"]) == (410, "Expired")

    loop.run(test())


def test_selectors_turn_changes_into_additions_and_deletions(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "selected")
        async with (
            watch_stream(api, path, labelSelector="colour=red", resourceVersion=api.store.revision) as red,
            watch_stream(api, path, fieldSelector="metadata.name=b") as b,
        ):
            for name, colour in (("a", "green"), ("a", "red"), ("a", "red"), ("b", "red"), ("a", "green")):
                body = config_map(name, colour=colour, n=str(api.store.revision))
                if (await api.json("PUT", f"{path}/{name}", body)).code == 404:
                    await api.create(path, body)
            await api.json("DELETE", f"{path}/b")
            assert await red.next_names(5) == [
                ("ADDED", "a"),
                ("MODIFIED", "a"),
                ("ADDED", "b"),
                ("DELETED", "a"),
                ("DELETED", "b"),
            ]
            assert await b.next_names(2) == [("ADDED", "b"), ("DELETED", "b")]

    loop.run(test())


def test_pods_are_watched_by_node_as_agents_do(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        has = {"cpu": "4", "pods": "10"}
        await api.create("/api/v1/nodes", {"metadata": {"name": "w1"}, "status": {"allocatable": has}})
        async with watch_stream(api, "/api/v1/pods", fieldSelector="spec.nodeName=w1") as watch:
            for name in ("mine", "other"):
                spec = {"containers": [{"name": "app", "image": "app:1"}]}
                await api.create(PODS, {"metadata": {"name": name}, "spec": spec})
            answer = await api.json("POST", f"{PODS}/mine/binding", {"target": {"kind": "Node", "name": "w1"}})
            assert answer.code == 201
            assert await watch.next_names(1) == [("ADDED", "mine")]
            await api.json("DELETE", f"{PODS}/mine")
            await api.json("DELETE", f"{PODS}/mine?gracePeriodSeconds=0")
            assert await watch.next_names(2) == [("MODIFIED", "mine"), ("DELETED", "mine")]

    loop.run(test())


# --- how they look ----------------------------------------------------------------------------------------


def test_tables_have_columns_in_the_first_event_only(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "tables")
        await api.create(path, config_map("a"))
        async with watch_stream(api, path, headers=TABLE) as watch:
            await api.create(path, config_map("b"))
            first, second = await watch.next(), await watch.next()
            assert first["object"]["kind"] == second["object"]["kind"] == "Table"
            assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
            assert not second["object"].get("columnDefinitions")
            assert second["object"]["rows"][0]["cells"][0] == "b"
            assert second["object"]["rows"][0]["object"]["metadata"]["name"] == "b"

    loop.run(test())


def test_metadata_alone(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "partial")
        async with watch_stream(api, path, headers=PARTIAL) as watch:
            await api.create(path, config_map("a", 10))
            event = await watch.next()
            assert event["object"]["kind"] == "PartialObjectMetadata"
            assert "data" not in event["object"]

    loop.run(test())


def test_the_native_api_watches_too(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        container = {"name": "app", "image": "app:1", "resources": {"cpu": "100m", "memory": "128Mi"}}
        body = {
            "apiVersion": "v1alpha1",
            "kind": "Pod",
            "metadata": {"name": "native"},
            "spec": {"containers": [container]},
        }
        start = api.store.revision
        async with (
            watch_stream(api, "/api/v1alpha1/pods", resourceVersion=start) as native,
            watch_stream(api, "/api/v1/pods", resourceVersion=start) as stored,
        ):
            made = await api.create("/api/v1alpha1/pods", body)
            event = await native.next()
            assert (event["type"], event["object"]) == ("ADDED", made)
            assert event["object"]["apiVersion"] == "v1alpha1"
            same = await stored.next()
            assert same["object"]["apiVersion"] == "v1"
            assert version_of(same["object"]) == version_of(made)
            assert same["object"]["spec"]["containers"][0]["resources"]["requests"] == container["resources"]
            await api.json("DELETE", f"{PODS}/native")
            assert await native.next_names(1) == [("DELETED", "native")]

    loop.run(test())


async def sse_block(watch: Any) -> dict[str, str]:
    """One server-sent event, by field."""
    found = {}
    while (line := (await watch.line()).decode().rstrip("\n")) != "":
        name, _, value = line.partition(": ")
        found[name] = value
    return found


def test_server_sent_events_resume_with_the_last_id(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "sse")
        await api.create(path, config_map("a"))
        async with watch_stream(api, path, headers=EVENT_STREAM) as watch:
            assert watch.response.headers["Content-Type"].startswith("text/event-stream")
            first, place = await sse_block(watch), await sse_block(watch)
            assert first["event"] == "ADDED"
            assert "id" not in first, "what was there comes in no order to resume from"
            assert list(place) == ["id"]
        await api.create(path, config_map("b"))
        async with watch_stream(api, path, headers={**EVENT_STREAM, "Last-Event-ID": place["id"]}) as watch:
            event = await sse_block(watch)
            shown = json.loads(event["data"])
            assert (event["event"], shown["metadata"]["name"]) == ("ADDED", "b")
            assert event["id"] == version_of(shown)

    loop.run(test())


# --- how they end -----------------------------------------------------------------------------------------


def test_a_watch_ends_with_its_time_and_a_bookmark(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await maps_of(api, "timed")
        version = api.store.revision
        async with watch_stream(api, path, timeoutSeconds=1, allowWatchBookmarks="1", resourceVersion=version) as watch:
            last = (await watch.rest())[-1]
        assert last["type"] == "BOOKMARK"
        assert int(version_of(last["object"])) >= version

    loop.run(test())


def test_bookmarks_come_to_those_who_asked(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path, other = await maps_of(api, "marks"), "/api/v1/namespaces/marks/secrets"
        async with (
            watch_stream(api, path, allowWatchBookmarks="true") as marked,
            watch_stream(api, path) as plain,
        ):
            written = await api.create(other, {"metadata": {"name": "s"}})
            api.server.dispatcher.bookmark_all()
            mark = await marked.next()
            while int(version_of(mark["object"])) < int(version_of(written)):  # one came by itself just before
                mark = await marked.next()
            assert mark["type"] == "BOOKMARK"
            await api.create(path, config_map("a"))
            assert (await plain.next())["type"] == "ADDED"

    loop.run(test())


def test_a_slow_reader_is_dropped_and_resumes_without_a_gap(
    loop: LoopOf, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_MAX", 256 * 1024)
    monkeypatch.setattr(listener, "SHUTDOWN_TIMEOUT_S", 60.0)  # it is slow, and the machine may be too

    def connect() -> ssl.SSLSocket:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((api.host, api.port))
        return api.tls().wrap_socket(plain, server_hostname=api.host)

    def read_all(connection: ssl.SSLSocket) -> bytes:
        found = b""
        while data := connection.recv(1 << 20):
            found += data
        return found

    async def test() -> None:
        path = await maps_of(api, "slow")
        start, sessions = api.store.revision, api.server.dispatcher.sessions
        await until(lambda: not sessions)
        connection = await asyncio.to_thread(connect)
        request = f"GET {path}?watch=1&resourceVersion={start} HTTP/1.1\r\nHost: api\r\n\r\n"
        await asyncio.to_thread(connection.sendall, request.encode())
        await until(lambda: len(sessions) == 1)
        written: list[str] = []
        while sessions:
            assert len(written) < 100, "who takes nothing is dropped"
            written.append(version_of(await api.create(path, config_map(f"m{len(written)}", 400_000))))
        with connection:
            raw = await asyncio.to_thread(read_all, connection)
        lines = [line for line in raw.partition(b"\r\n\r\n")[2].split(b"\n") if line.startswith(b'{"type"')]
        *events, bookmark = [json.loads(line) for line in lines]
        assert bookmark["type"] == "BOOKMARK"
        seen = [version_of(event["object"]) for event in events]
        assert seen == written[: len(seen)]
        assert version_of(bookmark["object"]) == (seen[-1] if seen else str(start))
        assert len(seen) < len(written), "it was too slow for all of them"
        async with watch_stream(api, path, resourceVersion=version_of(bookmark["object"])) as watch:
            missed = [version_of((await watch.next())["object"]) for _ in written[len(seen) :]]
        assert seen + missed == written

    loop.run(test())


def test_every_replica_tells_the_same_and_misses_nothing(loop: LoopOf, cluster: ApiCluster) -> None:
    """Watches on three replicas, writes through all of them; the leader changes in the middle."""

    async def test() -> None:
        path = await maps_of(cluster.all[0], "three")
        start = cluster.all[0].store.revision
        seen: list[list[str]] = []

        async def follow(api: RunningApi) -> None:
            async with watch_stream(api, path, resourceVersion=start) as watch:
                seen.append([version_of((await watch.next())["object"]) for _ in range(60)])

        following = [asyncio.create_task(follow(api)) for api in cluster.all]
        written = []
        for number in range(60):
            if number == 30:
                await cluster.store(await cluster.leader()).transfer_leadership()
            answer = await cluster.all[number % 3].json("POST", path, config_map(f"m{number}"))
            assert answer.code == 201, answer
            written.append(version_of(answer.body))
        await asyncio.gather(*following)
        assert seen == [written] * 3

    loop.run(test())
