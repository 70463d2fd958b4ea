"""`kmini dev` as a process: what it prints, what it does when told, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kmini_process import environment, kmini

from apiserver.api.core.namespace import Namespace
from apiserver.client import Client


@contextmanager
def dev(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "kmini", "dev", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], command: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if command:
        process.stdin.write(command + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(number: signal.Signals) -> None:
    async def names(kubeconfig: Path) -> list[str]:
        async with Client.from_kubeconfig(kubeconfig) as client:
            return [each.metadata.name async for each in client.list(Namespace)]

    with dev() as process:
        name, _, kubeconfig = said(process).partition("=")
        assert name == "KUBECONFIG"
        assert "default" in asyncio.run(names(Path(kubeconfig)))
        process.send_signal(number)
        assert process.wait(60) == 0
        assert not Path(kubeconfig).parent.exists()


def test_faults_are_made_by_lines_on_stdin() -> None:
    with dev("--replicas", "3") as process:
        assert said(process).startswith("KUBECONFIG=")
        leader = said(process, "leader").removeprefix("leader ")
        assert leader in ("a", "b", "c")
        assert said(process, "partition") == f"partitioned {leader}"
        assert said(process, "heal") == "healed"
        assert said(process, "partition b c") == "partitioned b c"
        assert said(process, "heal") == "healed"
        assert said(process, "cut a b") == "cut a b"
        assert said(process, "pause c") == "paused c"
        assert said(process, "partition z") == "error: there is no replica 'z'; there is: a, b, c"
        assert said(process, "explode").startswith("error: known are leader, partition")
        process.terminate()
        assert process.wait(60) == 0


def test_a_stdin_that_ends_ends_nothing() -> None:
    with dev() as process:
        assert said(process).startswith("KUBECONFIG=")
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.terminate()
        assert process.wait(60) == 0


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = kmini("dev", "--port", taken.getsockname()[1])
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot start: ")
    assert "Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
