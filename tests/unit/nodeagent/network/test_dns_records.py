"""What the cluster's zone says: the rules of Kubernetes' DNS schema."""

from __future__ import annotations

import pytest
import virtual_time
from dns_messages import dotted
from fake_api import FakeApi
from service_objects import endpoint, piece, service

from apiserver.api.core.service import ServicePort
from nodeagent.network import dns_wire as wire
from nodeagent.network.dns_records import Found, Records
from nodeagent.network.proxy import service_informer, slice_informer

PORTS = [ServicePort(name="http", port=80, protocol="TCP"), ServicePort(name="dns", port=53, protocol="UDP")]
SERVICES = [
    service("web", ports=PORTS),
    service("db", cluster_ip="None", ports=PORTS[:1]),
    service("bare", cluster_ip="None"),
    service("away", cluster_ip="", type="ExternalName", external_name="example.org"),
    service("kubernetes", cluster_ip="10.96.0.1", port=443),
]
PIECES = [
    piece("db", endpoint("10.244.0.2", hostname="db-0"), port=8080, port_name="http", name="db-a"),
    piece("db", endpoint("10.244.0.3"), endpoint("10.244.0.4", ready=False), port=8081, port_name="http", name="db-b"),
    piece("web", endpoint("10.244.0.9"), port_name="http"),
]


def find(name: str, type_: int = wire.A) -> Found | None:
    async def body() -> Found | None:
        api = FakeApi()
        for each in (*SERVICES, *PIECES):
            api.put(each)
        client = api.client()
        async with service_informer(client) as services, slice_informer(client) as slices:
            records = Records(services, slices, domain="cluster.local")
            assert not records.ready
            await services.wait_for_sync()
            await slices.wait_for_sync()
            assert records.ready
            return records.find(wire.name_of(name), type_)

    return virtual_time.run(body())


def texts(found: Found | None) -> list[str]:
    assert found is not None
    return [text(each.data) for each in found.answers]


def text(data: object) -> str:
    if isinstance(data, wire.ServiceData):
        return f"{data.port} {dotted(data.target)}"
    if isinstance(data, bytes):
        return ".".join(map(str, data))
    assert isinstance(data, tuple)
    return dotted(data)


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        ("web.default.svc.cluster.local", wire.A, ["10.96.0.5"]),
        ("WEB.Default.SVC.cluster.LOCAL", wire.A, ["10.96.0.5"]),
        ("kubernetes.default.svc.cluster.local", wire.A, ["10.96.0.1"]),
        ("web.default.svc.cluster.local", wire.AAAA, []),
        ("db.default.svc.cluster.local", wire.A, ["10.244.0.2", "10.244.0.3"]),
        ("db-0.db.default.svc.cluster.local", wire.A, ["10.244.0.2"]),
        ("10-244-0-3.db.default.svc.cluster.local", wire.A, ["10.244.0.3"]),
        ("_http._tcp.web.default.svc.cluster.local", wire.SRV, ["80 web.default.svc.cluster.local"]),
        ("_dns._udp.web.default.svc.cluster.local", wire.SRV, ["53 web.default.svc.cluster.local"]),
        (
            "_http._tcp.db.default.svc.cluster.local",
            wire.SRV,
            ["8080 db-0.db.default.svc.cluster.local", "8081 10-244-0-3.db.default.svc.cluster.local"],
        ),
        ("_tcp.web.default.svc.cluster.local", wire.SRV, []),
        ("10-1-2-3.default.pod.cluster.local", wire.A, ["10.1.2.3"]),
        ("away.default.svc.cluster.local", wire.A, ["example.org"]),
        ("5.0.96.10.in-addr.arpa", wire.PTR, ["web.default.svc.cluster.local"]),
        ("2.0.244.10.in-addr.arpa", wire.PTR, ["db-0.db.default.svc.cluster.local"]),
        ("dns-version.cluster.local", wire.TXT, ["5.49.46.49.46.48"]),
        ("svc.cluster.local", wire.A, []),
        ("default.svc.cluster.local", wire.A, []),
        ("cluster.local", wire.A, []),
    ],
)
def test_names_that_are_there(name: str, type_: int, expected: list[str]) -> None:
    found = find(name, type_)
    assert found is not None
    assert found.rcode == wire.NO_ERROR
    assert sorted(texts(found)) == sorted(expected)


@pytest.mark.parametrize(
    "name",
    [
        "nothing.default.svc.cluster.local",
        "web.other.svc.cluster.local",
        "other.svc.cluster.local",
        "bare.default.svc.cluster.local",  # no ready endpoints
        "10-244-0-4.db.default.svc.cluster.local",  # not ready
        "a.web.default.svc.cluster.local",
        "_none._tcp.web.default.svc.cluster.local",
        "_http._udp.web.default.svc.cluster.local",
        "a._http._tcp.web.default.svc.cluster.local",
        "1-2-3.default.pod.cluster.local",
        "x.cluster.local",
    ],
)
def test_names_that_are_not(name: str) -> None:
    found = find(name)
    assert found is not None
    assert (found.rcode, found.answers) == (wire.NO_SUCH_NAME, ())


@pytest.mark.parametrize(
    "name", ["example.org", "local", "notcluster.local", "9.0.244.10.in-addr.arpa", "b.in-addr.arpa"]
)
def test_other_names_are_asked_elsewhere(name: str) -> None:
    assert find(name) is None


def test_an_srv_record_brings_the_addresses_with_it() -> None:
    found = find("_http._tcp.db.default.svc.cluster.local", wire.SRV)
    assert found is not None
    assert sorted(text(each.data) for each in found.additional) == ["10.244.0.2", "10.244.0.3"]


@pytest.mark.parametrize("domain", ["", ".", "a..b", "x" * 64])
def test_a_domain_that_is_none_is_refused(domain: str) -> None:
    async def body() -> None:
        client = FakeApi().client()
        Records(service_informer(client), slice_informer(client), domain=domain)

    with pytest.raises(ValueError, match="domain"):
        virtual_time.run(body())
