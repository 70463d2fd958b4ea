"""Variables that tell of Services."""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.core.service import Service
from nodeagent.spec.service_links import service_variables


def service(name: str, namespace: str = "shop", ip: str = "10.96.0.1", **spec: Any) -> Service:
    ports = [{"port": 80, "protocol": "TCP"}]
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": ports} | spec}
    return msgspec.convert(body, Service)


API = service("kubernetes", "default", "10.96.0.2", ports=[{"name": "https", "port": 443, "protocol": "TCP"}])
API_VARIABLES = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.2",
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
    "KUBERNETES_PORT": "tcp://10.96.0.2:443",
    "KUBERNETES_PORT_443_TCP": "tcp://10.96.0.2:443",
    "KUBERNETES_PORT_443_TCP_PROTO": "tcp",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
    "KUBERNETES_PORT_443_TCP_ADDR": "10.96.0.2",
}


def test_of_the_namespace_and_the_api() -> None:
    ports = [{"name": "dns-udp", "port": 53, "protocol": "UDP"}, {"name": "web", "port": 80}]
    found = service_variables([API, service("my-db", ports=ports), service("far", "other")], "shop", linked=True)
    assert found == API_VARIABLES | {
        "MY_DB_SERVICE_HOST": "10.96.0.1",
        "MY_DB_SERVICE_PORT": "53",
        "MY_DB_SERVICE_PORT_DNS_UDP": "53",
        "MY_DB_SERVICE_PORT_WEB": "80",
        "MY_DB_PORT": "udp://10.96.0.1:53",
        "MY_DB_PORT_53_UDP": "udp://10.96.0.1:53",
        "MY_DB_PORT_53_UDP_PROTO": "udp",
        "MY_DB_PORT_53_UDP_PORT": "53",
        "MY_DB_PORT_53_UDP_ADDR": "10.96.0.1",
        "MY_DB_PORT_80_TCP": "tcp://10.96.0.1:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.96.0.1",
    }


def test_without_links_there_is_still_the_api() -> None:
    assert service_variables([API, service("db")], "shop", linked=False) == API_VARIABLES
    assert service_variables([API, service("db", "default")], "default", linked=False) == API_VARIABLES


def test_the_namespaces_own_is_nearer() -> None:
    own = service("kubernetes", ip="10.96.0.9")
    for order in ([API, own], [own, API]):
        assert service_variables(order, "shop", linked=True)["KUBERNETES_SERVICE_HOST"] == "10.96.0.9"
        assert service_variables(order, "shop", linked=False)["KUBERNETES_SERVICE_HOST"] == "10.96.0.2"


def test_who_has_no_address_of_the_cluster_is_not_told_of() -> None:
    headless, named = service("a", ip="None"), service("b", ip="", type="ExternalName", externalName="x.test")
    assert service_variables([headless, named], "shop", linked=True) == {}


def test_no_ports_and_the_other_family() -> None:
    assert service_variables([service("a", ports=[])], "shop", linked=True) == {"A_SERVICE_HOST": "10.96.0.1"}
    assert service_variables([service("a", ip="fd00::1")], "shop", linked=True)["A_PORT"] == "tcp://[fd00::1]:80"
