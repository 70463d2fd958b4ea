"""Importing the library leaves the process as it was."""

from __future__ import annotations

import subprocess
import sys

LOOK = "import socket, raftstore; print(socket.inet_ntop(socket.AF_INET, bytes((127, 0, 0, 1))))"


def test_addresses_still_become_text() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=False)
    assert done.stdout == "127.0.0.1\n", done.stderr


def test_the_library_still_needs_it() -> None:
    look = "import socket, pysyncobj; print(socket.inet_ntop.__module__)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)
    assert done.stdout == "pysyncobj.win_inet_pton\n", "the library is mended: raft/library.py may go"
