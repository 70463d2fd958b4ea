"""What is known of one seed once it has run, and how people are told."""

from __future__ import annotations

import shlex

import msgspec

from .checkers import Violation


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are of the whole run; `violations` begins with the first one seen."""

    seed: int
    banner: str
    violations: list[str]
    checkers: list[str]  # of the violations, in the same order
    trace_hash: str
    virtual_s: float
    cpu_s: float
    events: int
    messages: int
    operations: int
    acknowledged: int
    revisions: int
    elections: int
    faults: dict[str, int]
    counters: dict[str, int]

    @property
    def passed(self) -> bool:
        return not self.violations


def replay_command(seed: int, arguments: list[str]) -> str:
    """The one line that runs this seed again, byte for byte."""
    return shlex.join(["python", "-m", "raftstore.sim", "replay", str(seed), *arguments])


def describe(verdict: Verdict, arguments: list[str]) -> str:
    """A failing seed for people: what was drawn, what was seen first, how to see it again."""
    lines = [f"FAILED {verdict.banner}"]
    lines += [f"  {violation}" for violation in verdict.violations[:3]]
    if len(verdict.violations) > 3:
        lines.append(f"  ... and {len(verdict.violations) - 3} more")
    lines += [f"  trace {verdict.trace_hash}", f"  replay: {replay_command(verdict.seed, arguments)}"]
    return "\n".join(lines)


def crashed(seed: int, banner: str, error: str, cpu_s: float) -> Verdict:
    """The verdict on a run that the simulator itself could not end."""
    violation = Violation("simulator", error)
    return Verdict(
        seed=seed,
        banner=banner,
        violations=[str(violation)],
        checkers=[violation.checker],
        trace_hash="",
        virtual_s=0.0,
        cpu_s=cpu_s,
        events=0,
        messages=0,
        operations=0,
        acknowledged=0,
        revisions=0,
        elections=0,
        faults={},
        counters={},
    )
