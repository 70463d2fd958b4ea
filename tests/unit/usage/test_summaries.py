"""How agents are asked: a few at a time, once in a while, and not those that are not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from virtual_time import run

from apiserver.api.core.node import Node
from apiserver.api.errors import ServiceUnavailable
from apiserver.api.meta import ObjectMeta
from apiserver.api.summary import NodeStats, Summary
from apiserver.usage import summaries
from apiserver.usage.summaries import FRESH_S, NODE_WITHIN_S, Summaries


class Nodes(Summaries):
    """Every node has an agent on a port but those called `bare`; `silent` never answers, `broken` refuses.
    Whether there is an `unknown` one cannot be said."""

    def __init__(self) -> None:
        super().__init__(self, None)  # type: ignore[arg-type]  # nobody connects
        self.asked: list[str] = []
        self.running = self.most = 0

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any:
        assert key == "nodes"
        if name == "none":
            return None
        if name == "unknown":
            raise ServiceUnavailable("the store does not answer")
        node = Node(metadata=ObjectMeta(name=name))
        node.status.daemon_endpoints.kubelet_endpoint.port = 0 if name == "bare" else 10250
        return node

    async def _read(self, name: str) -> Summary:
        self.asked.append(name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(1000 if name == "silent" else 0.5)
        finally:
            self.running -= 1
        if name == "broken":
            raise ServiceUnavailable("no")
        return Summary(node=NodeStats(node_name=name))


def test_only_who_answers() -> None:
    async def story() -> None:
        nodes = Nodes()
        began = asyncio.get_running_loop().time()
        assert set(await nodes.of(["a", "b", "bare", "none", "silent", "broken"])) == {"a", "b"}
        assert asyncio.get_running_loop().time() - began == pytest.approx(NODE_WITHIN_S, abs=0.1)
        assert sorted(nodes.asked) == ["a", "b", "broken", "silent"]
        assert set(await nodes.of(["a", "b", "silent"])) == {"a", "b"}
        assert len(nodes.asked) == 4, "nobody is asked again so soon, silent ones neither"

    run(story())


def test_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "AT_ONCE_MAX", 3)

    async def story() -> None:
        nodes = Nodes()
        names = [f"n{number}" for number in range(20)]
        assert len(await nodes.of(names)) == 20
        assert nodes.most == 3

    run(story())


def test_many_who_want_to_know_ask_once_until_it_is_old() -> None:
    async def story() -> None:
        nodes = Nodes()
        await asyncio.gather(*(nodes.of(["a", "b"]) for _ in range(10)))
        assert sorted(nodes.asked) == ["a", "b"]
        await asyncio.sleep(FRESH_S - 1)
        await nodes.of(["a"])
        assert len(nodes.asked) == 2
        await asyncio.sleep(1.1)
        await nodes.of(["a"])
        assert len(nodes.asked) == 3
        assert set(nodes._kept) == {"a"}, "of others nothing is kept for ever"

    run(story())


def test_who_goes_away_while_asking_leaves_it_to_the_next() -> None:
    async def story() -> None:
        nodes = Nodes()
        first = asyncio.create_task(nodes.of(["a"]))
        second = asyncio.create_task(nodes.of(["a"]))
        await asyncio.sleep(0.1)
        first.cancel()
        assert set(await second) == {"a"}
        assert nodes.asked == ["a", "a"]
        await asyncio.gather(first, return_exceptions=True)

    run(story())


def test_a_store_that_does_not_answer_is_said_in_its_own_words_and_asked_again() -> None:
    async def story() -> None:
        nodes = Nodes()
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="the store does not answer"):
                await nodes.of(["a", "unknown", "b"])
        assert set(await nodes.of(["a", "b"])) == {"a", "b"}
        assert nodes.running == 0

    run(story())
