"""Time limits for whole folders of tests whose machine may have much else to do: they only end what hangs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest


def limit(items: Iterable[pytest.Item], folder: Path, seconds: int) -> None:
    """Of each test in the folder that has none of its own, with what its module needs."""
    for item in items:
        if folder in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds))
