"""From objects to addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import pytest

from apiserver.api.core.containers import Container, ContainerPort
from apiserver.api.core.node import DaemonEndpoint, Node, NodeAddress, NodeDaemonEndpoints, NodeStatus
from apiserver.api.core.pod import Pod, PodIP, PodSpec, PodStatus
from apiserver.api.core.service import Service, ServicePort, ServiceSpec
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointPort, EndpointSlice
from apiserver.api.errors import ApiError, BadRequest, NotFound, ServiceUnavailable
from apiserver.api.meta import ObjectMeta
from apiserver.http.node_places import (
    SERVICE_NAME_LABEL,
    Named,
    Places,
    container_of,
    host_of,
    is_proxyable,
    split_name,
)
from apiserver.http.tunnel import Place

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Objects:
    """A Lookup over a dictionary."""

    def __init__(self, *objects: Any) -> None:
        self.objects = list(objects)

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any | None:
        assert linearizable
        kinds = {"pods": Pod, "nodes": Node, "services": Service}
        return next(
            (each for each in self.objects if isinstance(each, kinds[key]) and each.metadata.name == name), None
        )

    async def list(self, key: str, namespace: str = "") -> Sequence[Any]:
        assert key == "discovery.k8s.io/endpointslices"
        return [each for each in self.objects if isinstance(each, EndpointSlice)]


def places(*objects: Any) -> Places:
    return Places(Objects(*objects), lambda: TLS)


def node(*addresses: tuple[str, str], port: int = 0) -> Node:
    status = NodeStatus(
        addresses=[NodeAddress(type=kind, address=address) for kind, address in addresses],
        daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port)),
    )
    return Node(metadata=ObjectMeta(name="n"), status=status)


def pod(*ports: int, address: str = "10.1.2.3", scheme: str = "") -> Pod:
    container = Container(name="a", ports=[ContainerPort(container_port=port) for port in ports])
    return Pod(
        metadata=ObjectMeta(name="p", namespace="d"),
        spec=PodSpec(containers=[container]),
        status=PodStatus(pod_ip=address, pod_ips=[PodIP(ip=address)] if address else []),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a", Named("", "a", "")),
        ("a:80", Named("", "a", "80")),
        ("https:a:", Named("https", "a", "")),
        ("http:a:web", Named("http", "a", "web")),
        (":a:80", Named("", "a", "80")),
    ],
)
def test_names_with_scheme_and_port(text: str, named: Named) -> None:
    assert split_name(text, "pod") == named


@pytest.mark.parametrize("text", ["", ":", "ftp:a:80", "http::80", "http:a:80:90", "::::"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(BadRequest, match="invalid pod request"):
        split_name(text, "pod")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("224.0.0.1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_where_nobody_is_taken_to(address: str, allowed: bool) -> None:
    assert is_proxyable(address) is allowed


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([("Hostname", "h"), ("ExternalIP", "1.1.1.1"), ("InternalIP", "10.0.0.1")], "10.0.0.1"),
        ([("Hostname", "h"), ("ExternalIP", "1.1.1.1")], "1.1.1.1"),
        ([("Hostname", "h"), ("InternalIP", "")], "h"),
    ],
)
def test_the_address_of_a_node(addresses: list[tuple[str, str]], expected: str) -> None:
    found = asyncio.run(places(node(*addresses)).agent("n"))
    assert found == Place(expected, 10250, TLS, "n")


def test_the_port_of_an_agent() -> None:
    assert asyncio.run(places(node(("InternalIP", "fd00::1"), port=99)).agent("n")).authority == "[fd00::1]:99"


def test_other_ports_of_a_node_see_no_certificate_of_the_server() -> None:
    there = places(node(("InternalIP", "10.0.0.1"), port=99))
    assert asyncio.run(there.node("n")).tls is TLS
    assert asyncio.run(there.node("https:n:99")).tls is TLS
    assert asyncio.run(there.node("n:98")) == Place("10.0.0.1", 98)
    other = asyncio.run(there.node("https:n:98")).tls
    assert other is not TLS
    with pytest.raises(BadRequest, match="address not allowed"):
        asyncio.run(places(node(("InternalIP", "127.0.0.1"), port=99)).node("n:98"))


@pytest.mark.parametrize(
    ("text", "ports", "port"),
    [("p", (), 80), ("https:p:", (), 443), ("p", (8080, 9090), 8080), ("p:9090", (8080,), 9090)],
)
def test_the_port_of_a_pod(text: str, ports: tuple[int, ...], port: int) -> None:
    found = asyncio.run(places(pod(*ports)).of_pod("d", text))
    assert (found.host, found.port, found.server_name) == ("10.1.2.3", port, "")


@pytest.mark.parametrize(
    ("there", "text", "error"),
    [
        (pod(), "p:http", BadRequest),
        (pod(), "p:70000", BadRequest),
        (pod(address=""), "p", ServiceUnavailable),
        (pod(address="127.0.0.1"), "p", BadRequest),
        (pod(), "q", NotFound),
    ],
    ids=range(5),
)
def test_pods_nobody_is_taken_to(there: Pod, text: str, error: type[ApiError]) -> None:
    with pytest.raises(error):
        asyncio.run(places(there).of_pod("d", text))


def service(*ports: tuple[str, int]) -> Service:
    spec = ServiceSpec(ports=[ServicePort(name=name, port=port) for name, port in ports])
    return Service(metadata=ObjectMeta(name="s", namespace="d"), spec=spec)


def endpoint_slice(of: str, port: tuple[str, int], *endpoints: tuple[str, bool | None]) -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name="s-1", namespace="d", labels={SERVICE_NAME_LABEL: of}),
        endpoints=[
            Endpoint(addresses=[address], conditions=EndpointConditions(ready=ready)) for address, ready in endpoints
        ],
        ports=[EndpointPort(name=port[0], port=port[1])],
    )


def test_a_service_leads_to_what_is_ready() -> None:
    there = places(
        service(("http", 80), ("metrics", 90)),
        endpoint_slice("s", ("http", 8080), ("10.0.0.1", False), ("10.0.0.2", None), ("10.0.0.3", True)),
        endpoint_slice("s", ("metrics", 9090), ("10.0.0.4", True)),
        endpoint_slice("other", ("http", 8080), ("10.0.0.5", True)),
    )
    found = {asyncio.run(there.of_service("d", "s:http"))[:2] for _ in range(50)}
    assert found == {("10.0.0.2", 8080), ("10.0.0.3", 8080)}
    assert asyncio.run(there.of_service("d", "https:s:90")).port == 9090
    for text, words in (
        ("s", 'no service port ""'),
        ("s:81", 'no service port "81"'),
        ("s:web", 'no service port "web"'),
    ):
        with pytest.raises(ServiceUnavailable, match=words):
            asyncio.run(there.of_service("d", text))


def test_a_service_of_one_port_needs_no_name() -> None:
    there = places(service(("", 80)), endpoint_slice("s", ("", 8080), ("10.0.0.1", True)))
    assert asyncio.run(there.of_service("d", "s")) == Place("10.0.0.1", 8080)


def test_a_service_that_leads_nowhere() -> None:
    with pytest.raises(ServiceUnavailable, match='no endpoints available for service "s"'):
        asyncio.run(places(service(("", 80))).of_service("d", "s"))
    with pytest.raises(BadRequest, match="address not allowed"):
        asyncio.run(
            places(service(("", 80)), endpoint_slice("s", ("", 1), ("169.254.169.254", True))).of_service("d", "s")
        )


@pytest.mark.parametrize(
    ("containers", "wanted", "message"),
    [
        (["a", "b"], "", "a container name must be specified for pod p, choose one of: [a b]"),
        (["a"], "c", "container c is not valid for pod p"),
        ([], "", "a container name must be specified for pod p"),
    ],
)
def test_containers_that_are_not_said(containers: list[str], wanted: str, message: str) -> None:
    there = Pod(metadata=ObjectMeta(name="p"), spec=PodSpec(containers=[Container(name=name) for name in containers]))
    with pytest.raises(BadRequest) as caught:
        container_of(there, wanted)
    assert caught.value.message == message


def test_init_containers_may_be_asked_for() -> None:
    spec = PodSpec(containers=[Container(name="a")], init_containers=[Container(name="i")])
    there = Pod(metadata=ObjectMeta(name="p"), spec=spec)
    assert (container_of(there, ""), container_of(there, "i")) == ("a", "i")
    with pytest.raises(BadRequest, match="pod p does not have a host assigned"):
        host_of(there)
