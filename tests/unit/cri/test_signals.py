"""Signals by their names in the API."""

from __future__ import annotations

import pytest

from nodeagent.runtime.cri_signals import signal_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SIGTERM", 15),
        ("SIGKILL", 9),
        ("SIGUSR1", 10),
        ("SIGCLD", 17),
        ("SIGRTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("SIGRTMAX-1", 63),
        ("SIGRTMAX", 64),
        ("SIGRTMIN+31", 0),
        ("SIGNONE", 0),
        ("TERM", 0),
        ("SIG_DFL", 0),
        ("", 0),
    ],
)
def test_numbers(name: str, number: int) -> None:
    assert signal_number(name) == number
