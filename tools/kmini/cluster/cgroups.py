"""A host's cgroup: everything that runs in the host, whatever it forked, and whoever called setsid.

cgroup v2 where it is mounted (on hybrid machines beside v1: killing and freezing need no controller), else the freezer
of v1. A cluster's group lies at the top of the hierarchy, a host's in it, and daemons in the host's leaf `system`: a
group of v2 that gives controllers to its children may hold no process itself, and an agent will make groups for its
pods beside that leaf. Whatever lies below a host's group is the host's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import CommandError

LEAF = "system"
TIMEOUT_S = 20.0
POLL_S = 0.01


def hierarchy() -> Path:
    """Where groups are made. Raises CommandError when neither v2 nor the freezer of v1 is mounted."""
    unified = freezer = None
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _source, target, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            unified = unified or Path(target)
        elif kind == "cgroup" and "freezer" in options.split(","):
            freezer = freezer or Path(target)
    found = unified or freezer
    if found is None:
        raise CommandError("no cgroup hierarchy is mounted: hosts need cgroup v2, or the freezer of v1")
    return found


class Group:
    """A group and all below it. Methods raise OSError; CommandError when the kernel does not do it in time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def leaf(self) -> Path:
        """Where a daemon is to be put."""
        return self.path / LEAF

    def create(self) -> None:
        self.leaf.mkdir(parents=True, exist_ok=True)

    def exists(self) -> bool:
        return self.path.is_dir()

    def processes(self) -> list[int]:
        """Ids of the processes in the group and below it; zombies are none."""
        found: list[int] = []
        for group in self._groups():
            with contextlib.suppress(OSError):  # it went meanwhile, with its processes
                found += [int(line) for line in (group / "cgroup.procs").read_text().split()]
        return found

    def kill(self) -> None:
        """SIGKILL everything, frozen or not, and wait until nothing is left. The group stays, thawed."""
        if not self.exists():
            return
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            self._kill_once()
            if not self.processes():
                break
            if time.monotonic() > deadline:
                raise CommandError(f"{len(self.processes())} processes in {self.path} cannot be killed")
            time.sleep(POLL_S)
        self.thaw()

    def _kill_once(self) -> None:
        if self._has("cgroup.kill"):  # v2 from Linux 5.14 on
            self._set("cgroup.kill", "1")
            return
        self.freeze()  # nobody forks away meanwhile
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.thaw()

    def freeze(self) -> None:
        """Stop everything, and wait until all stands still."""
        if self._is_unified():
            self._set("cgroup.freeze", "1")
            self._wait_until(lambda: "frozen 1" in self._read("cgroup.events"), "frozen")
        else:
            self._set("freezer.state", "FROZEN")
            self._wait_until(lambda: self._read("freezer.state").strip() == "FROZEN", "frozen")

    def thaw(self) -> None:
        if self._is_unified():
            self._set("cgroup.freeze", "0")
        else:
            self._set("freezer.state", "THAWED")

    def frozen(self) -> bool:
        """Whether it was told to freeze; False when there is no group."""
        try:
            if self._is_unified():
                return self._read("cgroup.freeze").strip() == "1"
            return self._read("freezer.state").strip() != "THAWED"
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """Kill everything and remove the group with all below it. No error when it is gone already."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.exists():
            self.kill()
            for group in reversed(self._groups()):  # children before their parents
                try:
                    group.rmdir()
                except FileNotFoundError:
                    continue
                except OSError as error:  # somebody entered between the two, or is not gone yet
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        raise
                    break
            time.sleep(POLL_S if self.exists() else 0)

    def _groups(self) -> list[Path]:
        """This group and all below, parents first."""
        return [Path(folder) for folder, _folders, _files in os.walk(self.path)]

    def _is_unified(self) -> bool:
        return not self._has("freezer.state")

    def _has(self, name: str) -> bool:
        return (self.path / name).exists()

    def _read(self, name: str) -> str:
        return (self.path / name).read_text()

    def _set(self, name: str, value: str) -> None:
        with (self.path / name).open("r+") as file:  # no O_CREAT: what is not there is not to be made
            file.write(value)

    def _wait_until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise CommandError(f"{self.path} is not {what} after {TIMEOUT_S:.0f} s")
            time.sleep(POLL_S)
