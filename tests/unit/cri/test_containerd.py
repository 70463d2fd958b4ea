"""The agent's own containerd: started apart from us, adopted, started anew, never a second one. A program that only
waits stands in for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from nodeagent.errors import AgentError, BadIdentity
from nodeagent.identity import write_file
from nodeagent.runtime import containerd, processes
from nodeagent.runtime.containerd import PrivateContainerd
from nodeagent.runtime.containerd_config import Layout, Programs
from nodeagent.runtime.processes import Process

WITHIN_S = 60.0
STANDS_IN = "#!/bin/sh\necho told >&2\nwhile :; do sleep 60; done\n"


async def yes() -> bool:
    return True


class Place:
    """A folder for one containerd, and a program that stands in for it."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "containerd")
        self.group = folder / "group"
        self.program = folder / "bin" / "stand-in"
        self.program.parent.mkdir()
        self.becomes(STANDS_IN)

    def becomes(self, script: str) -> None:
        self.program.write_text(script)
        self.program.chmod(0o755)

    def containerd(self, answers: containerd.Answers = yes) -> PrivateContainerd:
        programs = Programs(containerd=str(self.program), runc="/runc", cni="/cni")
        return PrivateContainerd(self.layout, programs, groups=[self.group], answers=answers)

    def running(self, within_s: float = WITHIN_S) -> list[Process]:
        """Its command line is there a moment after it."""
        deadline = time.monotonic() + within_s
        while not (found := self._found()) and time.monotonic() < deadline:
            os.sched_yield()
        return found

    def _found(self) -> list[Process]:
        return processes.find(["--config", str(self.layout.config)])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for each in made.running(0.5):
        for pid in (each.pid, *children(each)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def children(parent: Process) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
    return []


async def until(true: Callable[[], bool], what: str) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WITHIN_S
    while not true():
        assert loop.time() < deadline, what
        await asyncio.sleep(0.01)


def test_it_is_started_apart_from_us(place: Place) -> None:
    async def start() -> Process:
        started = await place.containerd().ensure()
        await until(lambda: children(started) != [], "the shell opens and saves no more descriptors: it waits")
        return started

    started = asyncio.run(start())
    assert place.running() == [started]
    fields = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
    parent, session = int(fields[1]), int(fields[3])
    assert session == started.pid
    assert parent != os.getpid()
    assert (place.group / "cgroup.procs").read_text() == "0"
    opened = {os.readlink(f"/proc/{started.pid}/fd/{number}") for number in (0, 1, 2)}
    assert opened == {os.devnull, str(place.layout.log)}
    assert {int(each) for each in os.listdir(f"/proc/{started.pid}/fd")} <= {0, 1, 2, 10}, "10: the shell's own script"


def test_the_next_agent_adopts_it(place: Place) -> None:
    started = asyncio.run(place.containerd().ensure())
    assert asyncio.run(place.containerd().ensure()) == started
    assert place.running() == [started]


@pytest.mark.parametrize("lost", [b"", b"{", msgspec.json.encode(Process(pid=1, start_ticks=0))])
def test_it_is_adopted_also_when_it_is_not_remembered(place: Place, lost: bytes) -> None:
    started = asyncio.run(place.containerd().ensure())
    if lost:
        place.layout.record.write_bytes(lost)
    else:
        place.layout.record.unlink()
    assert asyncio.run(place.containerd().ensure()) == started
    assert place.running() == [started]


def test_on_a_full_disk_it_is_started_and_adopted_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no agent could start there any more, and nobody would remove the images that fill it."""

    def full(path: Path, data: bytes) -> None:
        if path == place.layout.record:
            raise BadIdentity(f"cannot write {path}: No space left on device")
        write_file(path, data)

    monkeypatch.setattr(containerd, "write_file", full)
    started = asyncio.run(place.containerd().ensure())
    assert asyncio.run(place.containerd().ensure()) == started
    assert place.running() == [started]


def test_a_process_that_got_its_id_is_not_taken_for_it(place: Place) -> None:
    started = asyncio.run(place.containerd().ensure())
    os.killpg(started.pid, signal.SIGKILL)
    place.layout.record.write_bytes(msgspec.json.encode(Process(pid=os.getpid(), start_ticks=1)))

    async def again() -> Process:
        await until(lambda: not processes.alive(started), "it is gone")
        return await place.containerd().ensure()

    assert asyncio.run(again()) not in (started, processes.process(os.getpid()))


def test_one_that_does_not_answer_is_replaced(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "START_WITHIN_S", 0.1)
    deaf = asyncio.run(place.containerd().ensure())

    async def answers() -> bool:
        return place.running(0.5) != [deaf]

    again = asyncio.run(place.containerd(answers).ensure())
    assert again != deaf
    assert place.running() == [again]


def test_one_that_answers_is_kept_though_the_agent_stood_still_for_too_long(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containerd, "START_WITHIN_S", 0.0)
    started = asyncio.run(place.containerd().ensure())
    assert asyncio.run(place.containerd().ensure()) == started
    assert place.running() == [started]


def test_one_that_ends_is_started_again(place: Place) -> None:
    async def work() -> None:
        made = place.containerd()
        first = await made.ensure()
        running = asyncio.create_task(made.run())
        try:
            os.kill(first.pid, signal.SIGKILL)
            await until(lambda: made.process not in (None, first), "another one runs")
            assert place.running() == [made.process]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert place.running() == [made.process], "it goes on without us"

    asyncio.run(work())


def test_it_can_be_stopped_by_whoever_comes_later(place: Place) -> None:
    asyncio.run(place.containerd().ensure())
    asyncio.run(place.containerd().stop())
    assert place.running(0.5) == []
    asyncio.run(place.containerd().stop())


def test_one_that_ends_at_once_says_why(place: Place) -> None:
    place.becomes("#!/bin/sh\necho 'containerd: the disk is full' >&2\nexit 1\n")

    async def never() -> bool:
        return False

    with pytest.raises(AgentError, match="the disk is full"):
        asyncio.run(place.containerd(never).ensure())


def test_one_that_is_not_there_says_so(place: Place) -> None:
    place.program.unlink()
    with pytest.raises(AgentError, match=r"No such file or directory: .*stand-in"):
        asyncio.run(place.containerd().ensure())


def test_a_group_that_cannot_be_joined_says_so(place: Place) -> None:
    place.group.write_text("no folder")
    with pytest.raises(AgentError, match=r"cannot start containerd: .*: .*/group"):
        asyncio.run(place.containerd().ensure())


def test_a_log_that_is_long_is_put_aside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "LOG_BYTES_MAX", 10)
    place.layout.log.parent.mkdir(parents=True)
    place.layout.log.write_text("a long story\n")
    asyncio.run(place.containerd().ensure())
    assert place.layout.log.with_name("containerd.log.old").read_text() == "a long story\n"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ("long" * 30))
    with pytest.raises(AgentError, match="choose a shorter data directory"):
        PrivateContainerd(layout, Programs(containerd="", runc="", cni=""), groups=[], answers=yes)
