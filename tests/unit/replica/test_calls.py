"""Questions between replicas: answered once, lost without harm, bounded, and never by the wrong one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import Answer, Replicas, replicas

from raftstore import calls as calls_module
from raftstore.calls import error_body, error_of
from raftstore.errors import (
    InvalidRequest,
    NoLeader,
    StoreError,
    Timeout,
    TooManyRequests,
    UnknownKind,
    WatchCompacted,
)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    with replicas(tmp_path, 3) as cluster:
        yield cluster


def ask(cluster: Replicas, peer: int, kind: str, body: dict[str, Any] | None = None) -> Answer:
    answer = Answer()
    cluster[1].calls.ask(peer, kind, body or {}, answer, 2.0)
    return answer


def test_a_question_gets_its_answer(three: Replicas) -> None:
    three[2].calls.answer_with("double", lambda peer, body, reply: reply({"twice": body["n"] * 2, "to": peer}))
    answer = ask(three, 2, "double", {"n": 21})
    three.runtime.run()
    assert answer.value == {"twice": 42, "to": 1}


def test_no_answer_is_none(three: Replicas) -> None:
    three[2].calls.answer_with("silence", lambda peer, body, reply: None)
    late = ask(three, 2, "silence")
    three.runtime.advance(1.9)
    assert not late.given
    three.runtime.advance(0.2)
    assert late.value is None
    hung_up = ask(three, 2, "silence")
    three.runtime.run()
    three[1].peer_disconnected(2)
    assert hung_up.value is None
    three.cluster.cut.add(2)
    unreachable = ask(three, 2, "silence")
    three.runtime.run()
    assert unreachable.value is None


def test_an_answer_counts_once_and_only_from_who_was_asked(three: Replicas) -> None:
    answers: list[Any] = []
    three[2].calls.answer_with("later", lambda peer, body, reply: answers.append(reply))
    answer = ask(three, 2, "later")
    three.runtime.run()
    number = three[1].calls._next
    three[3].house.engine.send(1, {"type": "store.answer", "id": number, "body": {"by": 3}})
    three.runtime.run()
    assert not answer.given
    answers[0]({"by": 2})
    answers[0]({"by": 2})
    three.runtime.run()
    assert answer.value == {"by": 2}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "store.ask"},
        {"type": "store.ask", "id": 1, "kind": "read_index", "body": 7},
        {"type": "store.answer", "id": "x", "body": {}},
        {"type": "store.nothing"},
    ],
)
def test_nonsense_is_dropped(three: Replicas, message: dict[str, Any]) -> None:
    three[2].house.engine.send(1, message)
    three.runtime.run()
    assert three.put(b"k") == 2


def test_a_question_without_its_fields_is_refused(three: Replicas) -> None:
    for kind, expected in (("lease_keep_alive", InvalidRequest), ("no_such_kind", UnknownKind)):
        answer = ask(three, 2, kind)
        three.runtime.run()
        assert isinstance(error_of(answer.value), expected)


def test_the_leader_is_asked_again_until_it_is_known(three: Replicas) -> None:
    three.cluster.elect(0)
    answer = Answer()
    three[2].keep_alive(5, answer, 3.0)
    three.runtime.advance(1.0)
    assert not answer.given
    three.cluster.elect(3)
    three.runtime.advance(1.0)
    assert answer.value.ttl == 0


def test_without_a_leader_it_ends_in_time(three: Replicas) -> None:
    three.cluster.elect(0)
    answer = Answer()
    three[2].keep_alive(5, answer, 3.0)
    three.runtime.advance(3.2)
    assert isinstance(answer.value, Timeout)
    assert answer.value.definite


def test_questions_are_bounded(three: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "CALLS_MAX", 2)
    three.cluster.elect(0)
    answers = [Answer() for _ in range(3)]
    for answer in answers:
        three[2].keep_alive(5, answer, 3.0)
    three.runtime.run()
    assert isinstance(answers[2].value, TooManyRequests)
    three.runtime.advance(4.0)
    assert [isinstance(answer.value, Timeout) for answer in answers] == [True, True, False]


def test_an_error_arrives_as_the_error_it_was() -> None:
    for error in (NoLeader("no leader"), Timeout("late", definite=False)):
        arrived = error_of(error_body(error))
        assert type(arrived) is type(error)
        assert arrived.message == error.message
        assert arrived.definite == error.definite


def test_an_error_nobody_knows_is_still_an_error() -> None:
    for name in ("NoSuchError", "annotations", WatchCompacted.__name__):
        arrived = error_of({"error": name, "message": "m", "definite": True})
        assert type(arrived) is StoreError
