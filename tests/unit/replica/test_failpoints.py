"""Failpoints: each declared name is in the code, each is reached, and off they do nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replicas import Answer, replicas

import raftstore
from raftstore import failpoint
from raftstore.command import Compact
from raftstore.model import Put
from raftstore.options import SnapshotOptions

ROOT = Path(raftstore.__file__).parent


def names_in_the_code() -> set[str]:
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                assert isinstance(node.args[0], ast.Constant), f"{path}: a failpoint's name is a literal"
                found.add(str(node.args[0].value))
    return found


def test_what_is_declared_is_in_the_code_and_the_other_way_round() -> None:
    assert names_in_the_code() == set(failpoint.NAMES)


def test_a_name_that_does_not_exist_cannot_be_enabled() -> None:
    with pytest.raises(LookupError), failpoint.enabled({"no_such_place": lambda: None}):
        pass
    with failpoint.enabled({}), pytest.raises(LookupError):
        failpoint.failpoint("no_such_place")
    failpoint.failpoint("no_such_place")  # off: not even looked at


def test_an_action_runs_only_while_it_is_enabled() -> None:
    hits: list[str] = []
    with failpoint.enabled({"before_apply": lambda: hits.append("outer")}):
        with failpoint.enabled({"after_apply": lambda: hits.append("inner")}):
            failpoint.failpoint("before_apply")
            failpoint.failpoint("after_apply")
        failpoint.failpoint("after_apply")
    failpoint.failpoint("before_apply")
    assert hits == ["outer", "inner"]


def test_every_place_of_a_replica_is_reached(tmp_path: Path) -> None:
    hits: set[str] = set()

    def note(name: str) -> Callable[[], None]:
        return lambda: hits.add(name)

    eager = SnapshotOptions(journal_bytes_min=1, state_share=0.0, tail_entries=1)
    with (
        failpoint.enabled({name: note(name) for name in failpoint.NAMES}),
        replicas(tmp_path, 3, places=True, snapshot=eager) as three,
    ):
        answer: Any = Answer()
        three[1].lease_grant(0, 2, answer)
        three.runtime.run()
        three.execute(1, Put(b"k", b"v", answer.value.id))
        three.put(b"f", member_id=2)
        three.read(1, b"k")
        three.execute(1, Compact(three[1].revision))
        three.runtime.advance(5.0)
        three.cluster.engines[3].hold_delivery = True
        three.put(b"missed")
        three.runtime.advance(2.0)
        three.cluster.engines[1].tell_snapshot_needed(3)
        three.runtime.advance(2.0)
        three[2].quarantine("a test says so")
        three.runtime.run()
        three.runtime.errors_expected = True
    elsewhere = {name for name in failpoint.NAMES if name.startswith(("journal_", "snapshot_", "vote_"))}
    assert hits >= set(failpoint.NAMES) - elsewhere
