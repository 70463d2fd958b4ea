"""A node's containers end with it, in the orderly way or by force, and nothing is left of either."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from container_host import Host
from folder_processes import processes_of
from kmini.agent_runtime import make_containerd, open_runtime
from kmini.images import SAMPLE
from kmini_process import eventually

from nodeagent.runtime import processes
from nodeagent.runtime.interface import ContainerConfig, PodKey, SandboxConfig
from nodeagent.runtime.teardown import force

CIDR = "10.201.0.0/24"


async def start_pods(host: Host, count: int) -> None:
    """They, and containerd, stay."""
    async with open_runtime(host.settings) as runtime:
        await runtime.update_pod_cidr(CIDR)
        for number in range(count):
            pod = PodKey(namespace="default", name=f"p{number}", uid=f"uid-{number}")
            sandbox_id = await runtime.run_sandbox(SandboxConfig(pod=pod))
            container = ContainerConfig(name="main", attempt=0, image=SAMPLE)
            await runtime.start_container(await runtime.create_container(sandbox_id, container))


def traces(host: Host) -> list[str]:
    """Processes, control groups and mounts."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return [
        *(f"process {pid}" for pid in processes_of(host.folder)),
        *(str(group) for group in host.groups),
        *(line for line in mounts if str(host.folder) in line),
    ]


def kill_containerd(host: Host) -> None:
    async def find() -> processes.Process:
        async with open_runtime(host.settings) as runtime:
            return await make_containerd(host.settings, runtime).ensure()

    containerd = asyncio.run(find())
    os.kill(containerd.pid, signal.SIGKILL)
    eventually(lambda: not processes.alive(containerd), what="containerd's end")


def end_by_force(host: Host) -> None:
    force(group=host.settings.group, folder=host.settings.layout.folder)


@pytest.mark.parametrize("before", [None, kill_containerd], ids=["containerd runs", "containerd was killed"])
def test_nothing_is_left(host: Host, before: Callable[[Host], None] | None) -> None:
    asyncio.run(start_pods(host, 2))
    assert len(traces(host)) > 10
    if before is not None:
        before(host)
    host.tear_down()
    assert traces(host) == []
    leases = [each.name for each in (host.settings.folder / "addresses" / "kmini").iterdir()]
    assert not [each for each in leases if each.startswith("10.")], "addresses were given back"
    host.tear_down()


def test_nothing_that_runs_is_left_by_force(host: Host) -> None:
    asyncio.run(start_pods(host, 1))
    end_by_force(host)
    assert traces(host) == []
