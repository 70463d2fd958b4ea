"""A server is not held to the few open files that a shell gives."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from kmini.descriptors import ENOUGH
from kmini_process import Server

SCRIPT = """
import resource, sys
from kmini.descriptors import take_enough
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(take_enough(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_as_there_are_and_few_are_said() -> None:
    command = [sys.executable, "-c", SCRIPT, "200", "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["300", "300", "300"]
    assert "open files are few" in done.stderr


def test_a_server_takes_them(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = 1024
    assert hard > low
    server = Server("n1", tmp_path / "n1")
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        server.wait_ready()
        assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0] == min(hard, ENOUGH)
    finally:
        server.end()
