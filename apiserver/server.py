"""The API server of one replica: everything above the store, wired together, and its life.

    port = ApiPort(options)          # listens at once: a server that waits for its peers can be probed
    async with port, ApiServer(store, options, port) as server: ...

Start: mirrors of roles and bindings, what every cluster begins with, then the port's handler is swapped and `/readyz`
says ok. Stop: not ready, out of `default/kubernetes`, watches end with a bookmark, running requests finish.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector

from apiserver.address_repair import AddressRepair
from apiserver.admission.chain import Chain, default_chain
from apiserver.admission.plugin import Admission
from apiserver.aggregation import AggregatedRoles
from apiserver.api.cluster_network import ClusterNetwork, dns_address
from apiserver.api.errors import ApiError, ServiceUnavailable
from apiserver.auth import pki
from apiserver.auth.authn import Authenticator
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.bootstrap_tokens import BootstrapTokens
from apiserver.auth.node_authorizer import NodeAuthorizer
from apiserver.auth.node_graph import NodeGraph, PodUses, VolumeUses, pod_uses, volume_uses
from apiserver.auth.rbac import KEYS, Rbac
from apiserver.auth.service_account_keys import load_keys
from apiserver.auth.service_accounts import ServiceAccountTokens
from apiserver.auth.static_tokens import StaticTokens
from apiserver.auth.token_requests import answer_token_request
from apiserver.auth.x509 import CertificateUsers
from apiserver.bootstrap import Bootstrap
from apiserver.effects.addresses import ServiceAddresses
from apiserver.effects.bound import PodBound
from apiserver.effects.effect import Effect
from apiserver.effects.fencing import LeaseFence
from apiserver.effects.namespaces import InNamespace, NewNamespace
from apiserver.effects.signing import SignApproved
from apiserver.encryption import Encryption
from apiserver.feed.feed import Feeds
from apiserver.feed.mirror import Mirror
from apiserver.http.discovery import Discovery
from apiserver.http.dispatch import Dispatcher
from apiserver.http.forms import ResourceView
from apiserver.http.frontend import Frontend
from apiserver.http.health import Observed, StoreCollector, readiness
from apiserver.http.limits import Gate, Limits
from apiserver.http.metrics import GaugeCollector, RequestMetrics
from apiserver.http.node_places import Places
from apiserver.http.node_proxy import AgentTls, NodeProxy
from apiserver.http.openid import OpenId
from apiserver.http.port import ApiPort
from apiserver.http.special import Handler, SpecialPaths
from apiserver.live import KubernetesService, LiveServers
from apiserver.lookup import StorageLookup
from apiserver.openapi.documents import OpenApi
from apiserver.registry.table import Table, table
from apiserver.reviews import Reviews
from apiserver.storage import Storage
from apiserver.tracing import span
from apiserver.usage.reader import UsageReader
from apiserver.usage.summaries import Summaries
from apiserver.verbs.deleting import Deleter
from apiserver.verbs.reading import Reader
from apiserver.verbs.verbs import Verbs
from apiserver.verbs.writing import Writer
from raftstore import Store

KUBERNETES_VERSION = "v1.33.0"
DRAIN_S = 10.0
BOOKMARK_EVERY_S = 55.0
BOOTSTRAP_RETRY_S = 0.2
BEGIN_ANEW_S = 1.0  # background work that failed

log = logging.getLogger("kmini.api")


class ApiOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`pki_dir` holds ca, sa.key and the key ring. `host` is the address others reach this server at."""

    name: str
    version: str  # the package's
    pki_dir: Path
    host: str
    port: int
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    cluster_domain: str = "cluster.local"
    token_file: Path | None = None
    limits: Limits = Limits()


