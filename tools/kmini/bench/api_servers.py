"""Our side of the API benchmark: `kmini server` processes on loopback, and the hello beside them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .api_access import Access, Hands, hands
from .process import Daemon, Memory, free_ports, memory
from .side import MEMBERS, WorkNotDone
from .within import within

READY_TIMEOUT_S = 180.0  # the first start compiles all it loads, and a machine may have much else to do
_POLL_S = 0.05
_STOP_S = 15.0


def environment(folder: Path) -> Mapping[str, str]:
    """Where our packages are, installed or not; their bytecode is kept below `folder`, as an installation keeps it."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }


def kmini(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "kmini", *map(str, arguments)]


class ApiCluster:
    """Three replicas, durable, with TLS and RBAC as always."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._folder = Path()
        self._ports: list[int] = []
        self._servers: list[Daemon] = []

    async def start(self, folder: Path) -> None:
        """Returns when every replica is ready."""
        self._folder = folder
        await _run(kmini("pki", "init", "--ca-dir", folder / "ca"), self._environment)
        ports = free_ports(2 * MEMBERS)
        self._ports, peer_ports = ports[:MEMBERS], ports[MEMBERS:]
        members = ",".join(f"s{index}=127.0.0.1:{port}" for index, port in enumerate(peer_ports))
        for index in range(MEMBERS):
            command = kmini(
                "server", "--name", f"s{index}", "--data-dir", folder / f"s{index}", "--bind", "127.0.0.1",
                "--api-port", self._ports[index], "--peer-port", peer_ports[index], "--etcd-port", 0,
                "--ca-dir", folder / "ca", "--initial-cluster", members,
            )  # fmt: skip
            daemon = Daemon(f"kmini s{index}", command, folder / f"s{index}.log", environment=self._environment)
            self._servers.append(daemon)
        await asyncio.gather(*(self._ready(index) for index in range(MEMBERS)))

    async def _ready(self, index: int) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        while not await self._answers(index):
            self._servers[index].check()
            if time.monotonic() > end:
                raise TimeoutError(f"kmini s{index} was not ready in {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)

    async def _answers(self, index: int) -> bool:
        if not (self.pki(index) / "server.crt").exists():
            return False
        try:
            async with hands(self.base(index), self.authority) as anonymous:
                await anonymous.send("GET", "/readyz")
        except (OSError, WorkNotDone):
            return False
        return True

    async def stop(self) -> None:
        """End every process. May be called twice."""
        await asyncio.gather(*(server.stop(_STOP_S) for server in self._servers))

    # --- where things are -------------------------------------------------------------------------

    def base(self, index: int) -> str:
        return f"https://127.0.0.1:{self._ports[index]}"

    def pki(self, index: int) -> Path:
        return self._folder / f"s{index}" / "pki"

    @property
    def authority(self) -> Path:
        return self._folder / "ca" / "ca.crt"

    @property
    def admin_certificate(self) -> tuple[Path, Path]:
        return self.pki(0) / "admin.crt", self.pki(0) / "admin.key"

    def access(self, index: int, token: str) -> Access:
        return Access(base=self.base(index), authority=self.authority, token=token)

    async def leader(self) -> int:
        """The leader's place in the list. Raises TimeoutError when none is found."""
        end = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < end:
            for index in range(MEMBERS):
                async with hands(self.base(index), self.authority, certificate=self.admin_certificate) as admin:
                    if b"\nkmini_store_is_leader 1.0" in await _metrics(admin):
                        return index
            await asyncio.sleep(_POLL_S)
        raise TimeoutError("no replica leads")

    def memory(self) -> list[Memory]:
        return [memory(server.pid) for server in self._servers]


async def _metrics(admin: Hands) -> bytes:
    answer = await admin.send("GET", "/metrics")
    assert isinstance(answer, bytes)
    return answer


class Hello:
    """The bare server, with the certificate of one of the replicas."""

    def __init__(self, pki: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.port = free_ports(1)[0]
        command = [sys.executable, "-m", "kmini.bench.hello", str(pki), str(self.port)]
        self._daemon = Daemon("hello", command, log, environment=environment)

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def ready(self) -> None:
        end = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self._daemon.check()
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(_POLL_S)
            else:
                writer.close()
                return

    async def stop(self) -> None:
        await self._daemon.stop()


async def _run(command: list[str], environment: Mapping[str, str]) -> None:
    await asyncio.to_thread(
        subprocess.run, command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment}
    )


async def boot_s(folder: Path, environment: Mapping[str, str]) -> float:
    """Seconds from the start of one replica alone to its saying that it is ready; then it is stopped.

    While `folder` is empty it is a first start, with all keys and certificates to be made; else a restart.
    """
    api_port, peer_port, etcd_port = free_ports(3)
    command = kmini(
        "server", "--name", "alone", "--data-dir", folder / "data", "--bind", "127.0.0.1",
        "--api-port", api_port, "--peer-port", peer_port, "--etcd-port", etcd_port,
    )  # fmt: skip
    with (folder / "log").open("ab") as log:
        begin = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=log, env={**os.environ, **environment}
        )
        assert process.stdout is not None
        try:
            line = await within(process.stdout.readline(), READY_TIMEOUT_S)
            took_s = time.monotonic() - begin
            if b"ready" not in line:
                raise WorkNotDone(f"kmini server said {line[:200]!r} instead of being ready")
            return took_s
        finally:
            if process.returncode is None:
                process.terminate()
                await within(process.wait(), READY_TIMEOUT_S)
