"""One node with real containers for the benchmark of pods: the agent as a process, and its containerd used without it.

All of it runs in a network namespace of the benchmark's own, which goes with its last process.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kmini.agent_runtime import RuntimeSettings, make_containerd, make_runtime
from kmini.images import SAMPLE
from nodeagent.network.teardown import remove_network
from nodeagent.runtime.cri import CriRuntime
from nodeagent.runtime.interface import (
    ContainerConfig,
    Dns,
    LastWords,
    PodKey,
    Resources,
    RuntimeFailure,
    SandboxConfig,
    Security,
)
from nodeagent.runtime.teardown import tear_down
from nodeagent.spec.security import MASKED_PATHS, READ_ONLY_PATHS

from .process import Daemon, Memory, cpu_s, memory

NODE = "bench"
STOP_S = 20.0
_CLONE_NEWNET = 0x40000000
_POLL_S = 0.02
_BARE = "bare"  # whose containers the ones of the bare loop are, so that the agent does not take them for its own


def own_network() -> None:
    """For this process and all that it starts. Raises OSError; not root's business to be without."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"a network namespace of its own: {os.strerror(number)}")
    _ip("link set lo up")
    _ip("link add kminibench type bridge")  # an address that is not loopback's, and a way out: a node has both
    _ip("addr add 192.0.2.1/24 dev kminibench")
    _ip("link set kminibench up")
    _ip("route add default via 192.0.2.254")


def _ip(words: str) -> None:
    subprocess.run([shutil.which("ip") or "/sbin/ip", *words.split()], check=True)


def _sandbox(key: PodKey) -> SandboxConfig:
    """As the agent asks for it, so that what is compared does the same: of a pod without requests."""
    dns = Dns(servers=["10.96.0.10"], searches=[f"{key.namespace}.svc.cluster.local"], options=["ndots:5"])
    return SandboxConfig(pod=key, hostname=key.name, dns=dns, resources=Resources(cpu_shares=2))


def _container(key: PodKey) -> ContainerConfig:
    """As the agent asks for it: paths that are masked and files that are mounted are work for who starts it."""
    return ContainerConfig(
        name="sample",
        attempt=0,
        image=SAMPLE,
        hostname=key.name,
        hosts=f"127.0.0.1\tlocalhost\n192.0.2.1\t{key.name}\n",
        last_words=LastWords(path="/dev/termination-log"),
        resources=Resources(cpu_shares=2, oom_score_adj=1000),
        security=Security(masked_paths=MASKED_PATHS, read_only_paths=READ_ONLY_PATHS),
    )


async def _is_empty(runtime: CriRuntime) -> bool:
    """A sandbox that somebody stops in this moment cannot be asked about: then it is not."""
    try:
        return not await runtime.list_sandboxes()
    except RuntimeFailure:
        return False


class Calls(NamedTuple):
    """Seconds, of one pod without anybody in between."""

    sandbox: float
    create: float
    start: float

    @property
    def total(self) -> float:
        return sum(self)


class BenchNode:
    """`start` it, once the server is ready; `stop` ends everything, also what the agent would have left running."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._settings = RuntimeSettings(
            node=NODE,
            folder=folder / "agent",
            images=folder / "images",
            socket=None,
            group=f"/kmini-bench-{secrets.token_hex(4)}",
        )
        bare = RuntimeSettings(
            node=_BARE,
            folder=self._settings.folder,
            images=self._settings.images,
            socket=None,
            group=self._settings.group,
        )
        self.bare = make_runtime(bare)
        self._daemon: Daemon | None = None
        self._pods = 0

    def start(self, base: str, token: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "kmini", "agent", "--node-name", NODE, "--data-dir", str(self._folder)),
            *("--server", base, "--token-file", str(token), "--cgroup", self._settings.group),
        ]
        self._daemon = Daemon("agent", command, self._folder / "agent.log", environment=self._environment)

    def check(self) -> None:
        """Raises ProcessDied."""
        if self._daemon is not None:
            self._daemon.check()

    async def stop(self) -> None:
        """May be called twice."""
        if self._daemon is not None:
            await self._daemon.stop(STOP_S)
            self._daemon = None
            await self._remove_containers()
            await remove_network(NODE)
        await self.bare.close()

    async def _remove_containers(self) -> None:
        runtime = make_runtime(self._settings)
        try:
            containerd = make_containerd(self._settings, runtime)
            await tear_down(runtime, containerd, group=self._settings.group, folder=self._settings.layout.folder)
        finally:
            await runtime.close()

    # --- without the agent ----------------------------------------------------------------------------

    async def bare_pod(self) -> tuple[str, Calls]:
        """The three calls that start a pod of the sample; the sandbox's id, and how long they took."""
        self._pods += 1
        key = PodKey(namespace="bare", name=f"bare-{self._pods}", uid=f"bare-{secrets.token_hex(8)}")
        begin = time.perf_counter()
        sandbox = await self.bare.run_sandbox(_sandbox(key))
        made = time.perf_counter()
        container = await self.bare.create_container(sandbox, _container(key))
        created = time.perf_counter()
        await self.bare.start_container(container)
        return sandbox, Calls(made - begin, created - made, time.perf_counter() - created)

    async def bare_pods(self, count: int, *, at_once: int) -> tuple[list[Calls], float]:
        """How long each took, and all together; they are gone afterwards."""
        sandboxes, taken = [], []
        waiting = iter(range(count))

        async def work() -> None:
            for _ in waiting:
                sandbox, calls = await self.bare_pod()
                sandboxes.append(sandbox)
                taken.append(calls)

        begin = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        elapsed_s = time.perf_counter() - begin
        for sandbox in sandboxes:
            await self.bare.remove_sandbox(sandbox)
        return taken, elapsed_s

    async def until_empty(self, within_s: float) -> None:
        """Until nothing is left of the agent's pods: an object is gone a moment before its sandbox."""
        runtime = make_runtime(self._settings)
        try:
            async with asyncio.timeout(within_s):
                while not await _is_empty(runtime):  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(_POLL_S)
        finally:
            await runtime.close()

    # --- the agent ------------------------------------------------------------------------------------

    def memory(self) -> Memory:
        return memory(self._pid)

    def cpu_s(self) -> float:
        return cpu_s(self._pid)

    @property
    def _pid(self) -> int:
        assert self._daemon is not None, "it was started"
        return self._daemon.pid
