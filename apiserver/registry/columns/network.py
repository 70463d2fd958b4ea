"""Columns of services, endpoints and endpoint slices."""

from __future__ import annotations

from typing import Any

from apiserver.registry.resource import Column

from .cells import AGE, NAME, NONE, UNKNOWN, UNSET, cut_short, labels


def _cluster_ip(service: Any, now_s: float) -> str:
    addresses = service.spec.cluster_ips
    return (addresses[0] if addresses else service.spec.cluster_ip) or NONE


def _balancer_addresses(service: Any) -> list[str]:
    balancer = service.status.load_balancer
    ingress = balancer.ingress if balancer else []
    return sorted({each.ip or each.hostname for each in ingress} - {"", None})


def _external_ip(service: Any, now_s: float) -> str:
    kind = service.spec.type
    given = list(service.spec.external_ips)
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(given) or NONE
    if kind == "LoadBalancer":
        return ",".join(_balancer_addresses(service) + given) or "<pending>"
    if kind == "ExternalName":
        return str(service.spec.external_name)
    return UNKNOWN


def _port(port: Any) -> str:
    number = f"{port.port}:{port.node_port}" if port.node_port else str(port.port)
    return f"{number}/{port.protocol}"


def _ports(service: Any, now_s: float) -> str:
    return ",".join(_port(each) for each in service.spec.ports) or NONE


SERVICE = (
    NAME,
    Column("Type", lambda obj, _: obj.spec.type, "How the service is reached."),
    Column("Cluster-IP", _cluster_ip, "Its address inside the cluster."),
    Column("External-IP", _external_ip, "Its addresses from outside."),
    Column("Port(s)", _ports, "Its ports; after the colon the port on every node."),
    AGE,
    Column("Selector", lambda obj, _: labels(obj.spec.selector), "Labels of the pods behind it.", priority=1),
)


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoints(endpoints: Any, now_s: float) -> str:
    if not endpoints.subsets:
        return NONE
    found: list[str] = []
    for subset in endpoints.subsets:
        if not subset.ports:  # a headless service need not have ports
            found += [address.ip for address in subset.addresses]
        for port in subset.ports:
            found += [_join(address.ip, port.port) for address in subset.addresses]
    return cut_short(found)


ENDPOINTS = (NAME, Column("Endpoints", _endpoints, "Addresses and ports that are ready."), AGE)


def _slice_port(port: Any) -> str:
    return str(port.port) if port.port is not None else port.name or "*"


def _slice_ports(obj: Any, now_s: float) -> str:
    return cut_short([_slice_port(each) for each in obj.ports]) or UNSET


def _slice_endpoints(obj: Any, now_s: float) -> str:
    return cut_short([address for each in obj.endpoints for address in each.addresses]) or UNSET


ENDPOINT_SLICE = (
    NAME,
    Column("AddressType", lambda obj, _: obj.address_type, "IPv4, IPv6 or FQDN."),
    Column("Ports", _slice_ports, "Ports all of its endpoints serve."),
    Column("Endpoints", _slice_endpoints, "Addresses of its endpoints."),
    AGE,
)
