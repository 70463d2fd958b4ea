"""discovery.k8s.io/v1: EndpointSlice, a part of the addresses behind a Service."""

from __future__ import annotations

import msgspec

from .base import Int32, Object, StringMap, always
from .core.references import ObjectReference
from .meta import TopObject


class EndpointConditions(Object):
    """State of an endpoint; a condition left out counts as true for ready and serving, as false for terminating.

    ready: True when the endpoint takes traffic.
    serving: Like ready, but also while it ends.
    terminating: True when the endpoint is about to end.
    """

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForZone(Object):
    """A zone that should use the endpoint.

    name: Name of the zone.
    """

    name: str = always("")


class ForNode(Object):
    """A node that should use the endpoint.

    name: Name of the node.
    """

    name: str = always("")


class EndpointHints(Object):
    """Who should use the endpoint.

    for_zones: Zones that should.
    for_nodes: Nodes that should.
    """

    for_zones: list[ForZone] = []
    for_nodes: list[ForNode] = []


class Endpoint(Object):
    """One place behind a Service.

    addresses: Addresses of the one endpoint, at least one; readers take the first.
    conditions: State of the endpoint.
    hostname: Host name of the endpoint, a DNS label.
    target_ref: Object the endpoint belongs to, mostly a Pod.
    deprecated_topology: Where the endpoint is, in the older form.
    node_name: Node the endpoint is on.
    zone: Zone the endpoint is in.
    hints: Who should use the endpoint.
    """

    addresses: list[str] = always([])
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    hostname: str | None = None
    target_ref: ObjectReference | None = None
    deprecated_topology: StringMap = {}
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Object):
    """A port of every endpoint of the slice.

    name: Name of the Service's port; unique in the slice.
    protocol: TCP, UDP or SCTP.
    port: Number of the port; left out it means all ports.
    app_protocol: Protocol spoken on the port.
    """

    name: str | None = None
    protocol: str | None = None
    port: Int32 | None = None
    app_protocol: str | None = None


class EndpointSlice(TopObject):
    """A part of the addresses behind the Service that the label kubernetes.io/service-name names.

    address_type: IPv4, IPv6 or FQDN; cannot be changed.
    endpoints: The places, 1000 at most.
    ports: Ports of each endpoint.
    """

    address_type: str = always("")
    endpoints: list[Endpoint] = always([])
    ports: list[EndpointPort] = always([])
