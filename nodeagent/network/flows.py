"""Removes UDP flows to endpoints that are gone: `python -m nodeagent.network.flows`, told what is right on stdin.

A flow lives in the kernel's connection table for as long as its client sends, and keeps to the endpoint it was given
first. A child does this, because the netlink library it needs would cost the agent 20 MB for work that is seldom.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from .backends import Backend, Frontend

_UDP = 17
_DELETED_MAX = 100_000


class Wanted(msgspec.Struct, frozen=True):
    """Who may answer: by "address port" of a Service, and by node port. Values are "address port" of endpoints."""

    addresses: dict[str, list[str]] = {}
    node_ports: dict[int, list[str]] = {}


class Flow(NamedTuple):
    """What the client sent to, and who answers."""

    to: Backend
    by: Backend


def wanted_of(ports: Iterable[Frontend]) -> Wanted:
    addresses: dict[str, list[str]] = {}
    node_ports: dict[int, list[str]] = {}
    for port in ports:
        if port.protocol == "udp":
            behind = [_text(backend) for backend in port.everywhere]
            for address in (port.cluster_ip, *port.ways_in):
                addresses[_text(Backend(address, port.port))] = behind
            if port.node_port:
                node_ports[port.node_port] = behind
    return Wanted(addresses, node_ports)


def is_stale(flow: Flow, wanted: Wanted) -> bool:
    """A flow to a node port counts once it was led to somebody else: the node itself may use the number."""
    behind = wanted.addresses.get(_text(flow.to))
    if behind is None and flow.to.address != flow.by.address:
        behind = wanted.node_ports.get(flow.to.port)
    return behind is not None and _text(flow.by) not in behind


def _text(place: Backend) -> str:
    return f"{place.address} {place.port}"


def _forget(wanted: Wanted) -> int:
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

    count = 0
    with NFCTSocket() as netlink:
        for original in list(_stale(netlink, wanted))[:_DELETED_MAX]:
            ends = dict(original["attrs"])
            place, ports = dict(ends["CTA_TUPLE_IP"]["attrs"]), dict(ends["CTA_TUPLE_PROTO"]["attrs"])
            flow = NFCTAttrTuple(
                saddr=place["CTA_IP_V4_SRC"],
                daddr=place["CTA_IP_V4_DST"],
                proto=_UDP,
                sport=ports["CTA_PROTO_SRC_PORT"],
                dport=ports["CTA_PROTO_DST_PORT"],
            )
            count += _delete(netlink, flow)
    return count


def _delete(netlink: Any, flow: Any) -> int:
    import errno

    from pyroute2.netlink.exceptions import NetlinkError

    try:
        netlink.entry("del", tuple_orig=flow)
    except NetlinkError as error:
        if error.code != errno.ENOENT:  # gone by itself
            raise
        return 0
    return 1


def _stale(netlink: Any, wanted: Wanted) -> Iterator[Any]:
    for message in netlink.dump():
        attributes = dict(message["attrs"])
        flow = _flow_of(attributes)
        if flow is not None and is_stale(flow, wanted):
            yield attributes["CTA_TUPLE_ORIG"]


def _flow_of(attributes: dict[str, Any]) -> Flow | None:
    """None for what is not UDP over IPv4."""
    to = _end(attributes.get("CTA_TUPLE_ORIG"), "DST")
    by = _end(attributes.get("CTA_TUPLE_REPLY"), "SRC")
    return Flow(to, by) if to and by else None


def _end(pair: Any, which: str) -> Backend | None:
    if pair is None:
        return None
    ends = dict(pair["attrs"])
    place, ports = dict(ends["CTA_TUPLE_IP"]["attrs"]), dict(ends["CTA_TUPLE_PROTO"]["attrs"])
    address, port = place.get(f"CTA_IP_V4_{which}"), ports.get(f"CTA_PROTO_{which}_PORT")
    if ports.get("CTA_PROTO_NUM") != _UDP or address is None or port is None:
        return None
    return Backend(address, port)


def main() -> int:
    try:
        wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
        sys.stdout.write(f"{_forget(wanted)}\n")
    except Exception as error:  # one line for the agent's log
        sys.stderr.write(f"flows of the connection table: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
