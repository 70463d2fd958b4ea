"""Lists over HTTP: one revision for all pages, the newest unless asked otherwise, and bytes that never differ."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from api_cluster import ApiCluster, LoopOf, api_cluster
from api_server import Answered, RunningApi, api_server
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.http import dispatch
from apiserver.verbs import reading

MAPS = "/api/v1/namespaces/{}/configmaps"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


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


def config_map(name: str, labels: Mapping[str, str] | None = None, size: int = 0) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "data": {"x": "x" * size},
    }


async def namespace_of(api: RunningApi, name: str) -> str:
    """A namespace of the test's own; the path of its ConfigMaps, which hold only the root certificate's yet."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return MAPS.format(name)


async def listed(api: RunningApi, path: str, **query: Any) -> Answered:
    parameters = "&".join(f"{name.rstrip('_')}={quote(str(value))}" for name, value in query.items())
    return await api.json("GET", f"{path}?{parameters}")


def names_in(body: Any) -> list[str]:
    return [each["metadata"]["name"] for each in body["items"]]


async def pages(api: RunningApi, path: str, limit: int, between: Any = None, **query: Any) -> list[Any]:
    """All pages of a list; `between` is awaited after each."""
    found = []
    answer = await listed(api, path, limit=limit, **query)
    while True:
        assert answer.code == 200, answer
        found.append(answer.body)
        following = answer.body["metadata"].get("continue")
        if between is not None:
            await between()
        if not following:
            return found
        answer = await listed(api, path, limit=limit, continue_=following, **query)


# --- limit and continue -----------------------------------------------------------------------------------

NAMES = [f"m{number}" for number in range(8)]
WRITE = st.tuples(st.sampled_from(("put", "delete")), st.sampled_from(NAMES), st.sampled_from(("red", "green")))
_numbers = iter(range(10_000))


async def apply(api: RunningApi, path: str, write: tuple[str, str, str], now: dict[str, str]) -> None:
    """One write, there and in the model of it."""
    step, name, colour = write
    if step == "delete":
        await api.json("DELETE", f"{path}/{name}")
        now.pop(name, None)
    else:
        method, place = ("PUT", f"{path}/{name}") if name in now else ("POST", path)
        answer = await api.json(method, place, config_map(name, {"colour": colour}))
        assert answer.code in (200, 201), answer
        now[name] = colour


@settings(max_examples=25)
@given(
    before=st.lists(WRITE, max_size=12),
    during=st.lists(WRITE, max_size=12),
    limit=st.integers(1, 5),
    selector=st.sampled_from(("", "colour=red")),
)
def test_all_pages_show_one_revision_while_writes_go_on(
    loop: LoopOf, api: RunningApi, before: list[Any], during: list[Any], limit: int, selector: str
) -> None:
    async def test() -> None:
        path = await namespace_of(api, f"pages-{next(_numbers)}")
        now: dict[str, str] = {}
        for write in before:
            await apply(api, path, write, now)
        wanted = sorted(name for name, colour in now.items() if not selector or colour == "red")
        if not selector:
            wanted = ["kube-root-ca.crt", *wanted]
        rest = list(during)

        async def between() -> None:
            for write in rest[:3]:
                await apply(api, path, write, now)
            del rest[:3]

        found = await pages(api, path, limit, between, labelSelector=selector)
        assert [name for page in found for name in names_in(page)] == wanted
        assert len({page["metadata"]["resourceVersion"] for page in found}) == 1
        assert all(len(page["items"]) == limit for page in found[:-1])
        if not selector:
            first = found[0]["metadata"]
            assert first.get("remainingItemCount", 0) == len(wanted) - len(found[0]["items"])

    loop.run(test())


