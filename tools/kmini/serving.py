"""One replica as a process: certificates, store, API and etcd face, in order, and back again.

Order of the start: lock the data directory, join if asked to, certificates, the API's port (so that a server that
waits for its peers can be probed), store, etcd face, API, backups, one line saying it is ready. Order of the stop: say
that we are going, hand leadership over, end the faces, close the store. A second signal ends the process at once:
nothing acknowledged is lost by that.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import uvloop

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError
from raftstore.config import StoreConfig
from raftstore.errors import StoreError, UnavailableError
from raftstore.etcd.adapter import StoreBackend
from raftstore.etcd.server import EtcdServer, TlsFiles
from raftstore.identity import PeerIdentity
from raftstore.raft.credentials import Credentials
from raftstore.raft.engine import Role
from raftstore.replica import ReplicaStatus
from raftstore.store import Store

from . import certificates, collector, kubeconfig, traces
from . import join as joining
from .access import authorize
from .addresses import is_unspecified, join_host_port, own_address
from .backups import Backups
from .commands.version import package_version
from .controlling import Controlled, Setting, controllers
from .descriptors import take_enough
from .errors import EXIT_OK, CommandError
from .kubeconfig import server_url
from .layout import Layout, Running, ServerFile, owned
from .rotating import rotation_of
from .snapshots import save_store

if TYPE_CHECKING:
    from .api_face import ApiFace

log = logging.getLogger("kmini.server")

HAND_OVER_TIMEOUT_S = 5.0
LEADER_PAUSE_S = 0.1


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `kmini server`, checked against each other."""

    name: str
    data_dir: Path
    state_dir: Path | None
    bind: str
    advertise_address: str
    tls_san: tuple[str, ...]
    api_port: int
    peer_port: int
    etcd_port: int
    ca_dir: Path | None
    initial_cluster: Mapping[str, str]
    service_cidr: str
    cluster_cidr: str
    cluster_domain: str
    controllers: Controlled
    snapshot_every_s: float
    snapshot_keep: int
    snapshot_dir: Path
    kubeconfig_url: str
    join: str | None
    token_file: Path | None
    token_auth_file: Path | None
    trace_endpoint: str | None

    @classmethod
    def from_flags(
        cls,
        *,
        data_dir: Path,
        state_dir: Path | None,
        advertise_address: str | None,
        initial_cluster: dict[str, str] | None,
        snapshot_every: float,
        snapshot_dir: Path | None,
        join: str | None,
        token_file: Path | None,
        **flags: Any,
    ) -> ServerOptions:
        """Raises ValueError for flags that do not go together."""
        data_dir = data_dir.absolute()
        name, bind, peer_port = flags["name"], flags["bind"], flags["peer_port"]
        ports = [port for port in (flags["api_port"], peer_port, flags["etcd_port"]) if port]
        if len(set(ports)) != len(ports):
            raise ValueError("--api-port, --peer-port and --etcd-port must differ")
        if initial_cluster is not None and name not in initial_cluster:
            raise ValueError(f"--initial-cluster does not hold this replica's --name {name}")
        for flag in ("service_cidr", "cluster_cidr"):
            try:
                ipaddress.ip_network(flags[flag])
            except ValueError as error:
                raise ValueError(f"--{flag.replace('_', '-')}: {error}") from error
        _check_networks_of_nodes(flags["cluster_cidr"])
        _check_join(join, token_file, initial_cluster, flags["ca_dir"])
        url = server_url(advertise_address=advertise_address, bind=bind, api_port=flags["api_port"])
        advertise = advertise_address or (own_address() if is_unspecified(bind) else bind)
        return cls(
            data_dir=data_dir,
            state_dir=state_dir.absolute() if state_dir else None,
            advertise_address=advertise,
            initial_cluster=initial_cluster or {name: join_host_port(advertise, peer_port)},
            snapshot_every_s=snapshot_every,
            snapshot_dir=(snapshot_dir or data_dir / "snapshots").absolute(),
            kubeconfig_url=url,
            join=join,
            token_file=token_file,
            **flags,
        )

    @property
    def alone(self) -> bool:
        return len(self.initial_cluster) == 1 and self.join is None

    @property
    def serving_names(self) -> list[str]:
        return pki.serving_names(
            addresses=[self.bind, self.advertise_address],
            extra=self.tls_san,
            service_cidr=self.service_cidr,
            cluster_domain=self.cluster_domain,
        )


