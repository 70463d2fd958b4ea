"""Which of a workload's pods is meant by its name."""

from __future__ import annotations

from typing import Any

import pytest
from kminictl.cluster.pods import likeliest

EARLY, LATE = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"


def pod(name: str, *, phase: str = "Running", ready: str = "", created: str = EARLY) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    return {
        "metadata": {"name": name, "creationTimestamp": created},
        "status": {"phase": phase, "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (pod("b"), pod("a", phase="Pending")),
        (pod("b", ready=EARLY), pod("a")),
        (pod("b", ready=EARLY), pod("a", ready=LATE)),
        (pod("b", ready=EARLY), pod("a", ready=EARLY, created=LATE)),
        (pod("a", ready=EARLY), pod("b", ready=EARLY)),
    ],
    ids=["one that runs", "one that is ready", "ready for longer", "the oldest", "the first by name"],
)
def test_the_likeliest_to_work(better: dict[str, Any], worse: dict[str, Any]) -> None:
    assert likeliest([better, worse]) is better
    assert likeliest([worse, better]) is better
