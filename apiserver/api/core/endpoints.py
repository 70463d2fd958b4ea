"""core/v1 Endpoints: the addresses behind a Service, in the older form that EndpointSlices replace."""

from __future__ import annotations

from apiserver.api.base import Int32, Object, always
from apiserver.api.meta import TopObject

from .references import ObjectReference


class EndpointAddress(Object):
    """An address behind a Service.

    ip: The address; loopback, link-local and multicast are refused.
    hostname: Host name of the endpoint.
    node_name: Node the endpoint is on.
    target_ref: Object the endpoint belongs to, mostly a Pod.
    """

    ip: str = always("")
    hostname: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Object):
    """A port of the addresses.

    name: Name of the Service's port; needed when there is more than one.
    port: Number of the port.
    protocol: TCP, UDP or SCTP.
    app_protocol: Protocol spoken on the port.
    """

    name: str = ""
    port: Int32 = always(0)
    protocol: str = ""
    app_protocol: str | None = None


class EndpointSubset(Object):
    """Every address with every port.

    addresses: Addresses that are ready.
    not_ready_addresses: Addresses that are not.
    ports: Ports of each address.
    """

    addresses: list[EndpointAddress] = []
    not_ready_addresses: list[EndpointAddress] = []
    ports: list[EndpointPort] = []


class Endpoints(TopObject):
    """The addresses behind the Service of the same name.

    subsets: Groups of addresses that share their ports.
    """

    subsets: list[EndpointSubset] = []
