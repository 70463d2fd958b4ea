"""The load under kill -9 judges reads: what a right store may answer passes, what it may not is named.

A store in this process stands in for the servers. What becomes of each call is said beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chaos_load
import pytest
from chaos_load import COUNTER, Load
from kmini.errors import CommandError
from kmini_process import Server

DONE, UNANSWERED = "done", "unanswered"


class Register:
    """The counter, and a load that asks one call after the other, in turn as counter and as reader."""

    def __init__(self, server: Server) -> None:
        self.load = Load([server])
        self.value = 0
        self._fates: list[str] = []

    def __enter__(self) -> Register:
        return self

    def __exit__(self, *_: object) -> None: ...

    def count(self, *fates: str) -> None:
        """Raise it from the beginning; a call that is not answered changes nothing yet."""
        self._fates = list(fates)
        self._run(self.load._count)

    def read(self, value: int) -> None:
        """What is answered now."""
        self.value = value
        self._run(lambda: self.load._read(0))

    def _run(self, job: Callable[[], None]) -> None:
        self.load._stop.clear()
        job()

    def put(self, key: bytes, value: bytes) -> None:
        assert key == COUNTER
        fate = self._fates.pop(0)
        if not self._fates:
            self.load._stop.set()
        if fate == UNANSWERED:
            raise CommandError("no answer in time")
        self.value = int(value)

    def range(self, key: bytes) -> Any:
        assert key == COUNTER
        self.load._stop.set()
        kv = SimpleNamespace(key=key, value=b"%d" % self.value, mod_revision=2, version=1)
        return SimpleNamespace(kvs=[kv] if self.value else [])


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    made = Register(Server("n1", tmp_path, ports=(1, 2, 3)))
    monkeypatch.setattr(chaos_load, "EtcdClient", lambda *_, **__: made)
    return made


@pytest.mark.parametrize(
    ("fates", "reads"),
    [
        ([DONE, DONE], [2, 2]),
        ([UNANSWERED], [0, 0]),
        ([UNANSWERED], [0, 1]),
        ([UNANSWERED, DONE], [2, 1]),  # it took effect after the next one was acknowledged
        ([DONE, UNANSWERED, UNANSWERED, DONE], [4, 3, 2]),  # each when it likes
    ],
)
def test_what_a_right_store_may_answer_is_not_called_stale(
    register: Register, fates: list[str], reads: list[int]
) -> None:
    register.count(*fates)
    for value in reads:
        register.read(value)
    assert register.load.reads == len(reads)
    assert register.load.stale() == []


@pytest.mark.parametrize(
    ("fates", "reads"),
    [
        ([DONE, DONE], [1]),
        ([DONE], [0]),
        ([DONE], [2]),  # never written
        ([DONE, UNANSWERED, DONE], [1]),  # the open one is no excuse for another
        ([DONE, UNANSWERED], [2, 1]),  # seen once, it has happened
        ([UNANSWERED, DONE], [1, 2]),  # the one that was acknowledged happened before
        ([UNANSWERED, DONE], [2, 1, 2]),
        ([UNANSWERED, UNANSWERED, DONE], [1, 2, 1]),  # each happens once
    ],
)
def test_a_stale_or_invented_answer_is_named(register: Register, fates: list[str], reads: list[int]) -> None:
    register.count(*fates)
    for value in reads:
        register.read(value)
    (violation,) = register.load.stale()
    assert "no legal order explains" in str(violation)
