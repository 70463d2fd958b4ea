"""Real stores in one process: real disks, real sockets, real certificates of a peer CA of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ports import free_ports

from apiserver.auth import pki
from raftstore import ReplicaOptions, Store, StoreConfig, Timing
from raftstore.identity import PeerIdentity
from raftstore.raft.credentials import Credentials

QUICK = Timing(heartbeat_s=0.05, election_timeout_s_min=0.3, election_timeout_s_max=0.6)
#: For whom a machine that stands still for seconds is no reason to elect. The first election waits for none of this.
PATIENT = Timing(heartbeat_s=0.05, election_timeout_s_min=10.0, election_timeout_s_max=15.0)


class StoreCluster:
    """Up to a few replicas `n1`, `n2`, ... that found one cluster; more may join."""

    def __init__(self, folder: Path, count: int, **options: Any) -> None:
        self.folder = folder
        self.options = ReplicaOptions(**{"timing": QUICK, **options})
        self._peer_ca = pki.make_authority("store test peer CA")
        self._pki = folder / "pki"
        self._pki.mkdir()
        self._authority = self._pki / "peer-ca.crt"
        self._authority.write_bytes(self._peer_ca.certificate_pem)
        self.addresses = {f"n{number}": f"127.0.0.1:{port}" for number, port in enumerate(free_ports(count), 1)}
        self.stores: dict[str, Store] = {}

    def credentials_for(self, identity: PeerIdentity) -> Credentials:
        name = f"{identity.cluster_id:x}-{identity.member_id:x}"  # called on threads: no two write one file
        pki.write_pair(self._pki, name, pki.issue_peer(self._peer_ca, identity.cluster_id, identity.member_id))
        return Credentials(
            authority=self._authority, certificate=self._pki / f"{name}.crt", key=self._pki / f"{name}.key"
        )

    def config(self, name: str) -> StoreConfig:
        return StoreConfig(
            name=name,
            data_dir=self.folder / name,
            peers=self.addresses,
            credentials_for=self.credentials_for,
            options=self.options,
        )

    async def start(self, *names: str) -> None:
        """Start the named ones, or all."""
        wanted = names or tuple(self.addresses)
        opened = await asyncio.gather(*(Store.open(self.config(name)) for name in wanted))
        self.stores.update(zip(wanted, opened, strict=True))

    async def stop(self, name: str) -> None:
        await self.stores.pop(name).close()

    async def close(self) -> None:
        await asyncio.gather(*(store.close() for store in self.stores.values()))
        self.stores.clear()

    def leader(self) -> Store | None:
        for store in self.stores.values():
            if store.leader == store.status().member_id:
                return store
        return None

    async def wait_for_leader(self) -> Store:
        await until(lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        return leader

    async def followers(self) -> list[Store]:
        leader = await self.wait_for_leader()
        return [store for store in self.stores.values() if store is not leader]


async def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110  # what is awaited has no event of its own
            await asyncio.sleep(0.005)
