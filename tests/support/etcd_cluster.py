"""Real stores with etcd faces, served from a thread with a loop of its own, and etcdctl to drive them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from etcd_pki import Authority
from etcd_serving import LoopThread
from kmini.access import ETCD_USERS, MASTERS, authorize
from ports import free_ports
from store_cluster import PATIENT, StoreCluster

from raftstore.config import StoreConfig
from raftstore.etcd.adapter import StoreBackend
from raftstore.etcd.server import EtcdServer, TlsFiles

USERS = {"admin": (MASTERS,), "user": (ETCD_USERS,), "node": ("system:nodes",)}


class Running:
    """A command that goes on until its context ends; its output is read as it comes."""

    def __init__(self, command: list[str], output: Path) -> None:
        self._command = command
        self._output = output

    def __enter__(self) -> Running:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    def lines(self, count: int, patience_s: float = 60.0) -> list[str]:
        """The first `count` lines that are not empty; fewer when they do not come in time."""
        deadline = time.monotonic() + patience_s
        while True:
            found = [line for line in self._output.read_text().splitlines() if line]
            if len(found) >= count or time.monotonic() > deadline:
                return found[:count]
            time.sleep(0.02)


class _FacedStores(StoreCluster):
    """Stores that tell each other where their etcd faces are."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(folder, count, timing=PATIENT)
        self.client_ports = dict(zip(self.addresses, free_ports(count), strict=True))

    def config(self, name: str) -> StoreConfig:
        client_address = f"127.0.0.1:{self.client_ports[name]}"
        return msgspec.structs.replace(super().config(name), client_address=client_address)


class FacedCluster:
    """Up to a few replicas with faces; `etcdctl` speaks to all of them as `user`."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        for name, groups in USERS.items():
            self.authority.issue(name, groups)
        self.stores = _FacedStores(folder, count)
        self._started = 0

    @property
    def endpoints(self) -> dict[str, str]:
        return {name: f"https://127.0.0.1:{port}" for name, port in self.stores.client_ports.items()}

    def run(self, user: str, *arguments: str, endpoint: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(user, *arguments, endpoint=endpoint),
            env={**os.environ, "ETCDCTL_API": "3"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, user: str, *arguments: str, endpoint: str = "") -> list[str]:
        return [
            "etcdctl",
            *("--endpoints", endpoint or ",".join(self.endpoints.values())),
            *("--cacert", str(self.authority.certificate)),
            *("--cert", str(self.folder / f"{user}.crt"), "--key", str(self.folder / f"{user}.key")),
            *arguments,
        ]

    def running(self, user: str, *arguments: str) -> Running:
        self._started += 1
        return Running(self.command(user, *arguments), self.folder / f"output-{self._started}")

    def ok(self, *arguments: str, user: str = "admin", endpoint: str = "", stdin: str = "") -> str:
        """The output of a command that must succeed."""
        done = self.run(user, *arguments, endpoint=endpoint, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, user: str = "admin", endpoint: str = "", stdin: str = "") -> str:
        """What a command that must fail says."""
        done = self.run(user, *arguments, endpoint=endpoint, stdin=stdin)
        assert done.returncode != 0, f"{arguments}: {done.stdout}"
        return done.stderr + done.stdout

    def json(self, *arguments: str, user: str = "admin", endpoint: str = "") -> Any:
        return json.loads(self.ok(*arguments, "-w", "json", user=user, endpoint=endpoint))

    def leader(self) -> str:
        """The name of the replica that leads."""
        (leader,) = (name for name, store in self.stores.stores.items() if store.leader == store.status().member_id)
        return leader


@asynccontextmanager
async def _faces(stores: _FacedStores, folder: Path, authority: Authority) -> AsyncIterator[None]:
    certificate, key = authority.issue("server")
    tls = TlsFiles(certificate=certificate, key=key, client_ca=authority.certificate)
    servers = []
    try:
        for name, store in stores.stores.items():
            address = f"127.0.0.1:{stores.client_ports[name]}"
            server = EtcdServer(StoreBackend(store), authorize=authorize, tls=tls, address=address)
            await server.start()
            servers.append(server)
        yield
    finally:
        for server in servers:
            await server.stop(0)


@contextmanager
def faced_cluster(folder: Path, count: int) -> Iterator[FacedCluster]:
    """A cluster that has a leader."""

    @asynccontextmanager
    async def make() -> AsyncIterator[FacedCluster]:
        cluster = FacedCluster(folder, count)
        await cluster.stores.start()
        try:
            await cluster.stores.wait_for_leader()
            async with _faces(cluster.stores, folder, cluster.authority):
                yield cluster
        finally:
            await cluster.stores.close()

    with LoopThread(make) as cluster:
        assert isinstance(cluster, FacedCluster)
        yield cluster
