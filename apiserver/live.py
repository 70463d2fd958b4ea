"""Which API servers are alive, and `default/kubernetes`, which tells clients where they are.

Every replica keeps a key with its address under a lease of the store, which ends with the replica. Whoever leads the
store writes Service, Endpoints and EndpointSlice from those keys, through the same writer as everybody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apiserver.api.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from apiserver.api.core.service import Service, ServicePort, ServiceSpec
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointSlice
from apiserver.api.discovery import EndpointPort as SlicePort
from apiserver.api.errors import AlreadyExists, ApiError, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.auth.user import GROUP_AUTHENTICATED, GROUP_MASTERS, User
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table
from apiserver.storage import OWN, PAGE_KEYS, Storage, Stored, key_of, place_of, range_of
from apiserver.verbs.call import Call
from apiserver.verbs.deleting import Deleter
from apiserver.verbs.writing import Change, Writer
from raftstore import prefix_end
from raftstore.errors import StoreError

SERVERS = OWN + b"servers/"
LEASE_S = 15
RENEW_S = 5.0
LEAVE_S = 1.0  # what a server that ends spends on saying so
LOOK_S = 2.0
LOOK_SOON_S = 0.1
NAMESPACE, NAME = "default", "kubernetes"
_OBJECTS = ("services", "endpoints", "discovery.k8s.io/endpointslices")
SYSTEM = User(name="system:apiserver", groups=(GROUP_MASTERS, GROUP_AUTHENTICATED))

log = logging.getLogger(__name__)


class LiveServers:
    """`run` keeps this replica's key and, while it leads, the objects. Addresses are host:port."""

    def __init__(self, storage: Storage, name: str, host: str, port: int) -> None:
        self._storage = storage
        self._key = SERVERS + name.encode()
        self._address = f"{host}:{port}"
        self._lease = 0

    def addresses(self) -> Mapping[str, str]:
        """Name → host:port of every server that is alive, as this replica has applied it."""
        page = self._storage.store.page(SERVERS, prefix_end(SERVERS), limit=100)
        return {kv.key[len(SERVERS) :].decode(): kv.value.decode() for kv in page.kvs}

    async def announce(self) -> None:
        """Be alive for another LEASE_S. Raises StoreError."""
        store = self._storage.store
        if self._lease:
            renewed = await store.lease_keep_alive(self._lease)
            if renewed.ttl > 0 and self._storage.peek_key(self._key) is not None:
                return
        granted = await store.lease_grant(LEASE_S)
        self._lease = granted.id
        await store.put(self._key, self._address.encode(), lease=self._lease)

    async def leave(self) -> None:
        """Be gone at once, so that nobody is sent here any more."""
        if self._lease:
            try:
                await self._storage.store.lease_revoke(self._lease, timeout_s=LEAVE_S)
            except StoreError as error:
                log.info("this server is forgotten only when its lease ends", extra={"reason": error.message})
            self._lease = 0

    async def run(self) -> None:
        """Announce, again and again."""
        while True:
            try:
                await self.announce()
            except (ApiError, StoreError) as error:
                log.info("this server could not be announced", extra={"reason": error.message})
            await asyncio.sleep(RENEW_S)