async def kept_up(work: Callable[[], Awaitable[None]], name: str) -> None:
    """Work that never ends: what it did not expect is logged, and it begins anew."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("background work failed, and begins anew", extra={"work": name})
        await asyncio.sleep(BEGIN_ANEW_S)


class ApiServer:
    """See the module. Use it as an asynchronous context manager once the store is open."""

    def __init__(self, store: Store, options: ApiOptions, port: ApiPort, encryption: Encryption) -> None:
        self.store = store
        self.options = options
        self.port = port
        self.table: Table = table()
        self.storage = Storage(store, encryption)
        self.feeds = Feeds(self.storage)
        self.lookup = StorageLookup(self.storage, self.table, self.feeds)
        self.rbac = Rbac()
        self.graph = NodeGraph()
        self.gate = Gate(options.limits)
        self.registry = CollectorRegistry()
        self.reader = Reader(self.storage, self.feeds)
        self.live = LiveServers(self.storage, options.name, options.host, options.port)
        self.special: dict[str, Handler] = {}
        self._mirrors: list[Mirror[Any]] = []
        self._graph_mirrors: list[Mirror[Any]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._boot: dict[str, float] = {}
        self._started_s = time.monotonic()
        self._bootstrapped = False
        self._leaving = False

    # --- the parts ----------------------------------------------------------------------------------

    @cached_property
    def tokens(self) -> ServiceAccountTokens:
        issuer = f"https://kubernetes.default.svc.{self.options.cluster_domain}"
        return ServiceAccountTokens(load_keys(self.options.pki_dir), self.lookup, issuers=[issuer])

    @cached_property
    def authenticator(self) -> Authenticator:
        static: StaticTokens | None = None
        if self.options.token_file is not None:
            from apiserver.auth.static_tokens import load

            static = load(self.options.token_file)
            for text in static.warnings:
                log.warning("token file", extra={"warning": text})
        return Authenticator(
            certificates=CertificateUsers(),
            service_accounts=self.tokens,
            bootstrap=BootstrapTokens(self.lookup),
            static=static,
        )

    @cached_property
    def authorizer(self) -> Authorizer:
        return Authorizer(self.rbac, NodeAuthorizer(self.graph, self._see_bindings))

    @cached_property
    def admission(self) -> Chain:
        return default_chain(self.lookup, authorize=self.authorizer.authorize, rbac=self.rbac)

    @cached_property
    def writer(self) -> Writer:
        return Writer(self.storage, self._admit, self._check, self._effects())

    async def _admit(self, request: Admission) -> None:
        with span("admission"):
            await self.admission.admit(request)

    async def _check(self, request: Admission) -> None:
        await self.admission.check(request)

    def _effects(self) -> Mapping[str, Sequence[Effect]]:
        """By resource key: what its writes change beside the object."""
        row = self.table.of_key
        in_namespace = InNamespace(self.storage, row("namespaces"))
        ca_pem = (self.options.pki_dir / "ca.crt").read_text()
        own: dict[str, Effect] = {
            "pods": PodBound(self.storage, row("nodes")),
            "services": ServiceAddresses(self.storage, self.options.service_cidr),
            "namespaces": NewNamespace(row("serviceaccounts"), row("configmaps"), ca_pem),
            "coordination.k8s.io/leases": LeaseFence(self.storage),
            "certificates.k8s.io/certificatesigningrequests": SignApproved(
                pki.load_authority(self.options.pki_dir, pki.CLUSTER_CA), server_names=[self.options.host]
            ),
        }
        effects: dict[str, list[Effect]] = {}
        for resource in self.table.rows:
            if resource.stored_as:
                continue
            mine = [in_namespace] if resource.namespaced else []
            effects[resource.key] = [*mine, *([own[resource.key]] if resource.key in own else [])]
        return effects

    @cached_property
    def verbs(self) -> Verbs:
        deleter = Deleter(self.writer, self.reader)
        reviews = Reviews(self.authenticator, self.authorizer)
        usage = UsageReader(self.reader, self.table, self.summaries)
        return Verbs(self.reader, self.writer, deleter, reviews, self._issue_token, usage)

    @cached_property
    def summaries(self) -> Summaries:
        return Summaries(self.lookup, Places(self.lookup, self._agent_tls))

    @cached_property
    def _agent_tls(self) -> AgentTls:
        return AgentTls(self.options.pki_dir)

    async def _issue_token(self, account: Any, request: Any, warn: Callable[[str], None]) -> Any:
        return await answer_token_request(self.tokens, self.lookup, account, request, warn)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        views = {row: ResourceView(row, self.table.stored(row)) for row in self.table.rows}
        return Dispatcher(self.verbs, views, self.node_proxy)

    @cached_property
    def node_proxy(self) -> NodeProxy:
        async def connect(request: Admission) -> None:
            await self._admit(request)
            await self._check(request)

        return NodeProxy(Places(self.lookup, self._agent_tls), connect)

    @cached_property
    def frontend(self) -> Frontend:
        version = f"{KUBERNETES_VERSION}+kmini.{self.options.version}"
        address = f"{self.options.host}:{self.options.port}"
        openid = OpenId(self.tokens, address)
        special = SpecialPaths(
            discovery=Discovery(self.table.rows, server_address=address),
            openapi=OpenApi(self.table.rows, version=version),
            version=self.options.version,
            registry=self.registry,
            observed=self.port.observed,
            checks=self.checks,
            boot=lambda: self._boot,
            more={"openid": openid, ".well-known": openid, **self.special},
        )
        return Frontend(
            table=self.table,
            authenticator=self.authenticator,
            authorizer=self.authorizer,
            dispatcher=self.dispatcher,
            special=special,
            gate=self.gate,
            metrics=RequestMetrics(self.registry),
        )

    # --- life ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> ApiServer:
        self._register_metrics(self.port.observed)
        await self._mirror_rights()
        self._mark("rights")
        frontend = self.frontend
        self._mark("wired")
        self._begin(self._bootstrap(), "bootstrap")
        self._begin(kept_up(self.live.run, "announce this server"), "announce this server")
        self._begin(kept_up(self._keep_bookmarks, "bookmarks"), "bookmarks")
        self._begin(kept_up(self._kubernetes_service().run, "default/kubernetes"), "default/kubernetes")
        self._begin(kept_up(self._aggregated_roles().run, "aggregated roles"), "aggregated roles")
        repair = AddressRepair(self.storage, self.table.of_key("services"), self._leads)
        self._begin(kept_up(repair.run, "address repair"), "address repair")
        self.port.serve(frontend, self.checks)
        return self

    async def ready(self) -> None:
        """Return once the server serves and has what every cluster begins with."""
        await asyncio.shield(self._tasks[0])

    async def __aexit__(self, *_: object) -> None:
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.live.leave()
        self.frontend.draining = True  # only now: clients are told to go elsewhere before they are turned away
        self.dispatcher.end_sessions()
        await self._finish_requests()
        await self.node_proxy.finish()
        await self.summaries.close()
        self.port.serve(None, self.checks)
        self.feeds.close(ServiceUnavailable("the server is going down", retry_after_s=1))
        self.reader.close()
        for mirror in (*self._mirrors, *self._graph_mirrors):
            mirror.close()

    async def _finish_requests(self) -> None:
        """Let requests that run come to their end, for a bounded time."""
        for _ in range(int(DRAIN_S / 0.02)):
            if not self.frontend.running:
                return
            await asyncio.sleep(0.02)
        log.warning("requests were cut off", extra={"running": self.frontend.running})

    def _begin(self, work: Awaitable[None], name: str) -> None:
        self._tasks.append(asyncio.ensure_future(work))
        self._tasks[-1].set_name(name)

    def _mark(self, what: str) -> None:
        self._boot[what] = round(time.monotonic() - self._started_s, 4)

    async def _bootstrap(self) -> None:
        while True:
            try:
                await Bootstrap(self.storage, self.table, self.writer, self._network()).run()
                break
            except ApiError as error:
                log.info("what a cluster begins with is not there yet", extra={"reason": error.message})
                await asyncio.sleep(BOOTSTRAP_RETRY_S)
        self._bootstrapped = True
        self._mark("bootstrapped")

    def _network(self) -> ClusterNetwork:
        options = self.options
        return ClusterNetwork(
            dns_ip=dns_address(options.service_cidr),
            domain=options.cluster_domain,
            cluster_cidr=options.cluster_cidr,
            service_cidr=options.service_cidr,
        )

    async def _mirror_rights(self) -> None:
        """Roles and bindings in memory; the server answers nobody before."""
        for key in KEYS:
            mirror: Mirror[Any] = Mirror(self.storage, self.feeds.of(self.table.of_key(key)), lambda obj: obj)
            mirror.listen(self.rbac.listener(key))
            self._mirrors.append(mirror)
        await asyncio.gather(*(mirror.ready() for mirror in self._mirrors))

    async def _see_bindings(self) -> None:
        """Return once the node graph shows what was acknowledged before; built when the first node asks."""
        if not self._graph_mirrors:
            pods: Mirror[PodUses] = Mirror(self.storage, self.feeds.of(self.table.of_key("pods")), pod_uses)
            pods.listen(self.graph.pod_changed)
            volumes: Mirror[VolumeUses] = Mirror(
                self.storage, self.feeds.of(self.table.of_key("persistentvolumes")), volume_uses
            )
            volumes.listen(self.graph.volume_changed)
            self._graph_mirrors = [pods, volumes]
        await asyncio.gather(*(mirror.ready() for mirror in self._graph_mirrors))
        await self.storage.linearize()
        if not all(mirror.revision for mirror in self._graph_mirrors):
            raise ServiceUnavailable("which pods are bound where is read anew", retry_after_s=1)

    def _kubernetes_service(self) -> KubernetesService:
        address = ServiceAddresses(self.storage, self.options.service_cidr).first
        deleter = self.verbs.deleter
        return KubernetesService(self.storage, self.table, self.writer, deleter, self.live, address, self._leads)

    def _aggregated_roles(self) -> AggregatedRoles:
        return AggregatedRoles(self.storage, self.table, self.writer, self.rbac, self._leads)

    def _leads(self) -> bool:
        """Whether this replica does what one of them must do."""
        return self._bootstrapped and self.store.leader == self.store.status().member_id

    async def _keep_bookmarks(self) -> None:
        while True:
            await asyncio.sleep(BOOKMARK_EVERY_S)
            try:
                await self.storage.linearize()
            except ApiError as error:  # a replica that is cut off must not tell watches that they are up to date
                log.info("no bookmarks", extra={"reason": error.message})
            else:
                self.dispatcher.bookmark_all()

    # --- what others see ----------------------------------------------------------------------------

    def checks(self) -> Mapping[str, str]:
        """Every condition for serving."""
        checks = readiness(self.store.status())
        checks["bootstrap"] = "" if self._bootstrapped else "system objects are not there yet"
        checks["shutdown"] = "going down" if self._leaving else ""
        return checks

    def _register_metrics(self, observed: Observed) -> None:
        self.registry.register(StoreCollector(observed))
        ProcessCollector(registry=self.registry)
        self.registry.register(GaugeCollector(self._gauges, "class"))

    def _gauges(self) -> Iterable[tuple[str, str, dict[str, float]]]:
        lanes = (self.gate.system, self.gate.writes, self.gate.reads)
        yield (
            "apiserver_current_inflight_requests",
            "Requests that run",
            {lane.name: float(lane.running) for lane in lanes},
        )
        yield (
            "apiserver_current_inqueue_requests",
            "Requests that wait for a place",
            {lane.name: float(lane.queued) for lane in lanes},
        )
        yield (
            "apiserver_longrunning_requests",
            "Watches that are open",
            {"watch": float(self.gate.watches)},
        )
