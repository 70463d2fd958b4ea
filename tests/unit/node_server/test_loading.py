"""What a node pays for before anybody asks it: nothing that serves requests is loaded."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import nodeagent.running
heavy = {"aiohttp", "grpc", "prometheus_client", "nodeagent.server.routes", "nodeagent.streams"} & set(sys.modules)
sys.exit(f"loaded for nobody: {sorted(heavy)}" if heavy else 0)
"""


def test_an_agent_that_nobody_asks_has_no_web_server() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
