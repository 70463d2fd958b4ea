"""From the cluster's Nodes to what one node needs so that its pods reach the pods of the others. Pure.

    host-gw   all nodes are on one network: a route to each node's pods, by that node's address
    vxlan     a tunnel that packs packets into UDP, through routers too: a route to each node's pods by that node's end
              of the tunnel, whose hardware address follows from the node's address, so nobody has to be told
    none      somebody else does it

Whatever the overlay, Services have a link of their own: the address of the DNS is on it, and a route lets packets for
the other addresses leave the processes of this node, so that the packet rules can send them on.

What must hold: a Node says of itself what it likes, so only networks inside the cluster's count, and of two that
overlap our own or the elder's; a gateway is never an address of pods, of Services, or our own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Literal, NamedTuple

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.node import Node

from .links import SERVICES_LINK, TUNNEL_LINK, Address, Item, Link, Neighbour, Route, Tunnel
from .underlay import Underlay

Overlay = Literal["host-gw", "vxlan", "none"]

TUNNEL_HEAD = 50  # bytes that VXLAN over IPv4 puts before a packet
MTU_OF_LOOPBACK = 1500  # then there is no other node
_MAC_PREFIX = b"\x0a\x6b"  # one of those that nobody owns


class Place(NamedTuple):
    """Where a node is, and where its pods are."""

    address: IPv4Address
    pods: IPv4Network


class Own(NamedTuple):
    """This node. `under` is the link that has its address; `pods` is None until they have a network."""

    name: str
    address: str
    under: Underlay
    pods: IPv4Network | None


def pods_mtu(overlay: Overlay, under: Underlay) -> int:
    """The longest packet of a pod that gets to another node whole."""
    longest = under.mtu if under.name not in ("", "lo") else MTU_OF_LOOPBACK
    return longest - (TUNNEL_HEAD if overlay == "vxlan" else 0)


def pod_network(node: Node, network: ClusterNetwork) -> IPv4Network | None:
    """None for one that has none yet, or what is no part of the cluster's."""
    whole = IPv4Network(network.cluster_cidr)
    for text in (node.spec.pod_cidr, *node.spec.pod_cidrs):
        try:
            found = IPv4Network(text)
        except ValueError:
            continue
        if found.subnet_of(whole) and found != whole:
            return found
    return None


def places(nodes: Iterable[Node], own: Own, network: ClusterNetwork) -> list[Place]:
    """Of the other nodes, in the order in which they came."""
    taken = [own.pods] if own.pods else []
    found = []
    for node in sorted(nodes, key=lambda each: (each.metadata.creation_timestamp or "", each.metadata.name)):
        if node.metadata.name == own.name:
            continue
        pods, address = pod_network(node, network), _address(node, own, network)
        if pods is not None and address is not None and not any(pods.overlaps(other) for other in taken):
            taken.append(pods)
            found.append(Place(address, pods))
    return found


def _address(node: Node, own: Own, network: ClusterNetwork) -> IPv4Address | None:
    inner = [IPv4Network(network.cluster_cidr), IPv4Network(network.service_cidr)]
    for each in node.status.addresses:
        if each.type != "InternalIP":
            continue
        try:
            found = IPv4Address(each.address)
        except ValueError:
            continue
        wrong = found.is_loopback or found.is_unspecified or found.is_multicast or found.is_reserved
        if not wrong and str(found) != own.address and not any(found in other for other in inner):
            return found
    return None


def services_items(own: Own, network: ClusterNetwork) -> list[Item]:
    """Packets of the node's own processes to Services come from the node's address."""
    source = "" if not own.under.name or IPv4Address(own.address).is_loopback else own.address
    return [
        Link(name=SERVICES_LINK),
        Address(link=SERVICES_LINK, address=f"{network.dns_ip}/32"),
        Route(network=network.service_cidr, link=SERVICES_LINK, source=source),
    ]


def overlay_items(overlay: Overlay, others: Iterable[Place], own: Own) -> list[Item]:
    if overlay == "host-gw":
        return [Route(network=str(place.pods), gateway=str(place.address)) for place in others]
    if overlay == "none" or own.pods is None or not own.under.name:
        return []
    mac, mtu = tunnel_mac(own.address), pods_mtu(overlay, own.under)
    items: list[Item] = [
        Link(name=TUNNEL_LINK, under=own.under.name, local=own.address, mac=mac, mtu=mtu),
        Address(link=TUNNEL_LINK, address=f"{own.pods.network_address}/32"),
    ]
    for place in others:
        gateway, mac = str(place.pods.network_address), tunnel_mac(str(place.address))
        items.append(Neighbour(address=gateway, mac=mac))
        items.append(Tunnel(mac=mac, to=str(place.address)))
        items.append(Route(network=str(place.pods), gateway=gateway, link=TUNNEL_LINK))
    return items


def tunnel_mac(address: str) -> str:
    """The hardware address of a node's end of the tunnel."""
    return (_MAC_PREFIX + ipaddress.IPv4Address(address).packed).hex(":")


def trimmed(node: Node) -> Node:
    """What this needs of a Node; a hundred of them are kept in memory."""
    meta, spec = node.metadata, node.spec
    kept = Node(metadata=type(meta)(name=meta.name, uid=meta.uid, resource_version=meta.resource_version))
    kept.metadata.creation_timestamp = meta.creation_timestamp
    kept.spec.pod_cidr, kept.spec.pod_cidrs = spec.pod_cidr, spec.pod_cidrs
    kept.status.addresses = [each for each in node.status.addresses if each.type == "InternalIP"]
    return kept
