"""Runs of the simulator, compared."""

from __future__ import annotations

import msgspec

from raftstore.sim.verdict import Verdict


def seen(verdict: Verdict) -> dict[str, object]:
    """All of a verdict but what it cost. As fields, so that an assertion names the one that differs."""
    return {name: value for name, value in msgspec.structs.asdict(verdict).items() if name != "cpu_s"}