def test_a_page_may_be_asked_of_another_replica(loop: LoopOf, cluster: ApiCluster) -> None:
    """Also of one that has not applied its revision yet."""

    async def test() -> None:
        one, two, three = cluster.all
        path = await namespace_of(one, "of-another")
        for number in range(40):
            await one.create(path, config_map(f"a{number}"))
            first = await listed(one, path, limit=1)
            token = first.body["metadata"].get("continue")
            if token:
                answers = await asyncio.gather(*(listed(api, path, continue_=token) for api in (two, three)))
                for answer in answers:
                    assert answer.code == 200, answer
                    assert len(answer.body["items"]) == number + 1

    loop.run(test())


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("nonsense", ""),
        ("e30", ""),
        ("x" * 5000, "too long"),
        ("eyJ2IjoieCIsInJ2IjoxLCJzdGFydCI6Ii9vdGhlciJ9", "other"),
    ],
)
def test_a_token_of_no_list_is_refused(loop: LoopOf, api: RunningApi, token: str, why: str) -> None:
    async def test() -> None:
        answer = await listed(api, MAPS.format("default"), limit=1, continue_=token)
        assert (answer.code, answer.body["reason"]) == (400, "BadRequest")
        assert answer.body["message"].startswith("continue key is not valid")
        assert why in answer.body["message"]

    loop.run(test())


def test_a_token_goes_with_its_selectors_only_as_far_as_they_reach(loop: LoopOf, api: RunningApi) -> None:
    """A token of all namespaces, then a field selector for one that lies before it: nothing is left, and no error."""

    async def test() -> None:
        await namespace_of(api, "aaa")
        everywhere = "/api/v1/configmaps"
        first = await listed(api, everywhere, limit=2, fieldSelector="metadata.namespace!=aaa")
        token = first.body["metadata"]["continue"]
        answer = await listed(api, everywhere, continue_=token, fieldSelector="metadata.namespace=aaa")
        assert (answer.code, answer.body["items"]) == (200, [])

    loop.run(test())


# --- which revision ---------------------------------------------------------------------------------------


def test_resource_versions_mean_what_they_say(loop: LoopOf, api: RunningApi) -> None:
    async def test() -> None:
        path = await namespace_of(api, "versions")
        first = (await api.create(path, config_map("a", {"colour": "red"})))["metadata"]["resourceVersion"]
        second = (await api.create(path, config_map("b", {"colour": "red"})))["metadata"]["resourceVersion"]
        for selector in ("", "colour=red"):
            more = {"labelSelector": selector} if selector else {"fieldSelector": "metadata.name!=kube-root-ca.crt"}
            exact = await listed(api, path, resourceVersion=first, resourceVersionMatch="Exact", **more)
            assert names_in(exact.body) == ["a"]
            assert exact.body["metadata"]["resourceVersion"] == first
            limited = await listed(api, path, resourceVersion=first, limit=5, **more)
            assert names_in(limited.body) == ["a"]
            for query in (
                {"resourceVersion": first},
                {"resourceVersion": first, "resourceVersionMatch": "NotOlderThan"},
            ):
                newer = await listed(api, path, **query, **more)
                assert names_in(newer.body) == ["a", "b"]
                assert int(newer.body["metadata"]["resourceVersion"]) >= int(second)
            any_ = await listed(api, path, resourceVersion=0, **more)
            assert names_in(any_.body) == ["a", "b"]

    loop.run(test())


