"""What the hub promises beyond the guarantees: sharing, bounds, signals, ends."""

from __future__ import annotations

from typing import Any

import pytest
from mvcc_world import World, batch, world

from raftstore import watch as watch_module
from raftstore.command import Command, Compact
from raftstore.errors import Compacted, InvalidRequest, SlowWatcher, TooManyRequests, WatchCanceled, WatchCompacted
from raftstore.model import Delete, Event, Put
from raftstore.watch import STEP_REVISIONS_MAX, WatchHub
from raftstore.watcher import Place, Watcher


class Bell:
    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


def do(one: World, hub: WatchHub, *commands: Command) -> list[Event]:
    applied = one.apply(batch(commands))
    hub.publish(applied.events, one.machine.revision)
    return applied.events


def watch(hub: WatchHub, key: bytes = b"\0", range_end: bytes = b"\0", **more: Any) -> tuple[Watcher, Bell]:
    bell = Bell()
    return hub.watch(key, range_end, on_ready=bell, **more), bell


def taken(watcher: Watcher) -> list[tuple[bytes, int]]:
    return [(event.kv.key, event.kv.mod_revision) for event in watcher.take()]


def test_all_watchers_share_one_event() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watchers = [watch(hub)[0] for _ in range(50)] + [watch(hub, b"k", b"")[0], watch(hub, b"k", b"l")[0]]
        (event,) = do(one, hub, Put(b"k", b"v"))
        for watcher in watchers:
            (got,) = watcher.take()
            assert got is event
        assert len(hub._groups) == 3


def test_previous_values_are_looked_up_once_for_all_who_ask() -> None:
    lookups: list[bytes] = []
    with world() as one:
        hub = WatchHub(one.machine)
        plain, asking = [watch(hub)[0] for _ in range(5)], [watch(hub, prev_kv=True)[0] for _ in range(5)]
        do(one, hub, Put(b"k", b"old"))
        original = one.machine.value_at
        one.machine.value_at = lambda key, revision: lookups.append(key) or original(key, revision)  # type: ignore
        do(one, hub, Put(b"k", b"new"), Delete(b"k"))
        for watcher in plain:
            assert [event.prev_kv for event in watcher.take()] == [None, None, None]
        for watcher in asking:
            values = [event.prev_kv and event.prev_kv.value for event in watcher.take()]
            assert values == [None, b"old", b"new"]
        assert lookups == [b"k", b"k"]


def test_ready_is_said_once_until_taken() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watcher, bell = watch(hub)
        do(one, hub, Put(b"a"))
        do(one, hub, Put(b"b"))
        assert bell.rings == 1
        assert taken(watcher) == [(b"a", 2), (b"b", 3)]
        assert taken(watcher) == []
        do(one, hub, Put(b"c"))
        assert bell.rings == 2


def test_a_full_buffer_ends_a_synced_watcher_with_the_revision_to_resume_from() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watcher, bell = watch(hub, buffer_events_max=3)
        other, _ = watch(hub)
        do(one, hub, Put(b"a"))
        assert len(watcher.take()) == 1
        do(one, hub, Put(b"b"), Put(b"c"))
        do(one, hub, Put(b"d"), Put(b"e"))
        assert bell.rings == 2
        with pytest.raises(SlowWatcher) as slow:
            watcher.take()
        assert slow.value.resume_revision == 3
        assert watcher.place is Place.ENDED
        again, _ = watch(hub, start_revision=3)
        while hub.step():
            pass
        assert taken(again) == [(b"b", 3), (b"c", 4), (b"d", 5), (b"e", 6)]
        assert len(other.take()) == 5


def test_bytes_fill_a_buffer_too() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watcher, _ = watch(hub, buffer_bytes_max=5000)
        do(one, hub, Put(b"a", bytes(4000)))
        do(one, hub, Put(b"a", bytes(4000)))
        with pytest.raises(SlowWatcher):
            watcher.take()


def test_one_revision_larger_than_the_buffer_still_passes() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, *[Put(b"k%d" % n) for n in range(10)])
        watcher, _ = watch(hub, buffer_events_max=3)
        late, _ = watch(hub, start_revision=11, buffer_events_max=3)
        do(one, hub, Delete(b"\0", b"\0"))
        assert len(watcher.take()) == 10
        while hub.step():
            pass
        assert len(late.take()) == 11


def test_one_that_is_behind_is_not_ended_but_waits_until_it_takes() -> None:
    with world() as one:
        work = Bell()
        hub = WatchHub(one.machine, on_work=work)
        revisions = 3 * STEP_REVISIONS_MAX
        do(one, hub, *[Put(b"k") for _ in range(revisions)])
        watcher, _ = watch(hub, start_revision=2, buffer_events_max=10)
        assert work.rings == 1
        assert not hub.step(), "its buffer is full, there is nothing to do"
        assert watcher.progress_revision == 0
        do(one, hub, Put(b"k"))
        assert len(watcher.take()) == STEP_REVISIONS_MAX
        assert work.rings == 2
        total = STEP_REVISIONS_MAX
        while hub.step() or watcher.place is Place.BEHIND:
            total += len(watcher.take())
        assert total + len(watcher.take()) == revisions + 1
        assert watcher.place is Place.SYNCED


def test_one_reading_serves_all_that_are_behind() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, *[Put(b"k%d" % n) for n in range(20)])
        watchers = [watch(hub, b"k", b"l", start_revision=2)[0] for _ in range(30)]
        assert not hub.step()
        first = watchers[0].take()
        assert len(first) == 20
        assert all(watcher.take() is first for watcher in watchers[1:])


