"""The pause program: it runs, waits, reaps, and ends when asked to; also as process 1 of a pid namespace."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kmini.images.pause import pause_program

WITHIN_S = 60.0
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
SIGTIMEDWAIT = {"amd64": "128", "arm64": "137"}.get(HERE, "")
EMULATORS = {"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}


@pytest.fixture(params=["amd64", "arm64"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """How the program for this architecture is run here."""
    program = tmp_path / "pause"
    program.write_bytes(pause_program(request.param))
    program.chmod(0o755)
    if request.param == HERE:
        return [str(program)]
    emulator = shutil.which(EMULATORS[request.param])
    if emulator is None:
        pytest.skip(f"neither a machine nor an emulator for {request.param}")
    return [emulator, str(program)]


@pytest.fixture
def paused(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        until(lambda: waits(process.pid), "waiting for a signal")
        yield process
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    pause = signal.sigtimedwait
    while not true():
        assert time.monotonic() < deadline, f"it is not {what}"
        pause({signal.SIGUSR2}, 0.005)


def fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def waits(pid: int) -> bool:
    """It is inside rt_sigtimedwait."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == SIGTIMEDWAIT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_when_asked_to(paused: subprocess.Popen[bytes], number: signal.Signals) -> None:
    paused.send_signal(number)
    assert paused.wait(WITHIN_S) == 0


def test_it_goes_on_when_a_child_ends(paused: subprocess.Popen[bytes]) -> None:
    for _ in range(3):
        paused.send_signal(signal.SIGCHLD)
        until(lambda: waits(paused.pid), "waiting again")
    assert paused.poll() is None


def test_it_stops_and_goes_on(paused: subprocess.Popen[bytes]) -> None:
    """A wait that is interrupted begins again."""
    paused.send_signal(signal.SIGSTOP)
    until(lambda: fields(paused.pid)[0] == "T", "stopped")
    paused.send_signal(signal.SIGCONT)
    until(lambda: waits(paused.pid), "waiting again")
    assert paused.poll() is None


def test_children_that_ended_are_reaped(command: list[str]) -> None:
    """One that it had before it started, and one that ends while it waits: both are the shell's that it replaces."""
    script = 'sleep 0 & echo $!; sleep 1000 & echo $!; exec "$@"'
    process = subprocess.Popen(["/bin/sh", "-c", script, "sh", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    children = [int(process.stdout.readline()) for _ in range(2)]
    try:
        until(lambda: not Path(f"/proc/{children[0]}").exists(), "reaping what it inherited")
        os.kill(children[1], signal.SIGKILL)
        until(lambda: not Path(f"/proc/{children[1]}").exists(), "reaping what ended")
        process.terminate()
        assert process.wait(WITHIN_S) == 0
    finally:
        for child in children:
            if Path(f"/proc/{child}").exists():
                os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_process_1_of_a_pid_namespace_ends_when_asked_to(command: list[str]) -> None:
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *command])
    try:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: bool(listed.read_text().split()), "started")
        child = int(listed.read_text().split()[0])
        until(lambda: waits(child), "waiting for a signal")
        os.kill(child, signal.SIGTERM)
        assert process.wait(WITHIN_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_it_is_small(architecture: str) -> None:
    assert len(pause_program(architecture)) < 300
