"""Which endpoints stand behind each port of a Service, as one node sees them. Pure.

The rules are those of Kubernetes' service proxies: ready endpoints only, unless none is and some still serve while they
end; only the node's own where a policy says Local. What is no IPv4 address or no port is left out here, because one
wrong value would make the kernel refuse the rules of every Service.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from apiserver.api.core.service import Service, ServicePort
from apiserver.api.discovery import Endpoint, EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"
#: Somebody else serves a Service that has this label.
OTHER_PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
PROTOCOLS = ("TCP", "UDP", "SCTP")
AFFINITY_S = 10_800


class ServiceName(NamedTuple):
    namespace: str
    name: str


class Backend(NamedTuple):
    """An IPv4 address and a port."""

    address: str
    port: int


class Frontend(msgspec.Struct, frozen=True, kw_only=True):
    """One port of a Service. `protocol` is in lower case; numbers are 0 and addresses empty for what it has not."""

    service: ServiceName
    port_name: str
    protocol: str
    port: int
    cluster_ip: str = ""
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()  # who may come through the load balancer; none: all
    affinity_s: int = 0  # 0: none
    internal_local: bool = False
    external_local: bool = False
    everywhere: tuple[Backend, ...] = ()
    here: tuple[Backend, ...] = ()
    by_node: bool = False  # the node itself answers

    @property
    def key(self) -> str:
        return f"{self.service.namespace}/{self.service.name}/{self.protocol}/{self.port_name or self.port}"

    @property
    def ways_in(self) -> tuple[str, ...]:
        """Addresses from outside."""
        return tuple(dict.fromkeys((*self.external_ips, *self.load_balancer_ips)))


def frontends(
    services: Iterable[Service],
    slices: Iterable[EndpointSlice],
    *,
    node: str,
    answered_here: Mapping[ServiceName, Backend] | None = None,
) -> list[Frontend]:
    """In order of names. `answered_here`: Services that the node itself answers, in place of their endpoints."""
    behind: dict[ServiceName, list[EndpointSlice]] = defaultdict(list)
    for piece in slices:
        name = piece.metadata.labels.get(SERVICE_LABEL)
        if name and piece.address_type == "IPv4":
            behind[ServiceName(piece.metadata.namespace, name)].append(piece)
    found = []
    for service in services:
        name_ = ServiceName(service.metadata.namespace, service.metadata.name)
        if cluster_ip := _virtual_address(service):
            instead = (answered_here or {}).get(name_)
            found += [
                _frontend(service, name_, port, cluster_ip, behind[name_], node, instead)
                for port in service.spec.ports
                if _protocol(port.protocol) and _is_port(port.port)
            ]
    return sorted(found, key=lambda each: (each.service, each.protocol, each.port))


def _virtual_address(service: Service) -> str:
    """Empty for a headless Service, one that is only a name, and one that somebody else serves."""
    spec = service.spec
    if spec.type == "ExternalName" or OTHER_PROXY_LABEL in service.metadata.labels:
        return ""
    return next(iter(_addresses((spec.cluster_ip, *spec.cluster_ips))), "")


def _frontend(
    service: Service,
    name: ServiceName,
    port: ServicePort,
    cluster_ip: str,
    slices: list[EndpointSlice],
    node: str,
    instead: Backend | None,
) -> Frontend:
    spec = service.spec
    if instead is None:
        places = _places(slices, port)
        everywhere = _usable(places)
        here = _usable({backend: place for backend, place in places.items() if place.node_name == node})
    else:
        everywhere = here = (instead,)
    outside = spec.type in ("NodePort", "LoadBalancer")
    return Frontend(
        service=name,
        port_name=port.name,
        protocol=_protocol(port.protocol),
        port=port.port,
        cluster_ip=cluster_ip,
        node_port=port.node_port if outside and _is_port(port.node_port) else 0,
        external_ips=_addresses(spec.external_ips),
        load_balancer_ips=_addresses(
            way.ip for way in service.status.load_balancer.ingress if way.ip_mode in (None, "VIP")
        ),
        source_ranges=_networks(spec.load_balancer_source_ranges),
        affinity_s=_affinity_s(service),
        internal_local=spec.internal_traffic_policy == "Local",
        external_local=spec.external_traffic_policy == "Local",
        everywhere=everywhere,
        here=here,
        by_node=instead is not None,
    )


def _places(slices: list[EndpointSlice], port: ServicePort) -> dict[Backend, Endpoint]:
    """Endpoints for this port, by address. Where two slices have one, the state that serves best counts."""
    found: dict[Backend, Endpoint] = {}
    for piece in slices:
        numbers = [
            each.port
            for each in piece.ports
            if (each.name or "") == port.name and _protocol(each.protocol or "") == _protocol(port.protocol)
        ]
        for place in piece.endpoints:
            address = next(iter(_addresses(place.addresses[:1])), "")
            for number in numbers:
                if address and number is not None and _is_port(number):
                    backend = Backend(address, number)
                    if backend not in found or _preference(place) > _preference(found[backend]):
                        found[backend] = place
    return found


def _rank(place: Endpoint) -> int:
    """2 takes traffic, 1 could while it ends, 0 does not. Left out, ready and serving count as true."""
    conditions = place.conditions
    if conditions.ready is not False:
        return 2
    return 1 if conditions.serving is not False and conditions.terminating is True else 0


def _preference(place: Endpoint) -> tuple[int, str]:
    """Between two that have one address; the node decides only so that the answer is always the same."""
    return _rank(place), place.node_name or ""


def _usable(places: Mapping[Backend, Endpoint]) -> tuple[Backend, ...]:
    best = max(map(_rank, places.values()), default=0)
    return tuple(sorted(backend for backend, place in places.items() if best and _rank(place) == best))


def _affinity_s(service: Service) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return AFFINITY_S if seconds is None or seconds < 1 else seconds


def _protocol(text: str) -> str:
    """Empty for one that nobody knows; left out it is TCP."""
    wanted = text or "TCP"
    return wanted.lower() if wanted in PROTOCOLS else ""


def _is_port(number: int) -> bool:
    return 1 <= number <= 65_535


def _addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that a packet can be sent to from another machine, each once."""
    found: dict[str, None] = {}
    for text in texts:
        try:
            address = ipaddress.IPv4Address(text)
        except ValueError:
            continue
        if not (address.is_loopback or address.is_unspecified or address.is_multicast or address.is_link_local):
            found[str(address)] = None
    return tuple(found)


def _networks(texts: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[str(ipaddress.IPv4Network(text.strip(), strict=False))] = None
        except ValueError:
            continue
    return tuple(found)
