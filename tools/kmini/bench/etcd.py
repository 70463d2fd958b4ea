"""The peer: three members of Debian's etcd, with mTLS between them and etcd's own defaults for everything else."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

from . import face, pki
from .http2 import CallFailed
from .process import Daemon, Memory, cpu_s, free_ports, memory, written_bytes
from .side import MEMBERS, Rate

_PACKAGES = {"etcd": "etcd-server", "h2load": "nghttp2-client"}
_START_TIMEOUT_S = 30.0
_RESTART_TIMEOUT_S = 60.0
_SETTLE_S = 0.5
_POLL_S = 0.05


class PeerMissing(Exception):
    """etcd or h2load is not installed."""


def require_tools() -> None:
    """Raises PeerMissing, naming the Debian packages that `make bench-store` installs as root."""
    missing = [package for program, package in _PACKAGES.items() if shutil.which(program) is None]
    if missing:
        raise PeerMissing(f"{' and '.join(missing)} missing: apt-get install {' '.join(missing)}")


def version() -> str:
    """etcd's version, as it says it."""
    output = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return output.splitlines()[0].rpartition(":")[2].strip()


class EtcdCluster:
    """`Cluster` of etcd; its loads go through its gRPC port, as etcd has no other."""

    name = "etcd"

    def __init__(self) -> None:
        self._folder = Path()
        self._peer_ports: list[int] = []
        self._client_ports: list[int] = []
        self._files: list[pki.Files] = []
        self._members: list[Daemon] = []

    # --- processes --------------------------------------------------------------------------------

    async def start(self, folder: Path) -> None:
        self._prepare(folder)
        self._members = []
        for index in range(MEMBERS):
            self._members.append(self._launch(index))
        await self._ready()

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        ports = free_ports(2 * MEMBERS)
        self._peer_ports, self._client_ports = ports[:MEMBERS], ports[MEMBERS:]
        authority = pki.Authority(folder)
        self._files = [authority.issue(f"m{index}") for index in range(MEMBERS)]

    def _launch(self, index: int) -> Daemon:
        peer = f"https://127.0.0.1:{self._peer_ports[index]}"
        client = f"http://127.0.0.1:{self._client_ports[index]}"
        files = self._files[index]
        cluster = ",".join(f"m{number}=https://127.0.0.1:{port}" for number, port in enumerate(self._peer_ports))
        options = {
            "name": f"m{index}",
            "data-dir": str(self._folder / f"m{index}.etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": cluster,
            "peer-cert-file": str(files.certificate),
            "peer-key-file": str(files.key),
            "peer-trusted-ca-file": str(files.ca),
            "peer-client-cert-auth": "true",
            "logger": "zap",
            "log-level": "error",
        }
        command = ["etcd", *(f"--{name}={value}" for name, value in options.items())]
        return Daemon(f"etcd m{index}", command, self._folder / f"m{index}.log")

    async def _ready(self) -> None:
        await self._within(face.first_put(self._client_ports, timeout_s=_START_TIMEOUT_S))
        for port in self._client_ports:
            await self._caught_up(port)

    async def _within(self, first_put: Awaitable[float]) -> float:
        """Wait for a put, and when none comes say whose process died."""
        try:
            return await first_put
        except TimeoutError:
            for member in self._members:
                member.check()
            raise

    async def _caught_up(self, port: int) -> None:
        end = time.monotonic() + _START_TIMEOUT_S
        while not await face.answers(port):
            if time.monotonic() > end:
                raise TimeoutError(f"etcd at port {port} did not catch up in {_START_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self._members))

    async def _leader(self) -> int:
        """The leader's place in the list. Raises TimeoutError when none is found."""
        end = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < end:
            for index, port in enumerate(self._client_ports):
                try:
                    status = await face.status(port)
                except (OSError, CallFailed, TimeoutError):
                    continue
                if status.leader == status.member_id:
                    return index
            await asyncio.sleep(_POLL_S)
        raise TimeoutError("etcd has no leader")

    # --- measurements -----------------------------------------------------------------------------

    @property
    def client_ports(self) -> Sequence[int]:
        return tuple(self._client_ports)

    async def leader_port(self) -> int:
        return self._client_ports[await self._leader()]

    async def fill(self, prefix: bytes, count: int) -> Rate:
        return await face.fill(await self.leader_port(), prefix, count)

    async def fail_over(self) -> float:
        leader = await self._leader()
        survivors = [port for index, port in enumerate(self._client_ports) if index != leader]
        begin = time.monotonic()
        self._members[leader].kill()
        first = await face.first_put(survivors)
        self._members[leader] = self._launch(leader)
        await self._caught_up(self._client_ports[leader])
        await asyncio.sleep(_SETTLE_S)
        return first - begin

    async def restart(self) -> float:
        for member in self._members:
            member.kill()
        begin = time.monotonic()
        self._members = [self._launch(index) for index in range(MEMBERS)]
        first = await self._within(face.first_put(self._client_ports, timeout_s=_RESTART_TIMEOUT_S))
        for port in self._client_ports:
            await self._caught_up(port)
        return first - begin

    def memory(self) -> list[Memory]:
        return [memory(member.pid) for member in self._members]

    def written_bytes(self) -> int:
        return sum(written_bytes(member.pid) for member in self._members)

    def cpu_s(self) -> float:
        return sum(cpu_s(member.pid) for member in self._members)
