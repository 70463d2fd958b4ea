"""Processes by their command line, as the agent looks for a containerd that it does not remember."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.runtime import processes

#: Says when both are there, and waits for the end of its input.
FORKS = """
import os, sys
if os.fork():
    sys.stdin.read()
else:
    print("forked", flush=True)
    sys.stdin.read()
"""


def test_a_child_that_is_no_other_program_yet_is_not_counted(tmp_path: Path) -> None:
    mine = ["--config", str(tmp_path / "config")]
    with subprocess.Popen(
        [sys.executable, "-c", FORKS, *mine], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"forked\n"
        assert processes.find(mine) == [processes.process(started.pid)]
        assert processes.find(["--config", str(tmp_path)]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run what is another user's")
def test_what_another_user_runs_is_not_taken_for_ours(tmp_path: Path) -> None:
    mine = ["--config", str(tmp_path / "config")]
    command = ["/bin/sh", "-c", "echo; read x", "sh", *mine]
    pipe = subprocess.PIPE
    for user, found in ((65534, 0), (None, 1)):
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, user=user, cwd="/") as started:
            assert started.stdout is not None
            assert started.stdout.readline() == b"\n"
            assert len(processes.find(mine)) == found
            assert started.stdin is not None
            started.stdin.close()
