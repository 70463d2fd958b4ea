"""Links and routes in a real kernel: two nodes on one network, each a namespace of the test's own. Needs root."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path

import pytest
from pod_network import inside, missing, reaches

from apiserver.api.cluster_network import ClusterNetwork
from nodeagent.network.flows import Wanted
from nodeagent.network.kernel import Kernel
from nodeagent.network.links import Item, Orders, Report
from nodeagent.network.overlay import Overlay, Own, Place, overlay_items, services_items
from nodeagent.network.teardown import remove_network
from nodeagent.network.underlay import Underlay

NETWORK = ClusterNetwork(
    dns_ip="10.96.0.10", domain="cluster.local", cluster_cidr="10.244.0.0/16", service_cidr="10.96.0.0/16"
)
_numbers = count()


class Node:
    """One with a pod, which is only an address on the bridge of its pods."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"192.0.2.{number}"
        self.pods = IPv4Network(f"10.244.{number}.0/24")
        self.pod = str(self.pods[2])
        self.kernel = Kernel(("nsenter", f"--net=/run/netns/{name}"))

    @property
    def own(self) -> Own:
        return Own(self.name, self.address, Underlay("eth0", 1500), self.pods)

    @property
    def place(self) -> Place:
        return Place(IPv4Address(self.address), self.pods)

    def wanted(self, overlay: Overlay, *others: Node) -> list[Item]:
        found = overlay_items(overlay, [other.place for other in others], self.own)
        return services_items(self.own, NETWORK) + found

    def arrange(self, overlay: Overlay, *others: Node) -> Report:
        return asyncio.run(self.kernel.arrange(Orders(items=self.wanted(overlay, *others))))

    def run(self, *command: str) -> str:
        done = subprocess.run(["ip", "netns", "exec", self.name, *command], check=False, capture_output=True, text=True)
        return done.stdout + done.stderr

    def reaches(self, address: str, *, size: int = 8, source: str = "") -> bool:
        with inside(f"/run/netns/{self.name}"):
            return reaches(address, size=size, source=source)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    if reason := missing():
        pytest.skip(reason)
    unique = f"kl{os.getpid()}-{next(_numbers)}"
    made = Node(f"{unique}-a", 1), Node(f"{unique}-b", 2)
    try:
        for each in made:
            _ip(f"netns add {each.name}", f"-n {each.name} link set lo up")
        first, second = made
        _ip(f"-n {first.name} link add eth0 type veth peer name eth0 netns {second.name}")
        for each in made:
            _ip(f"-n {each.name} addr add {each.address}/24 dev eth0", f"-n {each.name} link set eth0 up")
            _ip(f"-n {each.name} link add kmini0 type bridge", f"-n {each.name} link set kmini0 up")
            _ip(f"-n {each.name} addr add {each.pod}/24 dev kmini0")
        yield made
    finally:
        for each in made:
            subprocess.run(["ip", "netns", "del", each.name], check=False, capture_output=True)


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, capture_output=True)


@pytest.mark.parametrize(("overlay", "size"), [("host-gw", 1472), ("vxlan", 1422)])
def test_pods_of_two_nodes_reach_each_other(nodes: tuple[Node, Node], overlay: Overlay, size: int) -> None:
    """With packets as long as they may be, of which none is cut into pieces; and the other node itself reaches them."""
    first, second = nodes
    for node, other in ((first, second), (second, first)):
        report = node.arrange(overlay, other)
        assert report.failed == []
        assert report.done != []
        assert node.arrange(overlay, other) == Report(), "the second time nothing is left to do"
    assert first.reaches(second.pod, size=size, source=first.pod)
    assert first.reaches(second.pod, size=size)
    assert not first.reaches(second.pod, size=size + 1, source=first.pod)


def test_the_way_changes_from_one_overlay_to_the_other_and_back(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    overlays: list[Overlay] = ["vxlan", "host-gw", "vxlan"]
    for overlay in overlays:
        for node, other in ((first, second), (second, first)):
            assert node.arrange(overlay, other).failed == []
        assert first.reaches(second.pod, source=first.pod)
        assert ("kmini-vxlan" in first.run("ip", "link")) == (overlay == "vxlan")


def test_routes_of_nodes_that_are_gone_go_and_those_of_others_stay(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.run("ip", "route", "add", "10.244.9.0/24", "via", second.address)
    first.arrange("host-gw", second)
    assert "10.244.2.0/24" in first.run("ip", "route")
    assert first.arrange("host-gw").failed == []
    left = first.run("ip", "route")
    assert "10.244.2.0/24" not in left
    assert "10.244.9.0/24" in left


def test_a_route_of_somebody_else_is_left_alone_and_told(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    first.run("ip", "route", "add", "10.244.2.0/24", "dev", "eth0")
    third = Node("third", 3)
    report = first.arrange("host-gw", second, third)
    assert report.failed == ["put route 10.244.2.0/24 via 192.0.2.2: somebody else made one already"]
    assert "10.244.2.0/24 dev eth0" in first.run("ip", "route")
    assert "10.244.3.0/24 via 192.0.2.3" in first.run("ip", "route"), "the others are made all the same"


def test_a_node_that_no_link_leads_to_is_told_with_what_helps(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    far = Node("far", 3)
    far.address = "198.51.100.3"
    (refused,) = first.arrange("host-gw", far).failed
    assert refused.startswith("put route 10.244.3.0/24 via 198.51.100.3: no link of this node leads there")


def test_a_node_whose_address_is_another_now_is_reached_there(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    overlays: list[Overlay] = ["vxlan", "host-gw"]
    for overlay in overlays:
        second.address = "192.0.2.9"
        first.arrange(overlay, second)
        second.address = "192.0.2.2"
        for node, other in ((first, second), (second, first)):
            assert node.arrange(overlay, other).failed == []
        assert first.reaches(second.pod, source=first.pod)


def test_packets_to_services_leave_the_node_from_its_own_address(nodes: tuple[Node, Node]) -> None:
    first, _ = nodes
    first.arrange("none")
    assert f"dev kmini-services src {first.address}" in first.run("ip", "route", "get", "10.96.0.1")
    assert first.reaches(NETWORK.dns_ip)
    first.run("ip", "link", "set", "kmini-services", "down")
    first.arrange("none")
    assert "kmini-services" in first.run("ip", "route", "get", "10.96.0.1")


def test_what_lies_in_the_agents_folder_is_not_run(
    nodes: tuple[Node, Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = nodes
    (tmp_path / "msgspec.py").write_text("raise SystemExit('taken over')\n", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    assert first.arrange("host-gw", second).failed == []
    asyncio.run(first.kernel.forget_flows(Wanted()))


def test_nothing_of_it_is_left_after_teardown(nodes: tuple[Node, Node]) -> None:
    first, second = nodes
    links, routes = first.run("ip", "-br", "link"), first.run("ip", "route")
    first.arrange("vxlan", second)
    first.run("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "veth2")
    first.run("ip", "link", "set", "veth1", "master", "kmini0")
    for _ in range(2):
        asyncio.run(remove_network(first.name, kernel=first.kernel))
        without = [line for line in links.splitlines() if "kmini0" not in line]
        assert [line.split()[0] for line in first.run("ip", "-br", "link").splitlines()] == [
            line.split()[0] for line in without
        ]
        assert first.run("ip", "route") == "".join(line for line in routes.splitlines(True) if "kmini0" not in line)
