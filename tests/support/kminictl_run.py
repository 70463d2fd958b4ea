"""kminictl in this process: what it prints, as a terminal would show it, and its exit code."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from kminictl.cli import root
from kminictl.command import ending


class Result(NamedTuple):
    exit_code: int
    output: str


def run_kminictl(*words: str) -> Result:
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        code = ending(lambda: root.main(list(words), prog_name="kminictl", standalone_mode=False))
    return Result(code, shown.getvalue())
