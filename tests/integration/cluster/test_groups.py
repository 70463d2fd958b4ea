"""Groups kill and freeze all that is in them, on cgroup v2 and on the freezer of v1."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kmini.cluster.cgroups import Group

HIERARCHIES = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer", "/sys/fs/cgroup"]

FORK_ON = """
import os, sys, time
sys.stdin.readline()
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.setsid()
os.write(1, b"ready\\n")
time.sleep(600)
"""


#: Never the same process for long; gives up by itself, should it not be caught.
FLEE = """
import os, sys
sys.stdin.readline()
for _ in range(100_000):
    if os.fork():
        os._exit(0)
"""


def usable(path: Path) -> bool:
    return (path / "cgroup.procs").exists() and ((path / "cgroup.controllers").exists() or path.name == "freezer")


@pytest.fixture(params=[path for path in HIERARCHIES if usable(Path(path))])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    group = Group(Path(request.param) / f"kmini-test-{os.getpid()}")
    group.create()
    yield group
    group.remove()
    assert not group.exists()


def scatter(group: Path, forks: int = 3) -> subprocess.Popen[str]:
    """2^forks processes in the group, each in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORK_ON, str(forks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    (group / "cgroup.procs").write_text(str(process.pid))
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(1 << forks):
        assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> int:
    code = process.wait(60)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()
    return code


def test_everything_is_killed(group: Group) -> None:
    inner = group.path / "pods" / "one"
    inner.mkdir(parents=True)
    here, below = scatter(group.leaf), scatter(inner)
    assert len(group.processes()) == 16
    group.kill()
    assert group.processes() == []
    assert (ended(here), ended(below)) == (-9, -9)
    group.kill()


def test_what_is_frozen_is_killed_and_the_group_thawed(group: Group) -> None:
    process = scatter(group.leaf, 1)
    group.freeze()
    assert group.frozen()
    group.kill()
    assert ended(process) == -9
    assert not group.frozen()
    again = scatter(group.leaf, 1)
    group.kill()
    ended(again)


def test_freezing_stops_all_and_thawing_lets_them_go_on(group: Group) -> None:
    def ticks(pids: list[int]) -> int:
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids)

    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        (group.leaf / "cgroup.procs").write_text(str(busy.pid))
        group.freeze()
        before = ticks([busy.pid])
        group.freeze()
        assert ticks([busy.pid]) == before
        group.thaw()
        group.thaw()
        assert not group.frozen()
        while ticks([busy.pid]) == before:
            pass  # it gets its turn; the test's own time limit is the bound
    finally:
        group.kill()
        busy.wait(60)


def test_who_forks_away_all_the_time_is_killed_too(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Group._has
    monkeypatch.setattr(Group, "_has", lambda self, name: name != "cgroup.kill" and real(self, name))
    process = subprocess.Popen([sys.executable, "-c", FLEE], stdin=subprocess.PIPE)
    (group.leaf / "cgroup.procs").write_text(str(process.pid))
    process.communicate(b"go\n")
    kill, still = os.kill, []

    def watched(pid: int, number: int) -> None:
        still.append(group.frozen())
        kill(pid, number)

    monkeypatch.setattr(os, "kill", watched)
    group.kill()
    assert group.processes() == []
    assert still
    assert all(still)  # a race that is won by luck is not enough


def test_removing_twice_and_what_was_never_there(group: Group) -> None:
    process = scatter(group.leaf, 2)
    group.remove()
    assert ended(process) == -9
    group.remove()
    nothing = Group(group.path.with_name(group.path.name + "-not-there"))
    nothing.kill()
    nothing.remove()
    assert not nothing.frozen()
    assert nothing.processes() == []


def test_without_the_one_file_that_kills_all_it_is_done_one_by_one(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on kernels before 5.14."""
    real = Group._has
    monkeypatch.setattr(Group, "_has", lambda self, name: name != "cgroup.kill" and real(self, name))
    process = scatter(group.leaf)
    group.kill()
    assert group.processes() == []
    assert ended(process) == -9
