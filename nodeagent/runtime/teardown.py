"""Everything that a node's private containerd made goes: pods, shims, itself, mounts, control groups.

First in the orderly way, so that the network's plug-ins give back what they took; then by force whatever is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import signal
from collections.abc import Awaitable, Iterable
from pathlib import Path

from nodeagent.errors import AgentError
from nodeagent.volumes.mounting import mounts_under, unmount

from . import cgroups, processes
from .containerd import PrivateContainerd
from .cri import CriRuntime
from .interface import RuntimeFailure

log = logging.getLogger(__name__)

PODS_WITHIN_S = 60.0
AT_ONCE = 8
_ROUNDS_MAX = 50
_GONE_WITHIN_MS = 5000


async def tear_down(
    runtime: CriRuntime, containerd: PrivateContainerd, *, group: str, folder: Path, grace_period_s: float = 0.0
) -> None:
    """`group`: the node's control group, in which all its processes are; `folder`: what it mounts lies in there;
    `grace_period_s`: what containers get to end by themselves. Raises OSError."""
    try:
        async with asyncio.timeout(PODS_WITHIN_S + grace_period_s):
            await containerd.ensure()
            await _stop_containers(runtime, grace_period_s)
            await _remove_pods(runtime)
    except (AgentError, RuntimeFailure, TimeoutError) as error:
        log.warning("pods are ended by force", extra={"reason": str(error) or "it takes too long"})
    await containerd.stop()
    await asyncio.to_thread(force, group=group, folder=folder)


async def _stop_containers(runtime: CriRuntime, grace_period_s: float) -> None:
    """All at once: a grace period is waiting, no work. Raises RuntimeFailure."""
    running = [each.id for each in await runtime.list_containers() if each.running]
    await _all(runtime.stop_container(each, grace_period_s=grace_period_s) for each in running)


async def _remove_pods(runtime: CriRuntime) -> None:
    """Raises RuntimeFailure."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def remove(sandbox_id: str) -> None:
        async with slots:
            await runtime.remove_sandbox(sandbox_id)

    await _all(remove(each.id) for each in await runtime.list_sandboxes())


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Raises the first failure, after all were tried."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def force(*, group: str, folder: Path) -> None:
    """Kill what is in the group, unmount what is under the folder, remove the group. Raises OSError."""
    for _ in range(_ROUNDS_MAX):  # who saw another one die starts somebody to clean up behind it
        found = [each for each in map(processes.process, _processes(group)) if each is not None]
        if not found:
            break
        for each in found:
            processes.send(each, signal.SIGKILL)
        for each in found:
            _wait_gone(each)
    top = folder.resolve()
    for mount in reversed(mounts_under(top)):
        if mount.path != top:
            unmount(mount.path)
    if not cgroups.remove(group, within_s=_GONE_WITHIN_MS / 1000):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), group)


def _processes(group: str) -> set[int]:
    found: set[int] = set()
    for top in cgroups.groups(group):
        for path, _, _ in os.walk(top):
            with contextlib.suppress(OSError):
                found.update(map(int, Path(path, "cgroup.procs").read_text(encoding="ascii").split()))
    return found - {0, os.getpid()}


def _wait_gone(known: processes.Process) -> None:
    with processes.handle(known) as descriptor:
        if descriptor is not None:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(_GONE_WITHIN_MS)
