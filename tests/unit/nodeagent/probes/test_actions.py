"""Whom a probe asks, and for what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.probes import HTTPGetAction
from nodeagent.probes.actions import BadAction, HttpWish, http_wish, port_of, redirected

SPEC = msgspec.convert({"name": "main", "ports": [{"name": "web", "containerPort": 8080}]}, ContainerSpec)


def wish(address: str = "10.0.0.9", **action: Any) -> HttpWish:
    return http_wish(msgspec.convert({"port": 80} | action, HTTPGetAction), SPEC, address)


@pytest.mark.parametrize(("port", "number"), [(80, 80), ("web", 8080), ("81", 81)])
def test_a_port_is_a_number_or_has_a_name(port: int | str, number: int) -> None:
    assert port_of(port, SPEC) == number


@pytest.mark.parametrize("port", [0, 65_536, -1, "db", "", "²", "0"])
def test_what_is_no_port(port: int | str) -> None:
    with pytest.raises(BadAction):
        port_of(port, SPEC)


@pytest.mark.parametrize(
    ("action", "url"),
    [
        ({}, "http://10.0.0.9:80/"),
        ({"path": "/healthz", "port": "web"}, "http://10.0.0.9:8080/healthz"),
        ({"path": "healthz?full=1&x=a b#part"}, "http://10.0.0.9:80/healthz?full=1&x=a%20b"),
        ({"path": "/a%2Fb/ü"}, "http://10.0.0.9:80/a%2Fb/%C3%BC"),
        ({"scheme": "HTTPS", "host": "example.test", "port": 443}, "https://example.test:443/"),
        ({"host": "fd00::1"}, "http://[fd00::1]:80/"),
    ],
)
def test_urls(action: dict[str, Any], url: str) -> None:
    assert wish(**action).url == url


def test_headers_that_were_written_replace_those_that_are_sent_anyway() -> None:
    assert dict(wish().headers) == {"Host": "10.0.0.9:80", "User-Agent": "kube-probe/1.33", "Accept": "*/*"}
    headers = [{"name": "host", "value": "shop.test"}, {"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}]
    made = wish(httpHeaders=headers).headers
    assert [each for each in made if each[0].lower() in ("host", "x-a")] == [
        ("host", "shop.test"),
        ("X-A", "1"),
        ("X-A", "2"),
    ]


@pytest.mark.parametrize("header", [{"name": "X", "value": "a\r\nY: b"}, {"name": "X\n", "value": ""}, {"name": ""}])
def test_a_header_cannot_smuggle_others(header: dict[str, str]) -> None:
    with pytest.raises(BadAction):
        wish(httpHeaders=[header])


def test_a_pod_without_an_address_cannot_be_asked() -> None:
    with pytest.raises(BadAction):
        wish(address="")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/other?x=1", "http://10.0.0.9:80/other?x=1"),
        ("near", "http://10.0.0.9:80/a/near"),
        ("http://10.0.0.9:81/b", "http://10.0.0.9:81/b"),
        ("https://10.0.0.9/b", "https://10.0.0.9:443/b"),
        ("//10.0.0.9/c", "http://10.0.0.9:80/c"),
        ("http://10.0.0.8/b", None),
        ("http://10.0.0.9:port/", None),
        ("ftp://10.0.0.9/", None),
        ("mailto:x", None),
        ("//evil.test/", None),
    ],
)
def test_redirects_stay_on_the_host(location: str, url: str | None) -> None:
    found = redirected(wish(path="/a/b"), location)
    assert (found.url if found else None) == url
