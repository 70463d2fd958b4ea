"""What is published of the machine: what figures depend on, and nothing that names it."""

from __future__ import annotations

import platform
from pathlib import Path

from kmini.bench import machine


def test_facts_hold_what_figures_depend_on_and_no_name(tmp_path: Path) -> None:
    facts = machine.facts(tmp_path)
    assert facts["cores"] >= 1
    assert 0 < facts["fdatasync_p50_s"] < 5
    assert facts["load_before"] >= 0
    text = machine.described(facts)
    assert "fdatasync" in text
    assert str(tmp_path) not in text
    assert platform.node() not in text.split()


def test_the_probe_leaves_no_file(tmp_path: Path) -> None:
    machine.fdatasync_p50_s(tmp_path)
    assert list(tmp_path.iterdir()) == []
