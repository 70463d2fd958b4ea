"""The graph: who is woken when, and how little it costs to know of ten thousand pods."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import uuid

import msgspec

from apiserver.api.kinds import KINDS
from apiserver.client import metadata
from apiserver.client.metadata import Metadata
from controlplane.controllers.garbage_collector.graph import FOREGROUND, ORPHAN, Graph
from controlplane.runtime.pace import Pace

POD, SET, NODE = KINDS["core", "Pod"], KINDS["apps", "ReplicaSet"], KINDS["core", "Node"]


class Watched:
    def __init__(self) -> None:
        self.woken: list[str] = []
        self.graph = Graph(self.woken.append)

    def put_set(self, uid: str, *, finalizers: tuple[str, ...] = (), deleted: bool = False, name: str = "web") -> None:
        self.graph.put(SET, described(name, uid, finalizers=finalizers, deleted=deleted))

    def put_pod(self, uid: str, *owners: str, blocks: bool = True, namespace: str = "default") -> None:
        self.graph.put(POD, described(f"pod-{uid}", uid, *owners, blocks=blocks, namespace=namespace))

    def taken(self) -> set[str]:
        found = set(self.woken)
        self.woken.clear()
        return found


def described(
    name: str,
    uid: str,
    *owners: str,
    namespace: str = "default",
    blocks: bool = True,
    finalizers: tuple[str, ...] = (),
    deleted: bool = False,
) -> Metadata:
    references = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": owner, "blockOwnerDeletion": blocks}
        for owner in owners
    ]
    body = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "ownerReferences": references,
        "finalizers": list(finalizers),
        "deletionTimestamp": "2026-01-01T00:00:00Z" if deleted else None,
    }
    return metadata.decode(msgspec.json.encode({"metadata": body}))


def unsettled(graph: Graph, *, slice_s: float = 60.0) -> tuple[list[str], int]:
    """What a look over all finds, and how often it gives way."""

    async def look() -> tuple[list[str], int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        found = [uid async for uid in graph.unsettled(Pace(time.monotonic, slice_s=slice_s))]
        counting.cancel()
        return found, turns

    return asyncio.run(look())


def test_what_has_its_owner_wakes_nobody() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.put_pod("free")
    assert watched.taken() == set()


def test_what_names_an_owner_that_was_never_seen_is_looked_at() -> None:
    watched = Watched()
    watched.put_pod("p", "s")
    assert watched.taken() == {"p"}
    watched.put_set("s")
    assert unsettled(watched.graph) == ([], 0)
    watched.put_pod("q", "never")
    assert unsettled(watched.graph, slice_s=0.0) == (["q"], 2)  # between three objects


def test_dependents_are_looked_at_when_their_owner_is_gone() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.graph.drop("s")
    assert watched.taken() == {"p"}


def test_an_owner_elsewhere_is_none() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s", namespace="other")
    assert watched.taken() == {"p"}


def test_an_owner_of_another_name_is_none() -> None:
    watched = Watched()
    watched.put_set("s", name="else")
    watched.put_pod("p", "s")
    assert watched.taken() == {"p"}


def test_an_owner_that_waits_is_told_of_its_dependents() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.put_set("s", finalizers=(FOREGROUND,), deleted=True)
    assert watched.taken() == {"s", "p"}
    watched.put_pod("p", "s", blocks=False)
    assert "s" in watched.taken()
    watched.graph.drop("p")
    assert watched.taken() == {"s"}


def test_an_owner_that_waits_for_many_is_told_of_the_last_one() -> None:
    watched = Watched()
    for uid in "pqr":
        watched.put_pod(uid, "s")
    watched.put_set("s", finalizers=(FOREGROUND,), deleted=True)
    watched.taken()
    watched.graph.drop("q")
    watched.graph.drop("p")
    assert watched.taken() == set()
    watched.graph.drop("r")
    assert watched.taken() == {"s"}


def test_many_dependents_are_woken_by_whoever_has_the_time() -> None:
    watched = Watched()
    watched.put_set("s")
    for number in range(200):
        watched.put_pod(f"p{number}", "s")
    watched.graph.drop("s")
    assert watched.taken() == {"s"}
    asyncio.run(watched.graph.spread("s", Pace(time.monotonic)))
    assert watched.taken() == {f"p{number}" for number in range(200)}
    asyncio.run(watched.graph.spread("s", Pace(time.monotonic)))
    assert watched.taken() == set()


def test_an_orphaning_owner_is_looked_at() -> None:
    watched = Watched()
    watched.put_set("s", finalizers=(ORPHAN,), deleted=True)
    assert watched.taken() == {"s"}


def test_an_object_that_is_told_of_twice_wakes_nobody() -> None:
    watched = Watched()
    watched.put_pod("p", "s")
    watched.taken()
    watched.put_pod("p", "s")
    assert watched.taken() == set()


def test_owners_that_are_no_longer_named_forget() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.put_pod("p")
    assert not watched.graph.has_dependents("s")


def test_blocking_are_only_those_that_say_so() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.put_pod("q", "s", blocks=False)
    watched.put_pod("r", "s", namespace="other")
    owner = watched.graph.get("s")
    assert owner is not None
    assert [node.uid for node in watched.graph.blocking(owner)] == ["p"]


def test_a_list_says_what_is_gone() -> None:
    watched = Watched()
    watched.put_set("s")
    watched.put_pod("p", "s")
    watched.graph.keep_only(SET, set())
    assert watched.graph.get("s") is None
    assert watched.graph.get("p") is not None
    assert watched.taken() == {"p"}


def test_an_owner_of_itself_does_no_harm() -> None:
    watched = Watched()
    watched.graph.put(SET, described("web", "s", "s"))
    watched.graph.drop("s")
    assert len(watched.graph) == 0
    assert not watched.graph.has_dependents("s")


def test_ten_thousand_pods_cost_less_than_15_mb() -> None:
    graph = Graph(lambda uid: None)
    owners = [str(uuid.UUID(int=each)) for each in range(100)]
    tracemalloc.start()
    try:
        for owner in owners:
            graph.put(SET, described("web", owner))
        for number in range(10_000):
            graph.put(POD, described(f"web-{number:010}", str(uuid.UUID(int=1000 + number)), owners[number % 100]))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(graph) == 10_100
    assert used < 15_000_000, used
