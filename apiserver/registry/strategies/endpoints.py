"""Endpoints and EndpointSlices: what a Service may lead to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from apiserver.api.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from apiserver.api.discovery import Endpoint, EndpointHints, EndpointSlice
from apiserver.api.discovery import EndpointPort as SlicePort
from apiserver.api.fields import Causes
from apiserver.api.names import (
    is_dns_label,
    is_dns_subdomain,
    is_ip,
    is_ipv4,
    is_ipv6,
    is_label_value,
    is_port_number,
    is_qualified_name,
)
from apiserver.api.validation import check, validate_immutable, validate_labels
from apiserver.registry.strategy import Strategy

from .pod_validation.texts import one_of

PROTOCOLS = ("SCTP", "TCP", "UDP")
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
ENDPOINTS_MAX = 1_000
ADDRESSES_MAX = 100
PORTS_MAX = 20_000
TOPOLOGY_LABELS_MAX = 16
HINTS_MAX = 8
_ZONE_LABEL = "topology.kubernetes.io/zone"


def validate_reachable(address: str, causes: Causes, path: str) -> None:
    """An address that traffic can be sent to from elsewhere. `address` must be one already."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        causes.invalid(path, address, f"may not be unspecified ({address})")
    if ip.is_loopback:
        causes.invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if ip.is_link_local:
        causes.invalid(path, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if ip in _LINK_LOCAL_MULTICAST[ip.version]:
        causes.invalid(path, address, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


_LINK_LOCAL_MULTICAST: dict[int, ipaddress.IPv4Network | ipaddress.IPv6Network] = {
    4: ipaddress.ip_network("224.0.0.0/24"),
    6: ipaddress.ip_network("ff02::/16"),
}


def validate_port_number(port: int, causes: Causes, path: str) -> None:
    for message in is_port_number(port):
        causes.invalid(path, port, message)


class EndpointsStrategy(Strategy[Endpoints]):
    allow_create_on_update = True

    def default(self, obj: Endpoints) -> None:
        for subset in obj.subsets:
            for port in subset.ports:
                port.protocol = port.protocol or "TCP"

    def validate(self, obj: Endpoints, causes: Causes) -> None:
        for index, subset in enumerate(obj.subsets):
            _validate_subset(subset, causes, f"subsets[{index}]")


def _validate_subset(subset: EndpointSubset, causes: Causes, path: str) -> None:
    if not subset.addresses and not subset.not_ready_addresses:
        causes.required(path, "must specify `addresses` or `notReadyAddresses`")
    for name, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
        for index, address in enumerate(addresses):
            _validate_address(address, causes, f"{path}.{name}[{index}]")
    for index, port in enumerate(subset.ports):
        _validate_port(port, causes, f"{path}.ports[{index}]", name_required=len(subset.ports) > 1)


def _validate_address(address: EndpointAddress, causes: Causes, path: str) -> None:
    check(is_ip, address.ip, causes, f"{path}.ip")
    if address.hostname:
        check(is_dns_label, address.hostname, causes, f"{path}.hostname")
    if address.node_name is not None:
        check(is_dns_subdomain, address.node_name, causes, f"{path}.nodeName")
    if not is_ip(address.ip):
        validate_reachable(address.ip, causes, f"{path}.ip")


def _validate_port(port: EndpointPort, causes: Causes, path: str, *, name_required: bool) -> None:
    if port.name:
        check(is_dns_label, port.name, causes, f"{path}.name")
    elif name_required:
        causes.required(f"{path}.name")
    validate_port_number(port.port, causes, f"{path}.port")
    one_of(causes, f"{path}.protocol", port.protocol, PROTOCOLS)
    if port.app_protocol is not None:
        check(is_qualified_name, port.app_protocol, causes, f"{path}.appProtocol")


# --- slices ---------------------------------------------------------------------------------------------


class EndpointSliceStrategy(Strategy[EndpointSlice]):
    allow_create_on_update = True
    has_generation = True

    def default(self, obj: EndpointSlice) -> None:
        for port in obj.ports:
            port.name = port.name or ""
            port.protocol = port.protocol or "TCP"

    def validate(self, obj: EndpointSlice, causes: Causes) -> None:
        one_of(causes, "addressType", obj.address_type, ADDRESS_TYPES)
        if len(obj.endpoints) > ENDPOINTS_MAX:
            causes.too_many("endpoints", len(obj.endpoints), ENDPOINTS_MAX)
        else:
            for index, endpoint in enumerate(obj.endpoints):
                _validate_endpoint(endpoint, obj.address_type, causes, f"endpoints[{index}]")
        _validate_slice_ports(obj.ports, causes, "ports")

    def validate_update(self, obj: EndpointSlice, old: EndpointSlice, causes: Causes) -> None:
        validate_immutable(obj.address_type, old.address_type, causes, "addressType")


_ADDRESS_RULES: dict[str, Callable[[str], list[str]]] = {"IPv4": is_ipv4, "IPv6": is_ipv6}


def _validate_endpoint(endpoint: Endpoint, address_type: str, causes: Causes, path: str) -> None:
    if not endpoint.addresses:
        causes.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(endpoint.addresses) > ADDRESSES_MAX:
        causes.too_many(f"{path}.addresses", len(endpoint.addresses), ADDRESSES_MAX)
    for index, address in enumerate(endpoint.addresses[:ADDRESSES_MAX]):
        _validate_slice_address(address, address_type, causes, f"{path}.addresses[{index}]")
    if endpoint.node_name is not None:
        check(is_dns_subdomain, endpoint.node_name, causes, f"{path}.nodeName")
    if endpoint.hostname is not None:
        check(is_dns_label, endpoint.hostname, causes, f"{path}.hostname")
    topology = endpoint.deprecated_topology
    if len(topology) > TOPOLOGY_LABELS_MAX:
        causes.too_many(f"{path}.deprecatedTopology", len(topology), TOPOLOGY_LABELS_MAX)
    validate_labels(topology, causes, f"{path}.deprecatedTopology")
    if _ZONE_LABEL in topology:
        causes.forbidden(
            f"{path}.deprecatedTopology[{_ZONE_LABEL}]", "reserved key cannot be set in deprecatedTopology"
        )
    if endpoint.hints is not None:
        _validate_hints(endpoint.hints, causes, f"{path}.hints")


def _validate_slice_address(address: str, address_type: str, causes: Causes, path: str) -> None:
    rule = _ADDRESS_RULES.get(address_type)
    if rule is not None:
        check(rule, address, causes, path)
        if not rule(address):
            validate_reachable(address, causes, path)
    elif address_type == "FQDN":
        check(_is_fqdn, address, causes, path)


def _is_fqdn(text: str) -> list[str]:
    """A name of at least two labels; a dot at the end is allowed."""
    name = text.removesuffix(".")
    if not name or is_dns_subdomain(name):
        return is_dns_subdomain(name)
    return [] if "." in name else ["should be a domain with at least two segments separated by dots"]


def _validate_hints(hints: EndpointHints, causes: Causes, path: str) -> None:
    zones = [each.name for each in hints.for_zones]
    nodes = [each.name for each in hints.for_nodes]
    for name, values, rule in (("forZones", zones, is_label_value), ("forNodes", nodes, is_dns_subdomain)):
        if len(values) > HINTS_MAX:
            causes.too_many(f"{path}.{name}", len(values), HINTS_MAX)
            continue
        for index, value in enumerate(values):
            if value in values[:index]:
                causes.duplicate(f"{path}.{name}[{index}].name", value)
            check(rule, value, causes, f"{path}.{name}[{index}].name")


def _validate_slice_ports(ports: list[SlicePort], causes: Causes, path: str) -> None:
    if len(ports) > PORTS_MAX:
        causes.too_many(path, len(ports), PORTS_MAX)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.name or ""
        if name:
            check(is_dns_label, name, causes, f"{path}[{index}].name")
        if name in seen:
            causes.duplicate(f"{path}[{index}].name", name)
        seen.add(name)
        one_of(causes, f"{path}[{index}].protocol", port.protocol or "", PROTOCOLS)
        if port.port is not None:
            validate_port_number(port.port, causes, f"{path}[{index}].port")
        if port.app_protocol is not None:
            check(is_qualified_name, port.app_protocol, causes, f"{path}[{index}].appProtocol")


ENDPOINTS = EndpointsStrategy()
ENDPOINT_SLICE = EndpointSliceStrategy()
