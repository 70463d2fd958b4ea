"""Every counter has a name, a help text and a value."""

from __future__ import annotations

from raftstore.metrics import HELP, Metrics


def test_every_counter_is_explained() -> None:
    assert set(Metrics.__struct_fields__) == set(HELP)


def test_counters_can_be_read() -> None:
    metrics = Metrics()
    metrics.batches += 2
    assert ("batches", HELP["batches"], 2) in metrics.read()