class KubernetesService:
    """The three objects `default/kubernetes`, kept by whoever leads.

    A cluster of one machine may listen on loopback alone, which no endpoint of a person's may name: these may.
    """

    def __init__(
        self,
        storage: Storage,
        table: Table,
        writer: Writer,
        deleter: Deleter,
        live: LiveServers,
        service_address: str,
        leads: Callable[[], bool],
    ) -> None:
        self._storage = storage
        self._table = table
        self._writer = writer
        self._deleter = deleter
        self._live = live
        self._service_address = service_address
        self._leads = leads
        self._told: tuple[Mapping[str, str], list[int]] | None = None

    async def run(self) -> None:
        """Look every LOOK_S, and at once while there is something to write; write only what changed."""
        while True:
            if self._leads():
                try:
                    await self.reconcile()
                except (ApiError, StoreError) as error:
                    log.info("default/kubernetes is not up to date yet", extra={"reason": str(error)})
                    self._told = None
            else:
                self._told = None
            await asyncio.sleep(LOOK_S if self._told is not None else LOOK_SOON_S)

    async def reconcile(self) -> None:
        """Once: bring the objects up to who is alive, whoever changed or deleted them."""
        live = self._live.addresses()
        seen = self._revisions()
        if not live or (live, seen) == self._told:
            return
        by_port: dict[int, list[str]] = {}
        for address in sorted(live.values()):
            host, _, number = address.rpartition(":")
            by_port.setdefault(int(number), []).append(host.strip("[]"))
        await self._ensure(self._service(), lambda old: _fill_service(old, self._service_address))
        await self._ensure(self._endpoints(), lambda old: _fill_endpoints(old, by_port))
        first = next(iter(by_port))
        for port, addresses in by_port.items():
            name = NAME if port == first else f"{NAME}-{port}"
            await self._ensure(self._slice(name, addresses), partial(_fill_slice, addresses=addresses, port=port))
        await self._drop_slices({NAME, *(f"{NAME}-{port}" for port in by_port if port != first)})
        # What was written is looked at once more: somebody may have changed it before all of it was.
        self._told = (dict(live), seen) if seen == self._revisions() else None

    def _revisions(self) -> list[int]:
        """Those of the three objects, 0 for one that is not there."""
        found = [self._storage.peek_key(key_of(self._table.of_key(key), NAMESPACE, NAME)) for key in _OBJECTS]
        return [each.mod_revision if each is not None else 0 for each in found]

    async def _drop_slices(self, wanted: set[str]) -> None:
        """A slice has one list of ports: those of ports that nobody uses any more go."""
        slices = self._table.of_key("discovery.k8s.io/endpointslices")
        start, end = range_of(slices, NAMESPACE)
        for key, _ in self._storage.page(start, end, limit=PAGE_KEYS).items:
            name = place_of(slices, key)[1]
            if name.startswith(f"{NAME}-") and name.removeprefix(f"{NAME}-").isdigit() and name not in wanted:
                await self._deleter.delete(_call(slices, "delete", name))

    async def _ensure(self, fresh: Any, fill: Callable[[Any], None]) -> None:
        """Create or change one object; an update that changes nothing writes nothing."""
        resource = self._table.of_kind(fresh.api_version, fresh.kind)
        name = fresh.metadata.name

        def build(old: Any, _stored: Stored) -> Change:
            fill(old)
            return Change(old, False)

        try:
            await self._writer.change(_call(resource, "update", name), build)
        except NotFound:
            fill(fresh)
            try:
                await self._writer.create(_call(resource, "create", name), fresh)
            except AlreadyExists:
                await self._writer.change(_call(resource, "update", name), build)

    @staticmethod
    def _service() -> Service:
        labels = {"component": "apiserver", "provider": "kubernetes"}
        return Service(
            api_version="v1",
            kind="Service",
            metadata=ObjectMeta(name=NAME, namespace=NAMESPACE, labels=labels),
            spec=ServiceSpec(),
        )

    @staticmethod
    def _endpoints() -> Endpoints:
        labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
        return Endpoints(
            api_version="v1", kind="Endpoints", metadata=ObjectMeta(name=NAME, namespace=NAMESPACE, labels=labels)
        )

    @staticmethod
    def _slice(name: str, addresses: list[str]) -> EndpointSlice:
        return EndpointSlice(
            api_version="discovery.k8s.io/v1",
            kind="EndpointSlice",
            metadata=ObjectMeta(name=name, namespace=NAMESPACE, labels={"kubernetes.io/service-name": NAME}),
            address_type="IPv6" if ":" in addresses[0] else "IPv4",
        )


def _call(resource: Resource, verb: str, name: str) -> Call:
    return Call(user=SYSTEM, resource=resource, stored=resource, verb=verb, namespace=NAMESPACE, name=name, own=True)


def _fill_service(service: Service, address: str) -> None:
    """Clients in pods reach port 443; where that leads is in the endpoints."""
    spec = service.spec
    spec.type = "ClusterIP"
    spec.cluster_ip = spec.cluster_ip or address
    spec.ports = [ServicePort(name="https", port=443, protocol="TCP", target_port=_target(service))]


def _target(service: Service) -> int | str:
    ports = service.spec.ports
    return ports[0].target_port if ports and ports[0].target_port else 443


def _fill_endpoints(endpoints: Endpoints, by_port: Mapping[int, list[str]]) -> None:
    endpoints.subsets = [
        EndpointSubset(
            addresses=[EndpointAddress(ip=address) for address in addresses],
            ports=[EndpointPort(name="https", port=port, protocol="TCP")],
        )
        for port, addresses in by_port.items()
    ]


def _fill_slice(slice_: EndpointSlice, addresses: list[str], port: int) -> None:
    slice_.endpoints = [
        Endpoint(addresses=[address], conditions=EndpointConditions(ready=True, serving=True, terminating=False))
        for address in addresses
    ]
    slice_.ports = [SlicePort(name="https", port=port, protocol="TCP")]
