"""The six guarantees under random writes, watchers, slow consumers, compactions and snapshots."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mvcc_model import Model, covers
from mvcc_world import BEGIN, ENDS, KEYS, Draw, World, batch, world

from raftstore.command import Command, Compact
from raftstore.errors import SlowWatcher, WatchCompacted
from raftstore.model import Event, EventType
from raftstore.watch import WatchHub
from raftstore.watcher import Place, Watcher

OPERATIONS = {"write": 30, "watch": 14, "take": 25, "step": 12, "compact": 8, "cancel": 4, "install": 4}


def plan_of(seed: int, size: int) -> list[tuple[str, Any]]:
    """What happens in a trial. A shorter plan of the same seed begins alike, so failures shrink by size."""
    chance = random.Random(seed)
    names = [chance.choices(list(OPERATIONS), list(OPERATIONS.values()))[0] for _ in range(60)]
    return [(name, _argument(name, chance)) for name in names][:size]


def _argument(name: str, chance: random.Random) -> Any:
    if name in ("write", "take", "cancel", "compact"):
        return chance.randint(1, 6)
    if name != "watch":
        return None
    arguments = {
        "key": chance.choice(KEYS),
        "range_end": chance.choice(ENDS),
        "puts": chance.random() < 0.8,
        "deletes": chance.random() < 0.8,
        "prev_kv": chance.random() < 0.5,
        "buffer_events_max": chance.choice([1, 4, 1000]),
        "buffer_bytes_max": chance.choice([1, 10_000, 1_000_000]),
    }
    return chance.randint(-6, 4), arguments


class Client:
    """A consumer that checks everything it is given against what the model says it is owed."""

    def __init__(self, trial: Trial, start: int, arguments: dict[str, Any]) -> None:
        self.trial = trial
        self.arguments = arguments
        self.place = start or trial.model.revision + 1  # the next revision it is owed
        self.ended = False
        self.ready = 0
        self.watcher = self._begin(start)

    def _begin(self, start: int) -> Watcher:
        return self.trial.hub.watch(start_revision=start, on_ready=self._on_ready, **self.arguments)

    def _on_ready(self) -> None:
        self.ready += 1
        assert self.ready == 1, "told again before it took"

    def owed(self, until: int) -> list[Event]:
        """What the model holds for this client in [place, until]."""
        wanted = self.arguments
        return [
            event
            for event in self.trial.model.events
            if self.place <= event.kv.mod_revision <= until
            and covers(event.kv.key, wanted["key"], wanted["range_end"])
            and (wanted["puts"] if event.type is EventType.PUT else wanted["deletes"])
        ]

    def take(self) -> None:
        """Reliable, ordered, unique, atomic: exactly what is owed, up to the end of a revision."""
        self.ready = 0
        try:
            events = self.watcher.take()
        except SlowWatcher as slow:
            self._resume(slow)
            return
        except WatchCompacted as compacted:
            self._end(compacted)
            return
        if events:
            until = events[-1].kv.mod_revision
            assert [plain(event) for event in events] == self.owed(until)
            self._check_previous(events)
            self.trial.met["events"] += len(events)
            mains = [event.kv.mod_revision for event in events]
            self.trial.met["several at one revision"] += len(set(mains)) < len(mains)
            self.place = until + 1
        self.check_progress()

    def _check_previous(self, events: list[Event]) -> None:
        for event in events:
            if not self.arguments["prev_kv"]:
                assert event.prev_kv is None
            elif event.previous_revision == event.kv.mod_revision:
                continue  # put and deleted in one revision: the model keeps no state between the two
            elif event.previous_revision:
                self.trial.met["previous"] += 1
                if event.prev_kv is None and event.kv.mod_revision <= self.trial.model.compact_revision:
                    continue  # what a change at the compacted revision replaced is gone
                assert event.prev_kv == self.trial.model.past[event.kv.mod_revision - 1][event.kv.key]

    def check_progress(self) -> None:
        """Bookmarkable: nothing up to the progress revision is missing, and it is never in the future."""
        progress = self.watcher.progress_revision
        assert progress <= self.trial.model.revision
        assert self.owed(progress) == []

    def _resume(self, slow: SlowWatcher) -> None:
        """Resumable: a new watch from the revision named misses nothing and repeats nothing."""
        assert self.owed(slow.resume_revision - 1) == []
        assert self.owed(slow.resume_revision)
        self.trial.met["slow"] += 1
        self.place = slow.resume_revision
        try:
            self.watcher = self._begin(slow.resume_revision)
        except WatchCompacted as compacted:
            self._end(compacted)

    def _end(self, compacted: WatchCompacted) -> None:
        """Only one that is behind may be outrun by compaction, and it is told where it could go on."""
        assert self.place < compacted.compact_revision <= self.trial.model.compact_revision
        assert compacted.resume_revision == compacted.compact_revision
        self.ended = True
        self.trial.met["outrun"] += 1


def plain(event: Event) -> Event:
    return Event(event.type, event.kv, event.previous_revision)


class Trial:
    def __init__(self, actual: World, seed: int) -> None:
        self.world = actual
        self.draw = Draw(seed)
        self.model = Model()
        self.scheduled = False
        self.hub = WatchHub(actual.machine, on_work=self._on_work)
        self.clients: list[Client] = []
        self.met: Counter[str] = Counter()
        self.apply(list(BEGIN))

    def _on_work(self) -> None:
        self.scheduled = True

    def write(self, count: int) -> None:
        self.apply([self.draw.command() for _ in range(count)])

    def apply(self, commands: list[Command]) -> None:
        for command in commands:
            self.model.apply(command)
        applied = self.world.apply(batch(commands))
        self.hub.publish(applied.events, self.world.machine.revision)

    def watch(self, what: tuple[int, dict[str, Any]]) -> None:
        offset, arguments = what
        start = 0 if not offset else max(1, self.model.revision + offset)
        if start and start < self.model.compact_revision:
            with pytest.raises(WatchCompacted) as refused:
                Client(self, start, arguments)
            assert refused.value.compact_revision == self.model.compact_revision
            self.met["refused"] += 1
            return
        self.clients.append(Client(self, start, arguments))

    def take(self, which: int) -> None:
        if self.clients:
            client = self.clients[which % len(self.clients)]
            client.take()
            self._reap(client)

    def _reap(self, client: Client) -> None:
        if client.ended:
            self.clients.remove(client)

    def step(self, _: None) -> None:
        self.scheduled = self.hub.step()

    def compact(self, back: int) -> None:
        self.apply([Compact(max(1, self.model.revision - back))])
        self.world.compact_fully()

    def cancel(self, which: int) -> None:
        if self.clients:
            client = self.clients.pop(which % len(self.clients))
            client.watcher.cancel()
            assert client.watcher.take() == []

    def install(self, _: None) -> None:
        """As when a snapshot of the same history is installed over the state."""
        self.world.reopen()
        self.hub.rebase(self.world.machine)

    def settle(self) -> None:
        """Everybody takes until nothing is left: then nobody is owed anything."""
        for _ in range(200):
            for client in list(self.clients):
                client.take()
                self._reap(client)
            if not self.hub.step() and not any(client.ready for client in self.clients):
                break
        for client in self.clients:
            assert client.owed(self.model.revision) == []
            assert client.watcher.place is (
                Place.WAITING if client.watcher.next_revision > self.model.revision + 1 else Place.SYNCED
            )
            assert client.watcher.progress_revision == self.model.revision
        assert len(self.hub) == len(self.clients)

    def check_nothing_is_left(self) -> None:
        for client in self.clients:
            client.watcher.cancel()
        assert len(self.hub) == len(self.hub._groups) == len(self.hub._by_range) == len(self.hub._by_key) == 0


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32), size=st.integers(1, 60))
def test_every_watcher_gets_exactly_what_it_is_owed(seed: int, size: int) -> None:
    with world() as actual:
        trial = Trial(actual, seed)
        for name, argument in plan_of(seed, size):
            getattr(trial, name)(argument)
            assert trial.scheduled or not trial.hub.has_work, "there is work and nobody was told"
            for client in trial.clients:
                client.check_progress()
        trial.settle()
        trial.check_nothing_is_left()


def test_trials_meet_what_they_are_for() -> None:
    """Slow watchers, outrun ones and previous values do occur."""
    met: Counter[str] = Counter()
    for seed in range(40):
        with world() as actual:
            trial = Trial(actual, seed)
            for name, argument in plan_of(seed, 60):
                getattr(trial, name)(argument)
            trial.settle()
            met += trial.met
    for what in ("slow", "outrun", "refused", "previous", "events", "several at one revision"):
        assert met[what] >= 5, met
