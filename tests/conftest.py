"""What every test lives under: deterministic properties in CI, and no process or temporary file left behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, max_examples=100, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs within a test sets logging up as for a process, on a stream that goes with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if root.handlers != handlers or root.level != level:
        root.handlers[:] = [each for each in root.handlers if each in handlers] or handlers
        root.setLevel(level)
