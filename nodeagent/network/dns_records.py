"""What the cluster's own DNS zone says, from Services and EndpointSlices (Kubernetes' DNS schema, version 1.1.0).

    <service>.<ns>.svc.<zone>                   A: the cluster address, or the ready endpoints of a headless Service
    _<port>._<protocol>.<service>.<ns>.svc...   SRV
    <hostname>.<service>.<ns>.svc.<zone>        A: an endpoint of a headless Service; without a name it has 1-2-3-4
    1-2-3-4.<ns>.pod.<zone>                     A: that address
    4.3.2.1.in-addr.arpa                        PTR: the Service, or the endpoint of a headless one

An ExternalName Service is a CNAME. All is looked up in the informers' caches at each question; a name under the zone
is never asked elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointSlice
from apiserver.client import Informer

from .backends import SERVICE_LABEL
from .dns_wire import (
    ANY,
    CNAME,
    NO_ERROR,
    NO_SUCH_NAME,
    NS,
    PTR,
    SOA,
    SRV,
    TXT,
    A,
    FormatError,
    Name,
    Record,
    ServiceData,
    StartData,
    lower,
    name_of,
)

TTL_S = 5
SCHEMA_VERSION = b"1.1.0"
_BY_SERVICE = "service, for DNS"
_BY_ADDRESS = "address, for DNS"
_ADDRESSES_MAX = 1_000  # in one answer
_REVERSE = (b"in-addr", b"arpa")


class Found(msgspec.Struct, frozen=True):
    """Without `answers` the name is there, but has no such record. `alias`: where else to look on."""

    rcode: int = NO_ERROR
    answers: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    alias: Name | None = None


class _Place(NamedTuple):
    """An endpoint of a headless Service, with its ports: name, protocol, number."""

    label: bytes
    address: bytes
    ports: tuple[tuple[str, str, int], ...]


NOTHING = Found(NO_SUCH_NAME)


class Records:
    def __init__(self, services: Informer[Service], slices: Informer[EndpointSlice], *, domain: str) -> None:
        """`domain`: the cluster's, such as cluster.local. Raises ValueError when it is none."""
        try:
            self.zone = lower(name_of(domain))
        except FormatError as error:
            raise ValueError(f"{domain!r} is no DNS domain") from error
        if not self.zone:
            raise ValueError("the cluster's domain is empty")
        self._services = services
        self._slices = slices
        services.add_index(_BY_ADDRESS, _cluster_addresses)
        slices.add_index(_BY_SERVICE, _service_key)
        slices.add_index(_BY_ADDRESS, _endpoint_addresses)

    @property
    def ready(self) -> bool:
        """Before this, what is not found may be there all the same."""
        return self._services.known.is_set() and self._slices.known.is_set()

    def owns(self, name: Name) -> bool:
        return lower(name)[-len(self.zone) :] == self.zone

    def find(self, name: Name, type_: int) -> Found | None:
        """None: to be asked elsewhere."""
        wanted = lower(name)
        if wanted[-2:] == _REVERSE:
            return self._reverse(name, wanted, type_)
        if not self.owns(wanted):
            return None
        return _of_type(self._find(name, wanted[: -len(self.zone)]), type_)

    def start(self) -> Record:
        """The zone's SOA, which says how long its silence holds."""
        zone = self.zone
        data = StartData((b"ns", b"dns", *zone), (b"hostmaster", *zone), 1, 7200, 1800, 86_400, TTL_S)
        return Record(zone, SOA, TTL_S, data)

    # --- names ----------------------------------------------------------------------------------------------

    def _find(self, name: Name, below: Name) -> Found:
        """`below`: what stands before the zone."""
        match below:
            case () | (b"svc",) | (b"pod",):
                server = Record(name, NS, TTL_S, (b"ns", b"dns", *self.zone))
                return Found(answers=(self.start(), server)) if not below else Found()
            case (b"dns-version",):
                return Found(answers=(Record(name, TXT, TTL_S, bytes([len(SCHEMA_VERSION)]) + SCHEMA_VERSION),))
            case (namespace, b"svc") | (namespace, b"pod"):
                return Found() if self._services.cache.in_namespace(_text(namespace)) else NOTHING
            case (dashed, _, b"pod"):
                return _pod(name, dashed)
            case (*front, service_name, namespace, b"svc"):
                service = self._services.cache.get(_text(service_name), namespace=_text(namespace))
                return NOTHING if service is None else self._below(name, service, tuple(front))
        return NOTHING

    def _below(self, name: Name, service: Service, front: Name) -> Found:
        spec = service.spec
        if spec.type == "ExternalName":
            return _alias(name, spec.external_name) if not front else NOTHING
        if spec.cluster_ip in ("", "None"):
            return self._headless(name, service, front)
        full = self._name(service)
        address = Record(name, A, TTL_S, _packed(spec.cluster_ip) or b"")
        ports = tuple((port.name, port.protocol, port.port) for port in spec.ports)
        match front:
            case ():
                found = [Record(name, SRV, TTL_S, ServiceData(0, 100, port[2], full)) for port in ports]
                return Found(answers=(*([address] if address.data else []), *found))
            case (_, _) | (_,) if chosen := list(_matching(ports, front)):
                found = [Record(name, SRV, TTL_S, ServiceData(0, 100, number, full)) for _, _, number in chosen]
                extra = (address._replace(name=full),) if address.data else ()
                return Found(answers=tuple(found), additional=extra) if len(front) == 2 else Found()
        return NOTHING

    def _headless(self, name: Name, service: Service, front: Name) -> Found:
        places = list(self._places(service))[:_ADDRESSES_MAX]
        full = self._name(service)
        ports = [port for place in places for port in place.ports]
        if not front or (len(front) == 2 and any(True for _ in _matching(ports, front))):
            addresses = (
                [] if front else [Record(name, A, TTL_S, each) for each in dict.fromkeys(p.address for p in places)]
            )
            targets = [
                Record(name, SRV, TTL_S, ServiceData(0, 100, number, (place.label, *full)))
                for place in places
                for _, _, number in (_matching(place.ports, front) if front else place.ports)
            ]
            extra = tuple(Record((place.label, *full), A, TTL_S, place.address) for place in places)
            return Found(answers=(*addresses, *dict.fromkeys(targets)), additional=extra) if places else NOTHING
        if len(front) == 1:
            found = [Record(name, A, TTL_S, place.address) for place in places if place.label == front[0]]
            if found or any(True for _ in _matching(ports, front)):
                return Found(answers=tuple(dict.fromkeys(found)))
        return NOTHING

    def _places(self, service: Service) -> Iterator[_Place]:
        key = f"{service.metadata.namespace}/{service.metadata.name}"
        for piece in sorted(self._slices.cache.by_index(_BY_SERVICE, key), key=lambda each: each.metadata.name):
            ports = tuple((each.name or "", each.protocol or "TCP", each.port) for each in piece.ports if each.port)
            for place in piece.endpoints:
                address = _ready_address(place)
                if address:
                    yield _Place(_label(place), address, ports)

    def _name(self, service: Service) -> Name:
        return (service.metadata.name.encode(), service.metadata.namespace.encode(), b"svc", *self.zone)

    # --- addresses ------------------------------------------------------------------------------------------

    def _reverse(self, name: Name, wanted: Name, type_: int) -> Found | None:
        address = ".".join(_text(label) for label in reversed(wanted[:-2]))
        targets = [self._name(each) for each in self._services.cache.by_index(_BY_ADDRESS, address)]
        for piece in self._slices.cache.by_index(_BY_ADDRESS, address):
            service = self._services.cache.get(piece.metadata.labels[SERVICE_LABEL], namespace=piece.metadata.namespace)
            if service is not None and service.spec.cluster_ip == "None":
                places = (each for each in piece.endpoints if address in each.addresses)
                targets += [(_label(each), *self._name(service)) for each in places]
        if not targets:
            return None
        return _of_type(Found(answers=tuple(Record(name, PTR, TTL_S, each) for each in sorted(set(targets)))), type_)


