"""Logs of containers as a runtime writes them, put aside as the agent does."""

from __future__ import annotations

import datetime
from pathlib import Path

from nodeagent.runtime.log_files import next_aside

BEGIN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def moment(seconds: float) -> str:
    """So long after BEGIN, as containerd writes it: without zeros at the end."""
    text = (BEGIN + datetime.timedelta(seconds=seconds)).isoformat()
    return text.replace("+00:00", "Z")


def raw_line(text: str, *, at: float = 0.0, stream: str = "stdout", part: bool = False) -> bytes:
    return f"{moment(at)} {stream} {'P' if part else 'F'} {text}\n".encode()


def put_log_aside(log: Path) -> Path:
    """What a rotation does first; the runtime opens a new file afterwards."""
    aside = next_aside(log)
    log.rename(aside)
    return aside