def run(options: ServerOptions) -> int:
    """Serve until a signal; returns the exit code. Raises CommandError when it cannot start or must stop."""
    layout = Layout(options.data_dir, options.state_dir)
    take_enough()
    with (
        owned(layout) as file,
        traces.exported(options.trace_endpoint, service=f"kmini {options.name}", version=package_version()),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(Server(options, layout, file).run())


class Server:
    """Everything one process runs."""

    def __init__(self, options: ServerOptions, layout: Layout, file: ServerFile) -> None:
        self.options = options
        self.layout = layout
        self.store: Store | None = None
        self._file = file
        self._stopping = asyncio.Event()
        self.backups: Backups | None = None
        self._members: dict[str, str] = {}  # what a server of the cluster told us when we joined through it
        self._face: ApiFace

    async def run(self) -> int:
        self._listen_for_signals()
        self._announce(ready=False)
        async with AsyncExitStack() as stack:
            starting = asyncio.create_task(self._start(stack), name="start")
            await self._either(starting)
            if self._stopping.is_set():
                return EXIT_OK
            store = self.store
            assert store is not None
            self._announce(ready=True)
            collector.started()
            click.echo(self._ready_line(store.status()))
            await self._either(asyncio.create_task(_failure_of(store), name="watch the store"))
            log.info("stopping")
            self._announce(ready=False)
            await self._hand_over(store)
        return EXIT_OK

    async def _either(self, task: asyncio.Task[Any]) -> None:
        """Wait for the task or a signal; a task that a signal overtakes is cancelled."""
        stopping = asyncio.create_task(self._stopping.wait(), name="signal")
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            for each in (task, stopping):
                each.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    # --- start, in order ------------------------------------------------------------------------------

    async def _start(self, stack: AsyncExitStack) -> None:
        options = self.options
        await self._join()
        await asyncio.to_thread(
            certificates.make_ready,
            self.layout.pki,
            name=options.name,
            ca_dir=options.ca_dir,
            alone=options.alone,
            names=options.serving_names,
        )
        await asyncio.to_thread(self._write_kubeconfig)
        face = self._face = await stack.enter_async_context(self._api_port())
        self.store = await stack.enter_async_context(self._open_store())
        if options.etcd_port:
            await stack.enter_async_context(self._etcd_face(self.store))
        api = await stack.enter_async_context(face.serve(self.store))
        if options.snapshot_every_s:
            await stack.enter_async_context(self._backups(self.store))
        await stack.enter_async_context(self._rotation(self.store))
        await _first_leader(self.store)
        await face.take_newest_keys()
        await api.ready()
        await face.make_tokens()
        await stack.enter_async_context(controllers(self._controlled(), api))

    async def _join(self) -> None:
        """With --join, and no cluster yet: the shared keys and the members, from a server of the cluster."""
        options = self.options
        if options.join is None or options.token_file is None or joining.has_joined(self.layout):
            return
        log.info("joining", extra={"through": options.join})
        self._members = await asyncio.to_thread(
            joining.join, options.join, options.token_file, self.layout, name=options.name
        )

    def _write_kubeconfig(self) -> None:
        """DIR/kubeconfig, with the admin's present certificate. Blocking."""
        servers = {self.options.name: self.options.kubeconfig_url}
        try:
            kubeconfig.write(self.layout.kubeconfig, servers, folder=self.layout.pki)
        except OSError as error:
            raise CommandError(f"cannot write {self.layout.kubeconfig}: {error.strerror}") from error

    @asynccontextmanager
    async def _rotation(self, store: Store) -> AsyncIterator[None]:
        """Certificates are renewed as long as this is open."""
        rotation = rotation_of(
            self.layout.pki,
            name=self.options.name,
            serving_names=self.options.serving_names,
            context=self._face.context,
            replica_context=self._face.replica_context,
            store=store,
            admin_renewed=self._write_kubeconfig,
        )
        task = asyncio.create_task(rotation.run(), name="certificates")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def _open_store(self) -> AsyncIterator[Store]:
        options = self.options
        config = StoreConfig(
            name=options.name,
            data_dir=self.layout.data_dir,
            state_dir=options.state_dir,
            peers={**self._members, **options.initial_cluster},
            bind=join_host_port(options.bind, options.peer_port),
            client_address=join_host_port(options.advertise_address, options.etcd_port) if options.etcd_port else "",
            credentials_for=self._credentials_for,
        )
        try:
            store = await Store.open(config)
        except (StoreError, OSError) as error:
            raise CommandError(str(error)) from error
        async with store:
            yield store

    def _credentials_for(self, identity: PeerIdentity) -> Credentials:
        """The peer certificate of an identity, made when it is not there. Blocking."""
        folder = self.layout.pki
        certificates.issue_peer(folder, identity.cluster_id, identity.member_id)
        return Credentials(authority=folder / "peer-ca.crt", certificate=folder / "peer.crt", key=folder / "peer.key")

    @asynccontextmanager
    async def _api_port(self) -> AsyncIterator[ApiFace]:
        """The API's port, which answers health and version until the API serves."""
        from apiserver.server import ApiOptions  # late: what a server that cannot start need not load

        from .api_face import ApiFace

        options = self.options
        api_options = ApiOptions(
            name=options.name,
            version=package_version(),
            pki_dir=self.layout.pki,
            host=options.advertise_address,
            port=options.api_port,
            service_cidr=options.service_cidr,
            cluster_cidr=options.cluster_cidr,
            cluster_domain=options.cluster_domain,
            token_file=options.token_auth_file,
        )
        try:
            face = await asyncio.to_thread(ApiFace, self.layout, api_options, options.bind, self)
            await face.port.__aenter__()
        except PkiError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise _port_taken("--api-port", options.api_port, error) from error
        try:
            yield face
        finally:
            await face.port.__aexit__()

    @asynccontextmanager
    async def _etcd_face(self, store: Store) -> AsyncIterator[None]:
        folder = self.layout.pki
        face = EtcdServer(
            StoreBackend(store),
            authorize=authorize,
            tls=TlsFiles(certificate=folder / "server.crt", key=folder / "server.key", client_ca=folder / "ca.crt"),
            address=join_host_port(self.options.bind, self.options.etcd_port),
        )
        try:
            await face.start()
        except RuntimeError as error:
            raise _port_taken("--etcd-port", self.options.etcd_port, error) from error
        try:
            yield
        finally:
            await face.stop()

    @asynccontextmanager
    async def _backups(self, store: Store) -> AsyncIterator[None]:
        options = self.options
        self.backups = Backups(
            options.snapshot_dir,
            partial(save_store, store),
            every_s=options.snapshot_every_s,
            keep=options.snapshot_keep,
        )
        task = asyncio.create_task(self.backups.run(), name="backups")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _controlled(self) -> Setting:
        from controlplane.runtime.options import Options

        options = self.options
        return Setting(
            controlled=options.controllers,
            name=options.name,
            url=server_url(advertise_address=None, bind=options.bind, api_port=options.api_port),
            folder=self.layout.pki,
            leads=self._leads,
            options=Options(cluster_cidr=options.cluster_cidr, service_cidr=options.service_cidr),
        )

    def _leads(self) -> bool:
        status = self.status()
        return status is not None and status.leader == status.member_id

    # --- what others see ------------------------------------------------------------------------------

    def status(self) -> ReplicaStatus | None:
        return None if self.store is None else self.store.status()

    def counters(self) -> Iterable[tuple[str, str, float]]:
        return () if self.store is None else self.store.metrics.read()

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        return () if self.backups is None else self.backups.gauges()

    def _announce(self, *, ready: bool) -> None:
        options = self.options
        self._file.announce(
            Running(
                pid=os.getpid(),
                name=options.name,
                bind=options.bind,
                peer_port=options.peer_port,
                etcd_port=options.etcd_port,
                api_port=options.api_port,
                ready=ready,
            )
        )

    def _ready_line(self, status: ReplicaStatus) -> str:
        options = self.options
        faces = [f"peers {options.peer_port}", f"API {options.api_port}"]
        if options.etcd_port:
            faces.insert(1, f"etcd {options.etcd_port}")
        return (
            f"{options.name} is ready: member {status.member_id:016x} of cluster {status.cluster_id:016x}, "
            f"{options.bind}: {', '.join(faces)}"
        )

    # --- stop -----------------------------------------------------------------------------------------

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            os._exit(128 + number)  # asked twice: what is acknowledged is on disk, so nothing is lost
        self._stopping.set()

    async def _hand_over(self, store: Store) -> None:
        """Let another replica lead before the faces go, so that nobody waits for an election."""
        status = store.status()
        if status.leader != status.member_id or len(status.configuration.voters) < 2:
            return
        try:
            await store.transfer_leadership(timeout_s=HAND_OVER_TIMEOUT_S)
            log.info("leadership handed over")
        except StoreError as error:
            log.warning("leadership not handed over: the others will elect", extra={"error": error.message})


def _check_networks_of_nodes(cluster_cidr: str) -> None:
    """Raises ValueError for a range that nodes cannot be given networks from: controllers would never get on."""
    from controlplane.controllers.node_ipam import ranges_of
    from controlplane.runtime.options import Options

    try:
        ranges_of(Options(cluster_cidr=cluster_cidr))
    except ValueError as error:
        raise ValueError(f"--cluster-cidr: {error}") from error


def _check_join(
    join: str | None, token_file: Path | None, initial_cluster: Mapping[str, str] | None, ca_dir: Path | None
) -> None:
    """Raises ValueError for flags that do not go with --join."""
    if (join is None) != (token_file is None):
        raise ValueError("--join and --token-file go together")
    if join is None:
        return
    joining.address_of(join)
    if initial_cluster is not None or ca_dir is not None:
        raise ValueError("--join brings the members and the keys: it goes without --initial-cluster and --ca-dir")


async def _first_leader(store: Store) -> None:
    """Return once this replica can serve: a leader answered it, and it has caught up with it and votes.

    Raises CommandError when the store stops.
    """
    while not store.stopped.done():
        try:
            await store.linearize()
            if store.status().role is not Role.LEARNER:
                return
        except UnavailableError as error:
            log.info("waiting for a leader", extra={"reason": error.message})
        await asyncio.sleep(LEADER_PAUSE_S)
    await _failure_of(store)


async def _failure_of(store: Store) -> None:
    """Wait until the store stops by itself and raise why, as CommandError."""
    error = await asyncio.shield(store.stopped)
    raise CommandError(error.message) from error


def _port_taken(flag: str, port: int, error: Exception) -> CommandError:
    return CommandError(f"cannot listen on {flag} {port}: {error}")
