"""A watch that began at revision R tells every change of its objects after R once, in order, with the right type."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from api_cluster import LoopOf
from feed_world import FeedWorld, OpenWatch, feed_world
from hypothesis import given, settings
from hypothesis import strategies as st

from apiserver.api.selectors import parse_labels

NAMES, NAMESPACES, COLOURS = ("a", "b", "c"), ("one", "two"), ("red", "green")
SELECTORS = ("", "colour=red", "colour!=red", "colour in (green),colour", "!colour")


class Written(NamedTuple):
    """One change: the labels before and after, None where there was no object."""

    revision: int
    namespace: str
    name: str
    before: dict[str, str] | None
    after: dict[str, str] | None


class Asked(NamedTuple):
    start: int
    namespace: str
    labels: str
    name: str


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopOf]:
    loop = LoopOf()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def world(loop: LoopOf, tmp_path_factory: pytest.TempPathFactory) -> FeedWorld:
    return loop.enter(feed_world(tmp_path_factory.mktemp("feed")))


def expected(history: list[Written], asked: Asked) -> list[tuple[str, str, str, int]]:
    selector = parse_labels(asked.labels)

    def wanted(labels: dict[str, str] | None) -> bool:
        return labels is not None and selector.matches(labels)

    told = []
    for each in history:
        if each.revision <= asked.start or (asked.namespace and each.namespace != asked.namespace):
            continue
        if asked.name and each.name != asked.name:
            continue
        was, is_ = wanted(each.before), wanted(each.after)
        type_ = ("MODIFIED" if was else "ADDED") if is_ else "DELETED" if was else ""
        if type_:
            told.append((type_, each.namespace, each.name, each.revision))
    return told


LABELS: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}), st.sampled_from(COLOURS).map(lambda colour: {"colour": colour})
)
OBJECT = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMESPACES))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), OBJECT, LABELS),
        st.tuples(st.just("delete"), OBJECT, st.none()),
        st.tuples(
            st.just("watch"),
            st.tuples(st.sampled_from(("", *NAMESPACES)), st.sampled_from(SELECTORS), st.sampled_from(("", *NAMES))),
            st.integers(0, 12),  # how many changes it lies behind
        ),
        st.tuples(st.just("other kind"), OBJECT, st.none()),
        st.tuples(st.just("turn"), st.just(("", "")), st.none()),
    ),
    min_size=5,
    max_size=40,
)


class History:
    """What was written, as a model of it. Several changes may share a revision."""

    def __init__(self, world: FeedWorld) -> None:
        self.world = world
        self.written: list[Written] = []
        self.now: dict[tuple[str, str], dict[str, str]] = {}
        self.begin = world.store.revision

    async def put(self, place: tuple[str, str], labels: dict[str, str]) -> None:
        name, namespace = place
        revision = await self.world.put(name, namespace, labels)
        self.written.append(Written(revision, namespace, name, self.now.get(place), labels))
        self.now[place] = labels

    async def delete(self, place: tuple[str, str]) -> None:
        name, namespace = place
        revision = await self.world.delete(name, namespace)
        if place in self.now:
            self.written.append(Written(revision, namespace, name, self.now.pop(place), None))

    def start(self, behind: int) -> int:
        """The revision that many changes ago."""
        if not behind:
            return self.world.store.revision
        return self.written[-behind].revision - 1 if behind <= len(self.written) else self.begin

    async def clear(self) -> None:
        for place in list(self.now):
            await self.delete(place)


async def live(world: FeedWorld, steps: list[Any]) -> None:
    history = History(world)
    watches: list[tuple[Asked, OpenWatch]] = []
    for step, about, more in steps:
        if step == "put":
            await history.put(about, more)
        elif step == "delete":
            await history.delete(about)
        elif step == "other kind":
            await world.put(about[0], about[1], kind="endpoints")
        elif step == "turn":
            await asyncio.sleep(0)
        else:
            namespace, labels, name = about
            asked = Asked(history.start(more), namespace, labels, name)
            fields = f"metadata.name={name}" if name else ""
            watches.append((asked, world.watch(asked.start, namespace=namespace, labels=labels, fields=fields)))
    await world.settled(*(watch for _, watch in watches))
    for asked, watch in watches:
        assert watch.told() == expected(history.written, asked), asked
    await world.end(*(watch for _, watch in watches))
    assert world.feeds.of(world.maps).subscribers == 0
    await history.clear()


@settings(max_examples=60)
@given(STEPS)
def test_changes_are_told_once_in_order_and_as_what_they_are(loop: LoopOf, world: FeedWorld, steps: list[Any]) -> None:
    loop.run(live(world, steps))


def test_a_watch_far_behind_joins_while_writes_go_on(loop: LoopOf, world: FeedWorld) -> None:
    """More than one step of the store's history, with several objects changed at one revision."""

    async def test() -> None:
        start = world.store.revision
        written: list[tuple[str, int]] = []
        for number in range(300):
            names = [f"far-{number}-{place}" for place in range(3)]
            revision = await world.write([(name, "one", {}) for name in names])
            written += [(name, revision) for name in names]
        watches = [world.watch(start), world.watch(start, namespace="one"), world.watch(start, labels="!colour")]
        for number in range(200):
            written.append((f"late-{number}", await world.put(f"late-{number}", "one")))
        await world.settled(*watches)
        for watch in watches:
            assert [(name, revision) for _, _, name, revision in watch.told()] == written
        await world.end(*watches)

    loop.run(test())
