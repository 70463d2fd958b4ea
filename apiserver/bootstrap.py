"""What every cluster begins with: system namespaces, default roles, system priority classes, the name service of pods,
and what nodes must know of the network.

Any replica may do it, several at once: what is there already is kept, but for default roles, which are brought up to
what this version needs without undoing what people did.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from apiserver.api.cluster_network import DNS_SERVICE, ClusterNetwork, from_config_map, to_config_map
from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.service import Service, ServicePort, ServiceSpec
from apiserver.api.errors import AlreadyExists, Invalid
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.api.scheduling import PriorityClass
from apiserver.auth.default_roles import default_objects, reconcile
from apiserver.live import SYSTEM
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table
from apiserver.storage import Storage, Stored, decode
from apiserver.verbs.call import Call
from apiserver.verbs.writing import Change, Writer

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_SYSTEM = "kube-system"
_DESCRIPTION = "Used for system critical pods that must {what}."

log = logging.getLogger(__name__)


class Bootstrap:
    """`run` returns once everything is there. Raises ApiError."""

    def __init__(self, storage: Storage, table: Table, writer: Writer, network: ClusterNetwork) -> None:
        """`network`: as this replica's flags have it; what the cluster began with counts."""
        self._storage = storage
        self._table = table
        self._writer = writer
        self._network = network

    async def run(self) -> None:
        await self._storage.linearize()
        await asyncio.gather(*(self._ensure(_namespace(name)) for name in NAMESPACES))
        await asyncio.gather(
            *(self._ensure(_priority(name, value)) for name, value in PRIORITIES.items()),
            *(self._ensure(obj) for objects in default_objects().values() for obj in objects),
            self._ensure_network(),
        )

    async def _ensure_network(self) -> None:
        """The DNS has the address that its Service got, which need not be the one meant for it."""
        wanted = self._network
        try:
            await self._ensure(_dns_service(wanted.dns_ip))
        except Invalid as error:  # somebody's Service has the address since before there was a DNS
            log.warning("the DNS of pods gets another address", extra={"reason": error.message})
            await self._ensure(_dns_service(""))
        service: Service | None = await self._stored(_dns_service(""))
        if service is not None and service.spec.cluster_ip not in ("", "None"):
            wanted = msgspec.structs.replace(wanted, dns_ip=service.spec.cluster_ip)
        await self._ensure(to_config_map(wanted))
        found: ConfigMap | None = await self._stored(to_config_map(wanted))
        if found is not None and found.data != to_config_map(wanted).data:
            _warn_of_other(found, wanted)

    async def _stored(self, wanted: TopObject) -> Any:
        """The object of this name; another replica may have made it a moment ago."""
        resource = self._table.of_kind(wanted.api_version, wanted.kind)
        stored = self._storage.peek(resource, wanted.metadata.namespace, wanted.metadata.name)
        if stored is None:
            await self._storage.linearize()
            stored = self._storage.peek(resource, wanted.metadata.namespace, wanted.metadata.name)
        return None if stored is None else decode(resource, stored)

    async def _ensure(self, wanted: TopObject) -> None:
        resource = self._table.of_kind(wanted.api_version, wanted.kind)
        meta = wanted.metadata
        stored = self._storage.peek(resource, meta.namespace, meta.name)
        if stored is None:
            try:
                await self._writer.create(_call(resource, "create", meta), wanted)
                return
            except AlreadyExists:
                return  # another replica was faster, with the same
        if resource.group == "rbac.authorization.k8s.io":
            await self._bring_up(resource, wanted, decode(resource, stored))

    async def _bring_up(self, resource: Resource, wanted: Any, existing: Any) -> None:
        if reconcile(existing, wanted) is None:
            return

        def build(old: Any, _stored: Stored) -> Change:
            return Change(reconcile(old, wanted) or old, False)

        await self._writer.change(_call(resource, "update", wanted.metadata), build)


def _call(resource: Resource, verb: str, meta: ObjectMeta) -> Call:
    return Call(user=SYSTEM, resource=resource, stored=resource, verb=verb, namespace=meta.namespace, name=meta.name)


def _warn_of_other(found: ConfigMap, wanted: ClusterNetwork) -> None:
    """A network is chosen once: nodes and their pods have addresses of it."""
    try:
        theirs = from_config_map(found)
    except ValueError as error:
        log.error("nodes cannot learn the cluster's network", extra={"reason": str(error)})
        return
    log.warning(
        "this server's flags for the network are not what the cluster has, which counts",
        extra={"cluster": msgspec.to_builtins(theirs), "flags": msgspec.to_builtins(wanted)},
    )


def _dns_service(address: str) -> Service:
    """Without endpoints: each node answers by itself."""
    ports = [
        ServicePort(name=name, protocol=protocol, port=53, target_port=53)
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    return Service(
        api_version="v1",
        kind="Service",
        metadata=ObjectMeta(name=DNS_SERVICE, namespace=_SYSTEM, labels={"k8s-app": DNS_SERVICE}),
        spec=ServiceSpec(type="ClusterIP", cluster_ip=address, ports=ports),
    )


def _namespace(name: str) -> Namespace:
    return Namespace(api_version="v1", kind="Namespace", metadata=ObjectMeta(name=name))


def _priority(name: str, value: int) -> PriorityClass:
    what = "not be moved from their current node" if name == "system-node-critical" else "run in the cluster"
    return PriorityClass(
        api_version="scheduling.k8s.io/v1",
        kind="PriorityClass",
        metadata=ObjectMeta(name=name),
        value=value,
        description=_DESCRIPTION.format(what=what),
    )
