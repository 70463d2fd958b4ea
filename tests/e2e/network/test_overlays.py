"""Pods of two hosts in one network: by routes, and through a tunnel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kmini_process import eventually
from network_cluster import OUTSIDE, PORT, Rig, answers, ask, deployment, rig, service
from pod_network import inside, reaches

LONGEST = {"host-gw": 1472, "vxlan": 1422}  # bytes of an echo that fill a packet: 28 less than the MTU


@pytest.fixture(scope="module", params=["host-gw", "vxlan"])
def made(request: pytest.FixtureRequest) -> Iterator[tuple[Rig, str]]:
    with rig(overlay=request.param) as world:
        world.create(deployment("web", 4), service("web", "web", type="NodePort"))
        world.wait_pods("web", 4)
        world.wait_routes()
        world.wait_service("web", "web")
        yield world, request.param


def test_pods_reach_pods_of_other_hosts_by_their_addresses(made: tuple[Rig, str]) -> None:
    """With packets that fill the network's, none of which is cut into pieces."""
    world, overlay = made
    pods = world.wait_pods("web", 4)
    for pod in pods:
        for other in (each for each in pods if each is not pod):
            with inside(world.inside_pod(pod)):
                assert reaches(other["status"]["podIP"], size=LONGEST[overlay])
                assert not reaches(other["status"]["podIP"], size=LONGEST[overlay] + 1, within_s=0.3)


def test_hosts_reach_pods_of_other_hosts(made: tuple[Rig, str]) -> None:
    world, _ = made
    for pod in world.wait_pods("web", 4):
        for node in world.nodes:
            assert ask(world.host(node), pod["status"]["podIP"], PORT) == pod["metadata"]["name"]


def test_a_service_answers_everywhere_and_spreads_over_its_endpoints(made: tuple[Rig, str]) -> None:
    world, _ = made
    pods = world.wait_pods("web", 4)
    names = {each["metadata"]["name"] for each in pods}
    spec = world.api("GET", "Service", "web")["spec"]
    for place in (*map(world.inside_pod, pods), *map(world.host, world.nodes)):
        assert answers(place, spec["clusterIP"], 80, wanted=4) == names
    for node in world.nodes:
        for place in (OUTSIDE, world.host("n1"), world.inside_pod(pods[0])):
            assert answers(place, world.address(node), spec["ports"][0]["nodePort"], wanted=4) == names


def test_the_route_to_a_node_that_is_gone_goes(made: tuple[Rig, str]) -> None:
    """The last of these: there is one node afterwards."""
    world, _ = made
    network = world.api("GET", "Node", "n2")["spec"]["podCIDR"]
    assert network in world.routes("n1")
    world.cluster.kill("n2")
    world.delete("Node", "n2")
    eventually(lambda: network not in world.routes("n1"), what="the route is gone")

    def neighbours() -> str:
        return world.cluster.run("n1", ["sh", "-c", "ip neighbour show nud permanent; bridge fdb show"]).stdout

    eventually(lambda: world.address("n2") not in neighbours(), what="the neighbour is gone")
