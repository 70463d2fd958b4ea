"""An agent that is killed just before one of its steps on files."""

from __future__ import annotations

import os
from typing import Any

import pytest

from nodeagent.volumes import mounting


class Killed(Exception):
    """Instead of a step."""


def kill_before_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    count = 0

    def dying(real: Any) -> Any:
        def step(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count >= number:  # nothing happens after a kill
                raise Killed
            return real(*args, **more)

        return step

    for name in ("mkdir", "chmod", "fchmod", "chown", "symlink", "rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    monkeypatch.setattr(mounting, "_mount", dying(mounting._mount))
