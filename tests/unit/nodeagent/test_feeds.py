"""What agents go by must live: an informer that dies ends whoever uses it."""

from __future__ import annotations

import asyncio

import pytest
from fake_api import FakeApi

from apiserver.api.core.node import Node
from apiserver.api.meta import ObjectMeta
from apiserver.client import CacheFull, Informer
from nodeagent.feeds import Feed
from nodeagent.machine import simulated
from nodeagent.plain import plain_parts
from nodeagent.running import NodeAgent
from nodeagent.runtime.fake import FakeRuntime

WITHIN_S = 60.0


def feed(api: FakeApi, *, objects_max: int) -> Feed[Node]:
    return Feed(Informer(api.client(), Node, objects_max=objects_max), lambda node: node.metadata.name)


def nodes(count: int) -> FakeApi:
    api = FakeApi()
    for number in range(count):
        api.put(Node(metadata=ObjectMeta(name=f"other-{number}")))
    return api


def test_a_feed_says_what_ended_it() -> None:
    async def body() -> None:
        async with feed(nodes(3), objects_max=2) as made:
            await asyncio.wait_for(made.watch_over(), WITHIN_S)

    with pytest.raises(CacheFull):
        asyncio.run(body())


def test_one_that_is_stopped_ends_without_a_word() -> None:
    async def body() -> None:
        async with feed(nodes(1), objects_max=2) as made:
            watching = asyncio.create_task(made.watch_over())
            await made.synced.wait()
            assert not watching.done()
        await asyncio.wait_for(watching, WITHIN_S)

    asyncio.run(body())


def test_an_agent_does_not_go_on_by_a_copy_that_stands_still() -> None:
    async def body() -> None:
        api, runtime = nodes(3), FakeRuntime(node="n1")
        machine = simulated("n1", "192.0.2.7", capacity={"cpu": "1", "pods": "1"}, labels={})
        agent = NodeAgent(api.client(), "n1", machine, runtime, plain_parts(runtime))
        agent._nodes = feed(api, objects_max=2)
        await asyncio.wait_for(agent.run(), WITHIN_S)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(body())
    assert caught.group_contains(CacheFull)
