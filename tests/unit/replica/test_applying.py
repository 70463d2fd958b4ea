"""Applying: in slices, in order, once; a full disk is waited out, a state that cannot be trusted stops all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import Answer, Replicas, replicas

from raftstore.errors import NoSpace, OutcomeUnknown, StateDamaged, StoreError
from raftstore.model import Put, PutResult


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path) as cluster:
        yield cluster


class Broken:
    """Makes `apply` raise until mended."""

    def __init__(self, cluster: Replicas, error: Exception, member_id: int = 1) -> None:
        machine = cluster[member_id].house.machine
        self._apply = machine.apply
        self.error: Exception | None = error
        self.tries = 0
        machine.apply = self.apply  # type: ignore[method-assign]

    def apply(self, entries: Any) -> Any:
        self.tries += 1
        if self.error is not None:
            raise self.error
        return self._apply(entries)


def test_a_backlog_is_applied_in_slices(tmp_path: Path) -> None:
    """After each slice others get their turn: watchers and callers hear before all is applied."""
    with replicas(tmp_path, entry_requests_max=1, apply_chunk_entries=4, apply_slice_s=0.0) as one:
        one.put(b"warm")
        one.cluster.hold_commits = True
        payload = one.cluster.entries[-1].payload
        for _ in range(20):
            one.cluster.entries.append(
                one.cluster.entries[-1]._replace(payload=payload, index=len(one.cluster.entries) + 1)
            )
        one.cluster.hold_commits = False
        one.cluster.commit()
        one.runtime.turn()
        seen = [one[1].applying.backlog]
        while one[1].applying.backlog:
            one.runtime.turn()
            seen.append(one[1].applying.backlog)
        assert seen == [16, 12, 8, 4, 0]


def test_a_slice_ends_when_its_time_is_over(tmp_path: Path) -> None:
    with replicas(tmp_path, apply_chunk_entries=1, apply_slice_s=0.005) as one:
        one.put(b"warm")
        machine = one[1].house.machine
        apply = machine.apply

        def slow(entries: Any) -> Any:
            one.runtime.clock_s += 0.002
            return apply(entries)

        machine.apply = slow  # type: ignore[method-assign]
        entries = one.cluster.entries
        for _ in range(10):
            entries.append(entries[-1]._replace(index=len(entries) + 1))
        one.cluster.commit()
        one.runtime.turn()
        assert one[1].applying.backlog == 7
        one.runtime.run()
        assert one[1].applying.backlog == 0


def test_memory_is_worth_more_than_the_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftstore.applying.APPLY_BACKLOG_BYTES_MAX", 0)
    with replicas(tmp_path, apply_slice_s=0.0) as one:
        one.put(b"warm")
        entries = one.cluster.entries
        for _ in range(200):
            entries.append(entries[-1]._replace(index=len(entries) + 1))
        one.cluster.commit()
        one.runtime.turn()
        assert one[1].applying.backlog == 0


def test_a_full_disk_loses_nothing_and_is_waited_out(one: Replicas) -> None:
    one.put(b"warm")
    broken = Broken(one, NoSpace("no room"))
    sent = one.propose(1, Put(b"k", b"v"), 60.0)
    one.runtime.advance(0.05)
    assert not sent.given
    refused = one.propose(1, Put(b"other"))
    one.runtime.run()
    assert isinstance(refused.value, NoSpace)
    assert "full" in " ".join(one[1].status().problems)
    one.runtime.advance(10.0)
    assert 3 < broken.tries < 12, "the pauses between tries grow"
    broken.error = None
    one.runtime.advance(6.0)
    assert isinstance(sent.value, PutResult)
    assert one.put(b"after") == sent.value.revision + 1


def test_a_leader_whose_disk_is_full_makes_way(tmp_path: Path) -> None:
    with replicas(tmp_path, 3) as three:
        three.put(b"warm")
        Broken(three, NoSpace("no room"))
        answer = three.propose(2, Put(b"k"))
        three.runtime.advance(1.0)
        assert three.cluster.leader != 1
        assert isinstance(answer.value, PutResult)


@pytest.mark.parametrize("error", [StateDamaged("bad page"), RuntimeError("a bug")])
def test_a_state_that_cannot_be_trusted_stops_the_replica(one: Replicas, error: Exception) -> None:
    one.put(b"warm")
    Broken(one, error)
    one.runtime.errors_expected = True
    sent, reader = one.propose(1, Put(b"k")), one.read(1, b"k")
    one.runtime.run()
    assert isinstance(sent.value, OutcomeUnknown)
    assert isinstance(one.stopped[1], StateDamaged)
    assert isinstance(one.execute(1, Put(b"x")), StateDamaged)
    assert reader.given
    late = Answer()
    one[1].barrier(late)
    one.runtime.run()
    assert isinstance(late.value, StoreError)


def test_callers_hear_before_watchers_and_watchers_before_readers(one: Replicas) -> None:
    one.put(b"warm")
    order: list[str] = []
    one[1].watch(b"k", on_ready=lambda: order.append("watcher"))
    one.cluster.engines[1].hold_delivery = True
    one[1].execute(Put(b"k"), lambda _: order.append("caller"))
    one.runtime.run()
    one[1].barrier(lambda _: order.append("reader"))
    one.runtime.run()
    one.cluster.engines[1].hold_delivery = False
    one.cluster.commit()
    one.runtime.run()
    assert order == ["caller", "watcher", "reader"]
