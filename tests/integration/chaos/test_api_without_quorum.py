"""Two of three servers are gone: the third refuses in plain words and lives; all is there when they are back."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from kmini_process import Server
from server_faults import leader_of

from apiserver.api.core.config import ConfigMap
from apiserver.api.kinds import kind_of
from apiserver.api.meta import ObjectMeta
from apiserver.client import Client, ListOptions, requests
from apiserver.client.kubeconfig import load
from apiserver.client.requests import Request
from apiserver.client.responses import Response, error_of

MAPS = requests.path_of(kind_of(ConfigMap), "default")
ANSWER_TIMEOUT_S = 30.0  # a request that hangs fails its test; servers wait for a leader for 3 s
PATIENCE_S = 120.0
_names = itertools.count()


class One:
    """One server, asked without any retry."""

    def __init__(self, server: Server) -> None:
        access = load(server.data_dir / "kubeconfig")
        self._url = f"https://127.0.0.1:{server.api_port}"
        self._client = Client(msgspec.structs.replace(access, servers=(self._url,)), learn=False)

    async def ask(self, request: Request) -> Response:
        return await self._client.caller.transport.send(self._url, request, timeout_s=ANSWER_TIMEOUT_S)

    async def until(self, ask: Callable[[], Awaitable[Response]], status: int) -> Response:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await ask()
                if answer.status == status:
                    return answer

    async def close(self) -> None:
        await self._client.close()


def creation(name: str = "") -> Request:
    body = ConfigMap(metadata=ObjectMeta(name=name or f"made-{next(_names)}"))
    return requests.create(MAPS, msgspec.structs.replace(body, api_version="v1", kind="ConfigMap"))


def name_of(request: Request) -> str:
    found: str = json.loads(request.body or b"")["metadata"]["name"]
    return found


def in_vain(name: str) -> list[Request]:
    """What nobody can answer without the others: all kinds of reads and writes."""
    one = f"{MAPS}/{name}"
    return [
        requests.get(one),
        requests.list_(MAPS, ListOptions()),
        requests.list_(MAPS, ListOptions(labels="a=b", limit=5)),
        creation(),
        requests.patch(one, {"data": {"a": "b"}}, requests.Patch.MERGE),
        requests.delete(one),
    ]


def check_refused(request: Request, answer: Response) -> None:
    """503, when to come back, and that it did not happen."""
    error = error_of(answer)
    assert (answer.status, error.status_reason) == (503, "ServiceUnavailable"), (request, answer.body)
    assert answer.headers["retry-after"] == "1"
    assert error.definite


def made_of(answer: Response) -> tuple[str, str]:
    found: dict[str, Any] = json.loads(answer.body)["metadata"]
    return found["name"], found["resourceVersion"]


async def asked(one: One, names: set[str]) -> Response:
    """For a creation; its name is kept, for nobody knows what becomes of it in an election."""
    request = creation()
    names.add(name_of(request))
    return await one.ask(request)


async def there_is(one: One) -> dict[str, str]:
    """Name → resource version of every object."""
    listed = await one.until(lambda: one.ask(requests.list_(MAPS, ListOptions())), 200)
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in json.loads(listed.body)["items"]}


@pytest.mark.parametrize("left", ["leader", "follower"])
def test_a_server_without_the_others_refuses_and_lives_and_nothing_is_lost(servers: list[Server], left: str) -> None:
    leader = leader_of(servers)
    alone = leader if left == "leader" else next(server for server in servers if server is not leader)
    gone = [server for server in servers if server is not alone]

    async def body() -> None:
        one = One(alone)
        before = await there_is(one)
        unsure: set[str] = set()
        written = dict([made_of(await one.until(partial(asked, one, unsure), 201)) for _ in range(10)])
        for server in gone:
            server.kill()
        unsure |= await until_refused(one)
        assert (await one.ask(requests.get("/livez"))).status == 200
        ready = await one.until(lambda: one.ask(requests.get("/readyz")), 503)
        assert b"[-]leader no leader is known" in ready.body
        refused = in_vain(next(iter(written)))
        answers = await asyncio.gather(*map(one.ask, refused))
        for request, answer in zip(refused, answers, strict=True):
            check_refused(request, answer)
        at_once = await one.ask(requests.list_(MAPS, ListOptions(resource_version="0")))
        assert at_once.status == 200  # asked for as old as it may be

        for server in gone:
            server.start()
        for server in gone:
            server.wait_ready()
        await one.until(lambda: one.ask(requests.get("/readyz")), 200)
        there = await there_is(one)
        assert (before | written).items() <= there.items()
        assert there.keys() - before.keys() - written.keys() <= unsure
        await one.close()

    asyncio.run(body())


async def until_refused(one: One) -> set[str]:
    """Write until the server has noticed that it is alone; names of writes whose fate nobody knows."""
    unsure: set[str] = set()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            request = creation()
            answer = await one.ask(request)
            if answer.status == 503:
                check_refused(request, answer)
                return unsure
            assert answer.status == 504, answer.body
            assert not error_of(answer).definite
            unsure.add(name_of(request))
