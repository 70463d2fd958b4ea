"""Real `kmini` processes for tests: run commands, start servers on free ports, end them by their own id."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 90.0
END_TIMEOUT_S = 60.0


def environment() -> dict[str, str]:
    """Ours, without any KMINI_* of the machine's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KMINI_")}
    return kept | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tools'}", "ETCDCTL_API": "3"}


def kmini(*arguments: object, timeout_s: float = 120.0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kmini", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
        env=environment() | variables,
        check=False,
    )


class Server:
    """One `kmini server` on loopback, of which nothing runs but what a test is about: `controllers` are off."""

    def __init__(
        self, name: str, data_dir: Path, *extra: object, ports: Sequence[int] = (), controllers: str = "none"
    ) -> None:
        self.name = name
        self.data_dir = data_dir
        self.peer_port, self.etcd_port, self.api_port = ports or free_ports(3)
        self.ready_line = ""
        self._extra = ["--controllers", controllers, *map(str, extra)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def arguments(self) -> list[str]:
        ports = ["--peer-port", self.peer_port, "--etcd-port", self.etcd_port, "--api-port", self.api_port]
        return [
            "--name",
            self.name,
            "--data-dir",
            str(self.data_dir),
            "--bind",
            "127.0.0.1",
            *map(str, ports),
            *self._extra,
        ]

    @property
    def peer_address(self) -> str:
        return f"127.0.0.1:{self.peer_port}"

    @property
    def etcd_address(self) -> str:
        return f"127.0.0.1:{self.etcd_port}"

    @property
    def pki(self) -> Path:
        return self.data_dir / "pki"

    @property
    def log(self) -> str:
        path = self.data_dir.with_suffix(".log")
        return path.read_text() if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *more: object) -> None:
        """Start; does not wait."""
        with self.data_dir.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "kmini", "server", *self.arguments, *map(str, more)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> str:
        """The line it prints when it is ready."""
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        self.ready_line = self._process.stdout.readline() if readable else ""
        assert "is ready" in self.ready_line, f"{self.name} did not become ready:\n{self.log[-4000:]}"
        return self.ready_line

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float = END_TIMEOUT_S) -> int:
        """Its exit code."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def terminate(self) -> int:
        self.send(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """Whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        elif self._process is not None:
            self.wait()

    def status_code(self) -> int:
        return kmini("status", "--data-dir", self.data_dir).returncode

    def status(self) -> dict[str, Any]:
        done = kmini("status", "--data-dir", self.data_dir, "-o", "json")
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def cluster_of(folder: Path, *names: str, controllers: str = "none") -> list[Server]:
    """Servers that share a fresh set of keys and one list; none is started."""
    shared = folder / "ca"
    assert kmini("pki", "init", "--ca-dir", shared).returncode == 0
    servers = [Server(name, folder / name, "--ca-dir", shared, controllers=controllers) for name in names]
    listed = ",".join(f"{server.name}={server.peer_address}" for server in servers)
    for server in servers:
        server._extra += ["--initial-cluster", listed]
    return servers


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Start all, wait until all are ready, and end whatever is left at the end."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()
        yield
    finally:
        for server in servers:
            server.end()


def eventually(condition: Any, timeout_s: float = 60.0, what: str = "the condition") -> Any:
    """The first truthy value of `condition()`; asked again every 50 ms, and once more when the time is over: whoever
    slept through it would have asked too little."""
    deadline = time.monotonic() + timeout_s
    while True:
        over = time.monotonic() > deadline
        value = condition()
        if value:
            return value
        if over:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.05)
