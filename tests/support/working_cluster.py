"""A cluster that works, as real processes: a server with its controllers and scheduler, and simulated nodes."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from kmini_process import END_TIMEOUT_S, Server, environment, running
from ports import free_ports

NODES = 3
NODES_TIMEOUT_S = 120.0


class SimulatedNodesProcess:
    """`kmini agent --simulate`: nodes `node-1`, `node-2`, ... `with` waits until all are registered, and ends them."""

    def __init__(self, server: Server, folder: Path, *, count: int) -> None:
        self._server = server
        self._folder = folder
        self._count = count
        self._log = folder / "nodes.log"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        command = ["agent", "--runtime", "fake", "--simulate", str(self._count), "--node-name", "node"]
        command += ["--kubeconfig", str(self._server.data_dir / "kubeconfig"), "--data-dir", str(self._folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kmini", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _wait_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], NODES_TIMEOUT_S)
        line = process.stdout.readline() if readable else ""
        assert "are ready" in line, f"the nodes did not become ready:\n{self._log.read_text()[-4000:]}"

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate(timeout=END_TIMEOUT_S)


@contextmanager
def working_cluster(folder: Path, *, nodes: int = NODES) -> Iterator[Server]:
    """One replica on free ports and so many nodes, all ready. `folder` is there and holds everything of theirs."""
    peer_port, api_port = free_ports(2)
    server = Server("n1", folder / "n1", ports=(peer_port, 0, api_port), controllers="in-process")
    with running(server), SimulatedNodesProcess(server, folder, count=nodes):
        yield server