def _of_type(found: Found, type_: int) -> Found:
    """An alias stands for every type."""
    wanted = tuple(each for each in found.answers if each.type in (type_, CNAME) or type_ == ANY)
    return Found(found.rcode, wanted, found.additional if type_ == SRV else (), found.alias)


def _alias(name: Name, text: str) -> Found:
    try:
        target = name_of(text)
    except FormatError:
        return Found()
    return Found(answers=(Record(name, CNAME, TTL_S, target),), alias=target) if target else Found()


def _pod(name: Name, dashed: bytes) -> Found:
    address = _packed(_text(dashed).replace("-", "."))
    return Found(answers=(Record(name, A, TTL_S, address),)) if address else NOTHING


def _matching(ports: Iterable[tuple[str, str, int]], front: Name) -> Iterator[tuple[str, str, int]]:
    """Of `_port`, `_protocol`; or of the protocol alone, below which the names of ports are."""
    for port in ports:
        labels = (f"_{port[0]}".encode(), f"_{(port[1] or 'TCP').lower()}".encode())
        if labels[-len(front) :] == front:
            yield port


def _label(place: Endpoint) -> bytes:
    return (place.hostname or place.addresses[0].replace(".", "-")).lower().encode()


def _ready_address(place: Endpoint) -> bytes:
    if place.conditions.ready is False or not place.addresses:
        return b""
    return _packed(place.addresses[0])


def _packed(text: str) -> bytes:
    """Empty for what is no IPv4 address."""
    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        return b""


def _text(label: bytes) -> str:
    return label.decode(errors="replace")


def _cluster_addresses(service: Service) -> Iterable[str]:
    return () if service.spec.cluster_ip in ("", "None") else (service.spec.cluster_ip,)


def _service_key(piece: EndpointSlice) -> Iterable[str]:
    name = piece.metadata.labels.get(SERVICE_LABEL)
    return (f"{piece.metadata.namespace}/{name}",) if name and piece.address_type == "IPv4" else ()


def _endpoint_addresses(piece: EndpointSlice) -> Iterable[str]:
    if not _service_key(piece):
        return ()
    return {place.addresses[0]: None for place in piece.endpoints if _ready_address(place)}