def test_a_compacted_revision_is_gone_and_one_to_come_is_waited_for(
    loop: LoopOf, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REQUEST_TIMEOUT_S", 0.2)

    async def test() -> None:
        path = await namespace_of(api, "gone")
        old = (await api.create(path, config_map("a")))["metadata"]["resourceVersion"]
        token = (await listed(api, path, limit=1)).body["metadata"]["continue"]
        await api.create(path, config_map("b"))
        await api.store.compact(api.store.revision)
        for query in ({"resourceVersion": old, "resourceVersionMatch": "Exact"}, {"limit": 1, "continue_": token}):
            answer = await listed(api, path, **query)
            assert (answer.code, answer.body["reason"]) == (410, "Expired"), answer
        future = api.store.revision + 1_000
        for query in ({}, {"resourceVersionMatch": "Exact"}, {"watch": 1}):
            answer = await listed(api, path, resourceVersion=future, **query)
            assert (answer.code, answer.body["reason"]) == (504, "Timeout"), answer
            assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
            assert answer.headers["Retry-After"]
        answer = await api.json("GET", f"{path}/a?resourceVersion={future}")
        assert answer.code == 504

    loop.run(test())


def test_a_list_waits_for_the_revision_that_comes(
    loop: LoopOf, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "REQUEST_TIMEOUT_S", 60.0)

    async def test() -> None:
        path = await namespace_of(api, "comes")
        made: dict[str, int] = {}
        asked = api.store.revision + 5
        coming = asyncio.create_task(listed(api, path, resourceVersion=asked))
        while api.store.revision < asked:  # the server itself may write meanwhile
            assert not coming.done()
            name = f"a{len(made)}"
            made[name] = int((await api.create(path, config_map(name)))["metadata"]["resourceVersion"])
        body = (await coming).body
        version = int(body["metadata"]["resourceVersion"])
        assert version >= asked
        assert {name for name, revision in made.items() if revision <= version} <= set(names_in(body))

    loop.run(test())


def test_what_another_replica_acknowledged_is_never_missing(loop: LoopOf, cluster: ApiCluster) -> None:
    """By selector, by name and in whole lists, at once after the write."""

    async def test() -> None:
        path = await namespace_of(cluster.all[0], "fresh")
        for number in range(60):
            writer, reader = cluster.all[number % 3], cluster.all[(number + 1) % 3]
            name = f"a{number:02}"
            await writer.create(path, config_map(name, {"n": str(number)}))
            found = await asyncio.gather(
                listed(reader, path, labelSelector=f"n={number}"),
                listed(reader, path),
                listed(reader, path, fieldSelector=f"metadata.name={name}"),
                reader.json("GET", f"{path}/{name}"),
            )
            assert [answer.code for answer in found] == [200] * 4
            assert names_in(found[0].body) == names_in(found[2].body) == [name]
            assert name in names_in(found[1].body)
            gone = await writer.json("DELETE", f"{path}/{name}")
            assert gone.code == 200
            assert not names_in((await listed(reader, path, labelSelector=f"n={number}")).body)

    loop.run(test())


# --- long ones --------------------------------------------------------------------------------------------


def without_ages(body: bytes) -> bytes:
    """A list but for its own version, as the cluster goes on; a Table without the cells that a second changes."""
    return re.sub(
        rb'"\d+[smh]\d*[smh]?"', b'"age"', re.sub(rb'"metadata":{"resourceVersion":"\d+"', b"", body, count=1)
    )


def test_a_long_list_is_the_same_in_pieces_and_in_one(
    loop: LoopOf, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raw(query: str, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        url = f"{api.url}/api/v1/namespaces/long/configmaps{query}"
        async with api.session.get(url, ssl=api.tls(), headers=headers) as response:
            return await response.read(), response.headers

    async def test() -> None:
        path = await namespace_of(api, "long")
        for first in range(0, 1_300, 100):
            number = range(first, first + 100)
            await asyncio.gather(
                *(api.create(path, config_map(f"m{each:04}", {"odd": str(each % 2)}, size=300)) for each in number)
            )
        for query in ("", "?labelSelector=odd", "?fieldSelector=metadata.name!=m0007", "?labelSelector=odd%3D1"):
            for headers in ({}, TABLE):
                pieces, head = await raw(query, headers)
                assert ("Transfer-Encoding" in head) == ("3D1" not in query or headers is TABLE)
                monkeypatch.setattr(dispatch, "STREAM_FROM_STEPS", 1_000_000)
                whole, head = await raw(query, headers)
                monkeypatch.undo()
                assert "Content-Length" in head
                assert without_ages(pieces) == without_ages(whole)
                assert len(json.loads(whole)["rows" if headers else "items"]) > 600

    loop.run(test())
