"""Large logs of containers that run are put aside, and the oldest files go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from container_logs import put_log_aside

from nodeagent.runtime.interface import Container, ContainerPhase, PodKey, RuntimeFailure, Unavailable, Usage
from nodeagent.server import log_rotation
from nodeagent.server.log_rotation import FILES_MAX, LogRotation

POD = PodKey(namespace="default", name="web", uid="u1")
SIZE = 100


class Machine:
    """A runtime whose containers write into files: `write` into the one that is open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.containers: list[Container] = []
        self.open: dict[str, Path] = {}
        self.reopened: list[str] = []
        self.failure: RuntimeFailure | None = None

    def log_file(self, pod: PodKey, container: str, attempt: int) -> Path:
        return self.folder / container / f"{attempt}.log"

    async def list_containers(self, *, pod_uid: str = "") -> list[Container]:
        if isinstance(self.failure, Unavailable):
            raise self.failure
        return self.containers

    async def reopen_log(self, container_id: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.reopened.append(container_id)
        self.log(container_id).write_bytes(b"")

    async def usage(self) -> list[Usage]:
        return []

    def log(self, container_id: str) -> Path:
        return self.folder / container_id / "0.log"

    def add(self, name: str, size: int, phase: ContainerPhase = ContainerPhase.RUNNING) -> Path:
        self.containers.append(
            Container(
                id=name, sandbox_id="s", pod=POD, name=name, attempt=0, image="", image_id="", phase=phase, created_at=0
            )
        )
        self.log(name).parent.mkdir()
        self.log(name).write_bytes(b"x" * size)
        return self.log(name)

    def look(self) -> None:
        asyncio.run(LogRotation(self, self).look())  # type: ignore[arg-type]  # only what is asked for here


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(log_rotation, "SIZE_BYTES_MAX", SIZE)
    return Machine(tmp_path)


def names(log: Path) -> list[str]:
    return sorted(each.name for each in log.parent.iterdir())


def test_only_what_is_large_and_runs(machine: Machine) -> None:
    small, large = machine.add("small", SIZE - 1), machine.add("large", SIZE)
    ended = machine.add("ended", SIZE, ContainerPhase.EXITED)
    machine.look()
    assert names(small) == names(ended) == ["0.log"]
    assert names(large) == ["0.log", "0.log.1"]
    assert (large.parent / "0.log.1").stat().st_size == SIZE
    assert machine.reopened == ["large"]
    machine.look()
    assert machine.reopened == ["large"], "the new one is small"


def test_what_cannot_be_looked_at_is_no_end_of_the_agent(machine: Machine) -> None:
    log = machine.add("odd", SIZE)
    log.unlink()
    log.parent.rmdir()
    log.parent.write_text("a file where the folder was")
    machine.look()
    assert machine.reopened == []


def test_there_are_never_more_files_than_so_many(machine: Machine) -> None:
    log = machine.add("a", SIZE)
    for number in range(1, 9):
        log.write_bytes(b"%d" % number * SIZE)
        machine.look()
        assert len(names(log)) == min(number + 1, FILES_MAX)
    assert names(log) == ["0.log", "0.log.5", "0.log.6", "0.log.7", "0.log.8"]
    assert (log.parent / "0.log.8").read_bytes() == b"8" * SIZE


def test_a_runtime_that_fails_keeps_its_file(machine: Machine) -> None:
    log = machine.add("a", SIZE)
    inode = log.stat().st_ino
    machine.failure = RuntimeFailure("no")
    machine.look()
    assert names(log) == ["0.log"]
    assert log.stat().st_ino == inode, "that is where it goes on writing"
    machine.failure = Unavailable("nobody there")
    machine.look()
    machine.failure = None
    machine.look()
    assert names(log) == ["0.log", "0.log.1"]


def test_a_death_between_the_two_steps_is_made_good(machine: Machine) -> None:
    log = machine.add("a", SIZE)
    put_log_aside(log)
    machine.look()
    assert machine.reopened == ["a"]
    assert names(log) == ["0.log", "0.log.1"]


def test_a_container_that_is_removed_meanwhile_leaves_nothing(machine: Machine) -> None:
    log = machine.add("a", SIZE)
    log.unlink()
    log.parent.rmdir()
    machine.look()
    assert not log.parent.exists()
    assert machine.reopened == []
