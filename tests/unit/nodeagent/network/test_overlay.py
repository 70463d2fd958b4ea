"""From Nodes, who say of themselves what they like, to routes and links."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.api.cluster_network import ClusterNetwork
from apiserver.api.core.node import Node, NodeAddress, NodeSpec, NodeStatus
from apiserver.api.meta import ObjectMeta
from nodeagent.network.links import Address, Link, Neighbour, Route, Tunnel
from nodeagent.network.overlay import (
    Own,
    overlay_items,
    places,
    pods_mtu,
    services_items,
    trimmed,
    tunnel_mac,
)
from nodeagent.network.underlay import Underlay

NETWORK = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)
OWN = Own("n1", "192.0.2.1", Underlay("eth0", 1500), IPv4Network("10.244.1.0/24"))


def node(name: str, pods: str, address: str, *, created: str = "2026-01-01T00:00:00Z", **meta: Any) -> Node:
    return Node(
        metadata=ObjectMeta(name=name, creation_timestamp=created, **meta),
        spec=NodeSpec(pod_cidr=pods, pod_cidrs=[pods] if pods else []),
        status=NodeStatus(
            addresses=[
                NodeAddress(type="Hostname", address="203.0.113.9"),
                NodeAddress(type="InternalIP", address="fd00::9"),
                NodeAddress(type="InternalIP", address=address),
            ]
        ),
    )


SECOND = node("n2", "10.244.2.0/24", "192.0.2.2")


def networks(*nodes: Node) -> dict[str, str]:
    return {str(each.pods): str(each.address) for each in places(nodes, OWN, NETWORK)}


def test_every_other_node_has_a_place() -> None:
    nodes = [node("n1", "10.244.1.0/24", "192.0.2.1"), SECOND, node("new", "", "192.0.2.3")]
    assert networks(*nodes) == {"10.244.2.0/24": "192.0.2.2"}


@pytest.mark.parametrize(
    "pods",
    [
        "0.0.0.0/0",
        "10.244.0.0/16",
        "10.0.0.0/8",
        "10.96.0.0/24",
        "192.0.2.0/24",
        "10.244.1.0/24",
        "10.244.1.128/25",
        "10.244.0.0/17",
        "fd00::/64",
        "10.244.2.1/24",
        "x",
    ],
)
def test_no_node_takes_what_is_not_its_own(pods: str) -> None:
    """All traffic, that to Services, ours or the pods of another."""
    thief = node("thief", pods, "192.0.2.9", created="2026-02-01T00:00:00Z")
    elder = node("n2", "10.244.2.0/24", "192.0.2.2")
    third = node("n3", "10.244.100.0/24", "192.0.2.3")
    assert networks(thief, elder, third) == {"10.244.2.0/24": "192.0.2.2", "10.244.100.0/24": "192.0.2.3"}


def test_no_node_takes_all_of_it_before_we_have_our_part() -> None:
    thief = node("thief", "10.244.0.0/16", "192.0.2.9")
    assert places([thief], OWN._replace(pods=None), NETWORK) == []


def test_of_two_that_overlap_the_elder_counts() -> None:
    younger = node("a", "10.244.2.128/25", "192.0.2.9", created="2026-01-01T00:00:01Z")
    assert networks(younger, SECOND) == {"10.244.2.0/24": "192.0.2.2"}


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "10.96.0.1", "10.244.3.3", "x", ""]
)
def test_no_node_is_reached_at_an_address_that_is_none(address: str) -> None:
    assert networks(node("n2", "10.244.2.0/24", address)) == {}


def test_routes_lead_to_the_nodes_themselves() -> None:
    found = overlay_items("host-gw", places([SECOND], OWN, NETWORK), OWN)
    assert found == [Route(network="10.244.2.0/24", gateway="192.0.2.2")]


def test_a_tunnel_needs_to_be_told_nothing_but_the_nodes() -> None:
    found = overlay_items("vxlan", places([SECOND], OWN, NETWORK), OWN)
    mac = "0a:6b:c0:00:02:02"
    assert found == [
        Link(name="kmini-vxlan", under="eth0", local="192.0.2.1", mac="0a:6b:c0:00:02:01", mtu=1450),
        Address(link="kmini-vxlan", address="10.244.1.0/32"),
        Neighbour(address="10.244.2.0", mac=mac),
        Tunnel(mac=mac, to="192.0.2.2"),
        Route(network="10.244.2.0/24", gateway="10.244.2.0", link="kmini-vxlan"),
    ]
    assert mac == tunnel_mac("192.0.2.2")


def test_no_tunnel_before_there_is_a_network_for_pods_or_with_none_of_ours() -> None:
    others = places([SECOND], OWN, NETWORK)
    assert overlay_items("vxlan", others, OWN._replace(pods=None)) == []
    assert overlay_items("vxlan", others, OWN._replace(under=Underlay("", 0))) == []
    assert overlay_items("none", others, OWN) == []


def test_processes_of_the_node_come_from_its_address_where_it_has_one() -> None:
    assert services_items(OWN, NETWORK) == [
        Link(name="kmini-services"),
        Address(link="kmini-services", address="10.96.0.10/32"),
        Route(network="10.96.0.0/16", link="kmini-services", source="192.0.2.1"),
    ]
    alone = services_items(OWN._replace(address="127.0.0.1", under=Underlay("lo", 65_536)), NETWORK)
    assert alone[2] == Route(network="10.96.0.0/16", link="kmini-services")


def test_packets_of_pods_are_as_long_as_the_way_takes() -> None:
    assert pods_mtu("host-gw", Underlay("eth0", 1400)) == 1400
    assert pods_mtu("vxlan", Underlay("eth0", 1400)) == 1350
    assert pods_mtu("vxlan", Underlay("eth0", 9000)) == 8950
    assert pods_mtu("host-gw", Underlay("lo", 65_536)) == 1500
    assert pods_mtu("host-gw", Underlay("", 0)) == 1500


def test_what_is_kept_of_a_node_is_enough() -> None:
    whole = node("n2", "10.244.2.0/24", "192.0.2.2", uid="u", annotations={"a": "b" * 1000})
    kept = trimmed(whole)
    assert places([kept], OWN, NETWORK) == places([whole], OWN, NETWORK) != []
    assert (kept.metadata.name, kept.metadata.uid) == ("n2", "u")
    assert kept.metadata.annotations == {}


_CIDRS = st.sampled_from(
    [
        "",
        "10.244.1.0/24",
        "10.244.2.0/24",
        "10.244.2.64/26",
        "10.244.3.0/24",
        "10.244.0.0/20",
        "0.0.0.0/0",
        "10.96.0.0/24",
    ]
)
_ADDRESSES = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "10.244.2.7", "10.96.0.1", "127.0.0.1", ""])
_NODES = st.lists(st.tuples(_CIDRS, _ADDRESSES, st.sampled_from("12")), max_size=8)


@given(_NODES, st.randoms())
def test_whatever_nodes_say_no_packet_is_led_astray(said: list[tuple[str, str, str]], random: Any) -> None:
    nodes = [
        node(f"m{number}", pods, address, created=f"2026-01-0{day}T00:00:00Z")
        for number, (pods, address, day) in enumerate(said)
    ]
    found = places(nodes, OWN, NETWORK)
    taken = [OWN.pods, *(each.pods for each in found)]
    for number, one in enumerate(taken):
        assert one is not None
        assert one.subnet_of(IPv4Network(NETWORK.cluster_cidr))
        assert one.prefixlen > 16
        assert not any(one.overlaps(other) for other in taken[:number] if other is not None)
    for each in found:
        assert str(each.address) in ("192.0.2.2", "192.0.2.3")
    random.shuffle(nodes)
    assert places(nodes, OWN, NETWORK) == found, "in whatever order they come"
    assert all(isinstance(each.address, IPv4Address) for each in found)
