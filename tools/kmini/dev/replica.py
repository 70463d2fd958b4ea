"""One replica of a test control plane: store and API server, started and stopped on a loop of its own.

The same parts as `kmini server` runs, without what a test does not need: etcd face, backups, rotation, signals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from apiserver.auth import pki
from apiserver.server import ApiOptions
from controlplane.runtime.options import Options
from raftstore import Store, StoreConfig
from raftstore.errors import UnavailableError
from raftstore.identity import PeerIdentity
from raftstore.raft.credentials import Credentials
from raftstore.replica import ReplicaStatus

from .. import certificates
from ..api_face import ApiFace
from ..commands.version import package_version
from ..controlling import Controlled, Setting, controllers
from ..layout import Layout
from .loops import LoopThread

LEADER_PAUSE_S = 0.01
SERVICE_CIDR, CLUSTER_DOMAIN = "10.96.0.0/16", "cluster.local"


class Replica:
    """`start` and `stop` run on `thread`. `peers` and `bind` are empty for a replica that is alone."""

    def __init__(
        self,
        name: str,
        thread: LoopThread,
        *,
        folder: Path,
        shared: Path,
        peers: Mapping[str, str],
        bind: str,
        host: str,
        api_port: int,
        controlled: Controlled,
    ) -> None:
        self.name = name
        self.thread = thread
        self.pki = Layout(folder).pki
        self.store: Store | None = None
        self._folder = folder
        self._shared = shared
        self._peers = peers
        self._bind = bind
        self._host = host
        self._api_port = api_port
        self._controlled = controlled
        self._serving = AsyncExitStack()
        self._storing = AsyncExitStack()

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self._api_port}"

    def leader(self) -> str:
        """Whom this replica takes for the leader, by name; "" for nobody. From any thread."""
        status = self.status()
        if status is None:
            return ""
        named = {member.id: member.name for member in status.configuration.members}
        return named.get(status.leader, "")

    async def start(self) -> None:
        """Return once it serves and has what every cluster begins with. Raises OSError for a port that is taken."""
        await asyncio.to_thread(self._make_certificates)
        face = await asyncio.to_thread(self._make_face)
        await self._serving.enter_async_context(face.port)
        self.store = await self._storing.enter_async_context(await Store.open(self._store_config()))
        await self._wait_for_leader(self.store)
        server = await self._serving.enter_async_context(face.serve(self.store))
        await server.ready()
        await self._serving.enter_async_context(controllers(self._setting(), server))

    async def stop_serving(self) -> None:
        """While the store of a majority is still there, or it takes its time."""
        await self._serving.aclose()

    async def stop(self) -> None:
        await self._serving.aclose()
        await self._storing.aclose()
        self.store = None

    def _setting(self) -> Setting:
        return Setting(
            controlled=self._controlled,
            name=self.name,
            url=self.url,
            folder=self.pki,
            leads=self._leads,
            options=Options(service_cidr=SERVICE_CIDR),
        )

    def _leads(self) -> bool:
        status = self.status()
        return status is not None and status.leader == status.member_id

    def _make_certificates(self) -> None:
        names = pki.serving_names(addresses=[self._host], service_cidr=SERVICE_CIDR, cluster_domain=CLUSTER_DOMAIN)
        certificates.make_ready(self.pki, name=self.name, ca_dir=self._shared, alone=not self._peers, names=names)

    def _make_face(self) -> ApiFace:
        options = ApiOptions(
            name=self.name,
            version=package_version(),
            pki_dir=self.pki,
            host=self._host,
            port=self._api_port,
            service_cidr=SERVICE_CIDR,
            cluster_domain=CLUSTER_DOMAIN,
        )
        return ApiFace(Layout(self._folder), options, self._host, self)

    def _store_config(self) -> StoreConfig:
        return StoreConfig(
            name=self.name,
            data_dir=self._folder,
            peers=self._peers,
            bind=self._bind,
            credentials_for=self._credentials_for if self._peers else None,
        )

    def _credentials_for(self, identity: PeerIdentity) -> Credentials:
        certificates.issue_peer(self.pki, identity.cluster_id, identity.member_id)
        return Credentials(
            authority=self.pki / "peer-ca.crt", certificate=self.pki / "peer.crt", key=self.pki / "peer.key"
        )

    @staticmethod
    async def _wait_for_leader(store: Store) -> None:
        while True:
            try:
                await store.linearize()
            except UnavailableError:
                await asyncio.sleep(LEADER_PAUSE_S)
            else:
                return

    # --- what health and metrics look at --------------------------------------------------------------

    def status(self) -> ReplicaStatus | None:
        return None if self.store is None else self.store.status()

    def counters(self) -> Iterable[tuple[str, str, float]]:
        return () if self.store is None else self.store.metrics.read()

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        return ()
