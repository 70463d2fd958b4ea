"""A list by selector is the same whether the index of labels and fields answers or every object is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_cluster import LoopOf
from feed_world import USER, FeedWorld, feed_world
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.api.selectors import parse_labels
from apiserver.storage import Stored, decode
from apiserver.verbs.call import EXACT, Call, ListOptions
from raftstore.errors import WatchCanceled

NAMES, NAMESPACES, COLOURS = ("a", "b", "c", "d"), ("one", "two"), ("red", "green", "blue")
SELECTORS = ("colour=red", "colour!=red", "colour in (green, blue)", "colour notin (red)", "colour", "!colour")


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def world(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> FeedWorld:
    return loop.enter(feed_world(tmp_path_factory.mktemp("feed")))


PLACE = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMESPACES))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PLACE, st.sampled_from(("", *COLOURS))),
        st.tuples(st.just("delete"), PLACE, st.just("")),
        st.tuples(
            st.just("list"), st.tuples(st.sampled_from(("", *NAMESPACES)), st.just("")), st.sampled_from(SELECTORS)
        ),
        st.tuples(st.just("lose the feed"), PLACE, st.just("")),
    ),
    min_size=3,
    max_size=25,
)


async def listed(world: FeedWorld, namespace: str, labels: str, **options: Any) -> tuple[list[Stored], int]:
    call = Call(user=USER, resource=world.maps, stored=world.maps, verb="list", namespace=namespace)
    found = await world.reader.list_objects(call, ListOptions(labels=labels, **options))
    return found.items, found.revision


def cut(world: FeedWorld, error: WatchCanceled) -> None:
    """The store ends the feed's watcher, as its hub does."""
    watcher: Any = world.feeds.of(world.maps)._watcher
    world.store._replica.hub._end(watcher, error, drop=True)


async def live(world: FeedWorld, steps: list[Any]) -> None:
    now: dict[tuple[str, str], dict[str, str]] = {}
    for step, (name, namespace), more in steps:
        if step == "put":
            now[namespace, name] = {"colour": more} if more else {}
            await world.put(name, namespace, now[namespace, name])
        elif step == "delete":
            await world.delete(name, namespace)
            now.pop((namespace, name), None)
        elif step == "lose the feed":
            error = WatchCanceled("the state was replaced", resume_revision=1)
            cut(world, error)
        else:
            selector, namespace = parse_labels(more), name
            items, revision = await listed(world, namespace, more)
            assert revision == world.store.revision, "never older than what was written before"
            names = [(meta.namespace, meta.name) for meta in (decode(world.maps, each).metadata for each in items)]
            places = sorted(place for place, labels in now.items() if selector.matches(labels))
            assert names == [place for place in places if not namespace or place[0] == namespace]
            await world.put("later", "other", {"colour": "red"})  # from here on the index knows another revision
            again, _ = await listed(world, namespace, more, version=revision, match=EXACT)
            assert [each for each in again if b'"name":"later"' not in each.plain] == [
                each for each in items if b'"name":"later"' not in each.plain
            ]
            await world.delete("later", "other")
    for namespace, name in now:
        await world.delete(name, namespace)


@settings(max_examples=60)
@given(STEPS)
def test_the_index_answers_as_decoding_would(loop: LoopOf, world: FeedWorld, steps: list[Any]) -> None:
    loop.run(live(world, steps))


def test_an_exact_revision_is_that_one_although_the_index_is_built_meanwhile(
    loop: LoopOf, world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        exact = await world.put("a", "one", {"colour": "red"})
        build = world.reader.index

        async def late(resource: Any) -> Any:
            await world.put("b", "one", {"colour": "red"})
            return await build(resource)

        monkeypatch.setattr(world.reader, "index", late)
        items, revision = await listed(world, "one", "colour=red", version=exact, match=EXACT)
        assert (revision, len(items)) == (exact, 1)

    loop.run(test())


def test_a_feed_that_is_lost_in_the_last_moment_makes_no_list_old(
    loop: LoopOf, world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        written: list[int] = []
        build = world.reader.index

        async def lost(resource: Any) -> Any:
            mirror = await build(resource)
            feed: Any = world.feeds.of(world.maps)
            feed._draining = True  # what is written now reaches nobody
            written.append(await world.put("last", "one", {"colour": "red"}))
            feed._draining = False
            cut(world, WatchCanceled("the state was replaced", resume_revision=1))
            feed.drain()
            return mirror

        monkeypatch.setattr(world.reader, "index", lost)
        items, revision = await listed(world, "one", "colour=red")
        names = [decode(world.maps, each).metadata.name for each in items]
        assert ("last" in names) == (revision >= written[0])

    loop.run(test())
