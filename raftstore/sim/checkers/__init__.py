"""The judges. Each takes what a run left behind and yields `Violation`s; none changes anything.

The raft checkers look on while a run goes and end it at the first violation; all others read the history
and the truth afterwards. Each is itself tested with histories that break what it guards.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Violation:
    """`checker` names the rule, `message` what was seen, `at_s` the virtual time (the end when unknown)."""

    checker: str
    message: str
    at_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.checker} at {self.at_s:.6f}: {self.message}"