def test_a_future_revision_is_waited_for() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        passed, _ = watch(hub, start_revision=5)
        reached, bell = watch(hub, start_revision=7)
        cancelled, _ = watch(hub, start_revision=5)
        cancelled.cancel()
        do(one, hub, Put(b"a"), Put(b"b"))
        assert (passed.place, passed.progress_revision) == (Place.WAITING, 3)
        do(one, hub, Put(b"c"), Put(b"d"), Put(b"e"))
        assert (passed.place, passed.progress_revision) == (Place.BEHIND, 0)
        assert (reached.place, bell.rings) == (Place.SYNCED, 0)
        assert not hub.step()
        do(one, hub, Put(b"f"))
        assert taken(passed) == [(b"d", 5), (b"e", 6), (b"f", 7)]
        assert taken(reached) == [(b"f", 7)]
        assert len(hub) == 2


def test_catching_up_is_told_although_nothing_matched() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, Put(b"a"))
        watcher, bell = watch(hub, b"other", b"", start_revision=1)
        hub.step()
        assert bell.rings == 1
        assert watcher.take() == []
        assert watcher.progress_revision == 2


def test_the_state_may_be_ahead_of_what_was_published() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, Put(b"a"))
        watcher, _ = watch(hub, start_revision=2)
        applied = one.apply(batch([Put(b"b")]))
        hub.step()
        assert taken(watcher) == [(b"a", 2)]
        hub.publish(applied.events, one.machine.revision)
        assert taken(watcher) == [(b"b", 3)]


def test_below_the_compacted_revision_nothing_begins() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, Put(b"a"), Put(b"a"), Put(b"a"), Compact(3))
        with pytest.raises(WatchCompacted) as refused:
            watch(hub, start_revision=2)
        assert refused.value.compact_revision == 3
        assert isinstance(refused.value, Compacted)
        watcher, _ = watch(hub, start_revision=3)
        hub.step()
        assert taken(watcher) == [(b"a", 3), (b"a", 4)]


def test_compaction_outruns_one_that_does_not_take() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, *[Put(b"k") for _ in range(2 * STEP_REVISIONS_MAX)])
        watcher, bell = watch(hub, start_revision=2, buffer_events_max=2)
        hub.step()
        do(one, hub, Compact(one.machine.revision))
        assert len(watcher.take()) == STEP_REVISIONS_MAX
        assert not hub.step()
        assert bell.rings == 2
        with pytest.raises(WatchCompacted) as ended:
            watcher.take()
        assert ended.value.resume_revision == one.machine.revision
        with pytest.raises(WatchCompacted):
            watcher.take()
        assert len(hub) == 0


def test_requests_without_meaning_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        for key, start in ((b"", 0), (b"k", -1)):
            with pytest.raises(InvalidRequest):
                watch(hub, key, start_revision=start)
        monkeypatch.setattr(watch_module, "WATCHERS_MAX", 1)
        watch(hub)
        with pytest.raises(TooManyRequests):
            watch(hub)


def test_cancel_is_silence() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watcher, bell = watch(hub)
        do(one, hub, Put(b"a"))
        watcher.cancel()
        watcher.cancel()
        do(one, hub, Put(b"b"))
        assert watcher.take() == []
        assert bell.rings == 1
        assert watcher.progress_revision == 0


def test_a_callback_may_cancel_another_watcher() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        do(one, hub, Put(b"a"))
        victims: list[Watcher] = []
        for start in (0, 1):
            hub.watch(b"a", start_revision=start, on_ready=lambda: victims.pop().cancel())
            victim, bell = watch(hub, start_revision=start)
            victims.append(victim)
            do(one, hub, Put(b"a"))
            hub.step()
            assert (victim.place, bell.rings) == (Place.ENDED, 0)
            assert victim.take() == []


def test_close_gives_what_is_buffered_and_then_the_reason() -> None:
    with world() as one:
        hub = WatchHub(one.machine)
        watcher, _ = watch(hub)
        do(one, hub, Put(b"a"))
        hub.close()
        assert taken(watcher) == [(b"a", 2)]
        with pytest.raises(WatchCanceled, match="shutting down") as ended:
            watcher.take()
        assert ended.value.resume_revision == 3
        assert len(hub) == 0


def test_an_older_state_ends_those_who_saw_more() -> None:
    with world() as newer, world() as older:
        hub = WatchHub(newer.machine)
        synced, _ = watch(hub)
        waiting, _ = watch(hub, start_revision=9)
        do(newer, hub, Put(b"a"), Put(b"b"))
        older.do(Put(b"a"))
        hub.rebase(older.machine)
        assert len(synced.take()) == 2
        with pytest.raises(WatchCanceled, match="list anew"):
            synced.take()
        assert waiting.place is Place.WAITING
        assert hub.revision == 2


def test_a_newer_state_is_caught_up_with_or_has_outrun() -> None:
    with world() as old, world() as new:
        hub = WatchHub(old.machine)
        near, _ = watch(hub)
        do(old, hub, Put(b"a"))
        far, _ = watch(hub, start_revision=2)
        new.do(Put(b"a"), Put(b"b"), Put(b"c"), Compact(3))
        hub.rebase(new.machine)
        while hub.step():
            pass
        assert taken(near) == [(b"a", 2), (b"b", 3), (b"c", 4)]
        assert near.place is Place.SYNCED
        with pytest.raises(WatchCompacted):
            far.take()
