"""How watches begin, what marks their way, and how they end: each end says from where to go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from feed_world import EVENT_STREAM, TABLE, FeedWorld, feed_world
from store_cluster import until

from apiserver.api.errors import ServiceUnavailable
from apiserver.http import watch as watch_module
from apiserver.http.forms import Look
from apiserver.http.watch import INITIAL_EVENTS_END
from apiserver.storage import Stored

BIG_MAPS = 40
Test = Callable[[FeedWorld], Awaitable[None]]


def run(folder: Path, test: Test) -> None:
    async def body() -> None:
        async with feed_world(folder) as world:
            await test(world)

    asyncio.run(body())


# --- beginning --------------------------------------------------------------------------------------------


def test_what_is_there_comes_first_and_what_happens_meanwhile_after_it(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        for name in "cab":
            await world.put(name)
        start = world.store.revision
        watch = world.watch(start, initial=True)
        changed, deleted = await world.put("a"), await world.delete("b")
        await world.settled(watch)
        told = watch.told()
        assert [(type_, name) for type_, _, name, _ in told[:3]] == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]
        assert all(revision <= start for *_, revision in told[:3])
        assert told[3:] == [("MODIFIED", "default", "a", changed), ("DELETED", "default", "b", deleted)]
        await world.end(watch)

    run(tmp_path, test)


def test_the_end_of_what_was_there_is_marked(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        await world.put("a")
        watch = world.watch(world.store.revision, initial=True, bookmarks=True, mark=True)
        await world.settled(watch)
        first, mark = watch.wire.events()
        assert first["object"]["metadata"]["name"] == "a"
        assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
        assert mark["object"]["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
        assert int(mark["object"]["metadata"]["resourceVersion"]) == world.store.revision
        await world.end(watch)

    run(tmp_path, test)


def test_a_table_tells_its_columns_once(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        await world.put("a")
        start = world.store.revision
        before = [world.watch(start, accept=TABLE, initial=True), world.watch(start, accept=TABLE)]
        other = world.watch(start, accept=TABLE)
        await world.settled(*before, other)
        await world.put("a")
        await world.put("b")
        await world.settled(*before, other)
        for watch, events in ((before[0], 3), (before[1], 2), (other, 2)):
            tables = [event["object"] for event in watch.wire.events()]
            assert len(tables) == events
            assert [bool(table.get("columnDefinitions")) for table in tables] == [True] + [False] * (events - 1)
            assert [table["rows"][0]["cells"][0] for table in tables][-2:] == ["a", "b"]
        await world.end(*before, other)

    run(tmp_path, test)


def test_server_sent_events_can_be_resumed_by_their_ids(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        for name in "ba":  # the first that is told is the newest
            await world.put(name)
        start = world.store.revision
        watch = world.watch(start, initial=True, accept=EVENT_STREAM)
        await world.settled(watch)
        changed = await world.put("b")
        await world.settled(watch)
        blocks = [block.split("\n") for block in watch.wire.body().decode().strip().split("\n\n")]
        assert [block[0] for block in blocks] == ["event: ADDED", "event: ADDED", f"id: {start}", f"id: {changed}"]
        assert blocks[-1][1] == "event: MODIFIED"
        assert json.loads(blocks[-1][2].removeprefix("data: "))["metadata"]["name"] == "b"
        await world.end(watch)

    run(tmp_path, test)


# --- on the way -------------------------------------------------------------------------------------------


def test_bookmarks_move_on_while_only_other_kinds_change(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        watch = world.watch(world.store.revision, bookmarks=True)
        await world.settled(watch)
        for _ in range(3):
            revision = await world.put("a", kind="endpoints")
            watch.session.bookmark()
            assert watch.told()[-1] == ("BOOKMARK", "", "", revision)
        await world.end(watch)
        assert watch.told()[-1] == ("BOOKMARK", "", "", revision)

    run(tmp_path, test)


def test_a_bookmark_never_overtakes_a_watch_that_catches_up(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        start = world.store.revision
        for _ in range(5):
            await world.put("a")
        watch = world.watch(start, bookmarks=True)
        await asyncio.sleep(0)
        assert not watch.session.joined
        watch.session.bookmark()
        assert watch.told() == []
        await world.end(watch)
        told = watch.told()
        assert [type_ for type_, *_ in told].count("BOOKMARK") == 1
        assert told[-1][3] == (told[-2][3] if len(told) > 1 else start)

    run(tmp_path, test)


def test_equal_watches_share_what_was_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: FeedWorld) -> None:
        watches = [world.watch(world.store.revision) for _ in range(3)]
        await world.settled(*watches)
        rendered: list[Stored] = []

        def noted(look: Look, stored: Stored, *, headers: bool = True) -> bytes:
            rendered.append(stored)
            return look.view.object(stored)

        monkeypatch.setattr(Look, "object", noted)
        await world.put("a")
        await world.settled(*watches)
        assert len(rendered) == 1
        assert watches[0].wire.data == watches[2].wire.data
        await world.end(*watches)

    run(tmp_path, test)


# --- the ends ---------------------------------------------------------------------------------------------


def test_a_slow_reader_is_dropped_after_a_bookmark_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_MAX", 2_000)

    async def test(world: FeedWorld) -> None:
        start = world.store.revision
        slow = world.watch(start, stalled=True)
        await world.settled(slow)
        written = [await world.put(f"m{number}") for number in range(40)]
        await slow.task
        *events, bookmark = slow.told()
        assert bookmark[0] == "BOOKMARK"
        assert bookmark[3] == events[-1][3]
        assert len(slow.wire.data) < 4_000, "what is not read does not pile up"
        resumed = world.watch(bookmark[3])
        await world.settled(resumed)
        assert [event[3] for event in events + resumed.told()] == written
        await world.end(resumed)

    run(tmp_path, test)


def test_initial_events_wait_for_a_slow_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_PAUSE", 1_000)
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_MAX", 4_000)

    async def test(world: FeedWorld) -> None:
        names = [f"m{number:03}" for number in range(60)]
        await world.write([(name, "default", {}) for name in names])
        watch = world.watch(world.store.revision, initial=True, stalled=True)
        for _ in range(20):
            await asyncio.sleep(0)
        assert 0 < len(watch.wire.data) < 4_000
        watch.wire.stalled = False
        await world.settled(watch)
        assert [name for _, _, name, _ in watch.told()] == names
        await world.end(watch)

    run(tmp_path, test)


def test_a_watch_that_catches_up_waits_for_a_slow_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_PAUSE", 1_000)
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_MAX", 1_000)

    async def test(world: FeedWorld) -> None:
        start = world.store.revision
        labels = {"big": "x" * 300_000}
        written = [await world.put(f"m{number}", labels=labels) for number in range(BIG_MAPS)]
        watch = world.watch(start, stalled=True)
        await until(lambda: bool(watch.wire.data))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(watch.told()) < BIG_MAPS
        watch.wire.stalled = False
        await world.settled(watch)
        assert [told[3] for told in watch.told()] == written
        await world.end(watch)

    run(tmp_path, test)


def test_a_watch_of_a_version_to_come_tells_what_follows_it(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        watch = world.watch(world.store.revision + 2)
        await world.settled(watch)
        written = [await world.put("a") for _ in range(4)]
        assert [told[3] for told in watch.told()] == written[2:]
        await world.end(watch)

    run(tmp_path, test)


def test_a_start_that_is_compacted_is_gone(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        start = world.store.revision
        revisions = [await world.put("a") for _ in range(4)]
        await world.store.compact(revisions[2], physical=True)
        watch = world.watch(start)
        await watch.task
        assert watch.told() == [("ERROR", "", "Expired", 410)]

    run(tmp_path, test)


@pytest.mark.parametrize("then", ["put", "delete"])
def test_what_was_before_the_next_change_must_not_be_compacted(tmp_path: Path, then: str) -> None:
    """Without it nobody can say whether the object is new to a watch, or show what was deleted."""

    async def test(world: FeedWorld) -> None:
        before = await world.put("a", labels={"colour": "red"})
        changed = await (world.put("a") if then == "put" else world.delete("a"))
        await world.store.compact(changed, physical=True)
        for labels in ("", "colour=red"):
            watch = world.watch(before, labels=labels)
            await watch.task
            assert watch.told() == [("ERROR", "", "Expired", 410)]
        onward = world.watch(changed)
        again = await world.put("a")
        await world.settled(onward)
        assert onward.told() == [("MODIFIED" if then == "put" else "ADDED", "default", "a", again)]
        await world.end(onward)

    run(tmp_path, test)


def test_compaction_that_overtakes_a_watch_is_gone_after_whole_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "BUFFER_BYTES_PAUSE", 1_000)

    async def test(world: FeedWorld) -> None:
        start = world.store.revision
        labels = {"big": "x" * 300_000}  # the store reads a piece ahead, and no more than its buffer takes
        written = [await world.put(f"m{number}", labels=labels) for number in range(BIG_MAPS)]
        watch = world.watch(start, stalled=True)
        await until(lambda: bool(watch.wire.data))
        await world.store.compact(written[-1], physical=True)
        watch.wire.stalled = False
        async with asyncio.timeout(20):
            await watch.task
        *told, last = watch.told()
        assert last == ("ERROR", "", "Expired", 410)
        assert 0 < len(told) < BIG_MAPS
        assert [event[3] for event in told] == written[: len(told)]

    run(tmp_path, test)


def test_a_server_that_goes_down_ends_its_watches_with_a_bookmark(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        watch = world.watch(world.store.revision, bookmarks=True)
        await world.settled(watch)
        await world.put("a")
        revision = await world.put("a", kind="endpoints")
        watch.session.bookmark()
        world.feeds.close(ServiceUnavailable("going down"))
        await watch.task
        assert watch.told()[-1] == ("BOOKMARK", "", "", revision)

    run(tmp_path, test)


def test_a_closed_connection_ends_its_watch(tmp_path: Path) -> None:
    async def test(world: FeedWorld) -> None:
        watch = world.watch(world.store.revision)
        await world.settled(watch)
        watch.wire.closing = True
        await world.put("a")
        await watch.task
        assert world.feeds.of(world.maps).subscribers == 0
        assert not watch.wire.data

    run(tmp_path, test)
