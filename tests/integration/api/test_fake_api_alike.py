"""The fake API that controllers are tested on says what a real server says, to any sequence of requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
import virtual_time
from api_server import RunningApi
from api_thread import ThreadedApi, api_on_thread
from fake_api import FakeApi
from fake_api_alike import PATHS, Side, Wanted, Watched, comparable, first_requests, random_request, shown
from manifests import MANIFESTS, path_of

from apiserver.client.requests import Request

REQUESTS = 400
COLLECTIONS = frozenset(PATHS.values())
WATCHES = (
    *(Watched(path) for kind, path in PATHS.items() if kind not in ("service", "node", "namespace")),
    Watched(PATHS["service"], "app in (x,y)"),  # a real server has a Service of its own
    Watched(PATHS["pod"], "app=x"),
    Watched(PATHS["pod"], "", "spec.nodeName=n1"),
    Watched(PATHS["configmap"].replace("/namespaces/default", ""), "app!=x", "metadata.namespace=default"),
)
#: What the fake API has no use for: nobody has rights in it, nothing is stored of it, or the server adds to it alone.
_NOT_FAKED = ("Review", "TokenRequest", "Binding", "CertificateSigningRequest")


def asked_of_fake(api: FakeApi, wanted: Wanted, body: Any) -> tuple[int, Any]:
    headers = (("Content-Type", wanted.content_type), ("X-Kmini-Fence", wanted.fence))
    raw = None if body is None else msgspec.json.encode(body)
    query = tuple(parse_qsl(wanted.query.removeprefix("?")))
    answer = api.do(Request(method=wanted.method, path=wanted.path, query=query, headers=headers, body=raw))
    return answer.status, msgspec.json.decode(answer.body)


def asked_of_real(api: ThreadedApi, wanted: Wanted, body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": wanted.content_type} | ({"X-Kmini-Fence": wanted.fence} if wanted.fence else {})
    answer = api.json(wanted.method, wanted.path + wanted.query, body, headers=headers)
    return answer.code, answer.body


def compared(fake: FakeApi, real: ThreadedApi, sides: tuple[Side, Side], wanted: Wanted) -> None:
    place = wanted.path.removesuffix("/status")
    one = asked_of_fake(fake, wanted, sides[0].filled(wanted.body))
    other = asked_of_real(real, wanted, sides[1].filled(wanted.body))
    if wanted.method == "POST" and place in COLLECTIONS:
        place = f"{place}/{wanted.body['metadata'].get('name', '*')}"
    mine, real_one = sides[0].heard(place, one[1]), sides[1].heard(place, other[1])
    assert (one[0], mine) == (other[0], real_one), shown(wanted)


def told_by_fake(api: FakeApi, watch: Watched, version: int) -> list[Any]:
    async def lines() -> list[bytes]:
        query = (*watch.query(version), ("timeoutSeconds", "1"))
        transport = api.client().caller.transport
        request = Request(method="GET", path=watch.path, query=query)
        async with transport.stream("", request, timeout_s=1, idle_s=1) as stream:
            return [line async for line in stream.lines()]

    return [comparable(msgspec.json.decode(line)) for line in virtual_time.run(lines())]


async def told_by_real(api: RunningApi, watch: Watched, version: int, least: int) -> list[Any]:
    """Asked again with more time when it was cut off before so many."""
    told = await told_within(api, watch, version, 1)
    return told if len(told) >= least else await told_within(api, watch, version, 20)


async def told_within(api: RunningApi, watch: Watched, version: int, timeout_s: int) -> list[Any]:
    query = urlencode((*watch.query(version), ("timeoutSeconds", str(timeout_s))))
    async with api.session.request("GET", f"{api.url}{watch.path}?{query}", ssl=api.tls()) as answer:
        lines = (await answer.read()).splitlines()
    return [comparable(msgspec.json.decode(line)) for line in lines]


async def all_told_by_real(api: RunningApi, version: int, told: list[list[Any]]) -> list[list[Any]]:
    asked = zip(WATCHES, map(len, told), strict=True)
    return await asyncio.gather(*(told_by_real(api, watch, version, least) for watch, least in asked))


@pytest.mark.parametrize("seed", range(4))
def test_random_requests_are_answered_alike_and_watches_are_told_alike(tmp_path: Path, seed: int) -> None:
    fake, random, sides = FakeApi(seed=seed), Random(seed), (Side(), Side())
    with api_on_thread(tmp_path) as real:
        for wanted in first_requests():
            compared(fake, real, sides, wanted)
        began = fake.store.revision, real.api.store.revision
        for _ in range(REQUESTS):
            compared(fake, real, sides, random_request(random))
        told = [told_by_fake(fake, watch, began[0]) for watch in WATCHES]
        assert told == real.run(all_told_by_real(real.api, began[1], told))
    assert fake.writes > REQUESTS // 10
    assert sum(map(len, told)) > REQUESTS // 10


def test_every_kind_is_made_alike(tmp_path: Path) -> None:
    """Twice, so that every kind is also there already."""
    fake, sides = FakeApi(), (Side(), Side())
    manifests = [each for name, each in MANIFESTS.items() if not name.endswith(_NOT_FAKED)]
    with api_on_thread(tmp_path) as real:
        for manifest in (*manifests, *manifests):
            compared(fake, real, sides, Wanted("POST", path_of(manifest), body=manifest))
