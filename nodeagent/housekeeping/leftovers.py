"""What is left of pods that are gone, when somebody was killed between two steps: folders of logs, control groups, and
addresses that the network's plug-in (host-local) still holds for a sandbox that is no more.

A sandbox that is being made is not listed yet: so only what was nobody's for longer than that can take goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from nodeagent.runtime import cgroups
from nodeagent.runtime.cri import SANDBOX_WITHIN_S
from nodeagent.runtime.interface import RuntimeFailure, Sandbox

from .unused import Unused

log = logging.getLogger(__name__)

EVERY_S = 300.0
UNUSED_FOR_S = 2 * SANDBOX_WITHIN_S
_OWNER_BYTES_MAX = 4096
_GROUP = "pod"  # what the names of pods' groups begin with, before the uid


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where pods leave things. `group` is the group of all pods, named from the top; `leases` host-local's folder."""

    logs: Path
    leases: Path
    group: str


class Leftovers:
    """`run` until it is cancelled. `sandboxes` are all there are."""

    def __init__(self, sandboxes: Callable[[], Awaitable[Sequence[Sandbox]]], places: Places) -> None:
        self._sandboxes = sandboxes
        self._places = places
        self._unused: Unused[Path] = Unused()

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
            except (RuntimeFailure, OSError) as error:
                log.warning("leftovers were not looked for", extra={"error": str(error)})
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> list[Path]:
        """What went. Raises RuntimeFailure, OSError."""
        there = await asyncio.to_thread(lambda: list(self._there()))  # before the question whose they are
        sandboxes = await self._sandboxes()
        ids, uids = {each.id for each in sandboxes}, {each.pod.uid for each in sandboxes}
        now = asyncio.get_running_loop().time()
        self._unused.seen((path for path, owner in there if owner not in ids and owner not in uids), now)
        gone = self._unused.for_at_least(UNUSED_FOR_S, now)
        if gone:
            gone = await asyncio.to_thread(self._removed, gone)
            log.info("leftovers of pods that are gone were removed", extra={"paths": [str(path) for path in gone]})
        return gone

    def _there(self) -> Iterator[tuple[Path, str]]:
        """With the sandbox or the pod's uid that it belongs to."""
        for path in _entries(self._places.logs):
            yield path, path.name.rpartition("_")[2]
        for group in cgroups.groups(self._places.group):
            for path in _entries(group):
                if path.name.startswith(_GROUP) and path.is_dir():
                    yield path, path.name.removeprefix(_GROUP)
        for network in _entries(self._places.leases):
            for path in _entries(network):
                if _is_address(path.name):
                    yield path, _owner(path)

    def _removed(self, paths: Sequence[Path]) -> list[Path]:
        """Those that could be removed. One that cannot must not keep all others for ever."""
        removed = []
        for path in paths:
            try:
                self._remove(path)
                removed.append(path)
            except OSError as error:
                log.warning("a leftover was not removed", extra={"path": str(path), "error": str(error)})
        return removed

    def _remove(self, path: Path) -> None:
        """Raises OSError."""
        if path.is_relative_to(self._places.leases):
            _give_back(path)
        elif path.is_relative_to(self._places.logs):
            shutil.rmtree(path)
        else:
            cgroups.remove(f"{self._places.group}/{path.name}")


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return [Path(each) for each in os.scandir(folder)]
    return []


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _owner(lease: Path) -> str:
    """The sandbox's id stands in the first line; "" when the power went before it was written."""
    with contextlib.suppress(FileNotFoundError), lease.open("rb") as file:
        return file.read(_OWNER_BYTES_MAX).decode(errors="replace").partition("\n")[0].strip()
    return ""


def _give_back(lease: Path) -> None:
    """Under host-local's own lock, unless somebody else has got the address meanwhile. Raises OSError."""
    owner = _owner(lease)
    with (lease.parent / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _owner(lease) == owner:
            lease.unlink(missing_ok=True)
