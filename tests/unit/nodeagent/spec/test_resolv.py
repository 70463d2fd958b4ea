"""How a pod resolves names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_world import NETWORK, pod

from nodeagent.runtime.interface import Dns
from nodeagent.spec.resolv import SEARCH_CHARACTERS_MAX, parse_resolv_conf, resolution_of

NODE = Dns(servers=["192.0.2.1", "192.0.2.2"], searches=["corp.test"], options=["timeout:1", "rotate"])
CLUSTER_SEARCHES = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"]


def resolved(**spec: Any) -> Dns:
    found = resolution_of(pod(**spec), NETWORK, NODE)
    assert found.left_out == []
    return found.dns


CLUSTER = Dns(servers=["10.96.0.10"], searches=[*CLUSTER_SEARCHES, "corp.test"], options=["ndots:5"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, NODE),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
        ({"dnsPolicy": "Default"}, NODE),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.test"]}},
            Dns(servers=["1.1.1.1"], searches=["a.test"], options=[]),
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["1.1.1.1", "10.96.0.10"],
                    "searches": ["a.test", "corp.test"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
                }
            },
            Dns(
                servers=["10.96.0.10", "1.1.1.1"],
                searches=[*CLUSTER_SEARCHES, "corp.test", "a.test"],
                options=["ndots:2", "edns0"],
            ),
        ),
    ],
)
def test_policies(spec: dict[str, Any], expected: Dns) -> None:
    assert resolved(**spec) == expected


def test_what_is_too_much_is_left_out_and_said() -> None:
    servers = [f"192.0.2.{number}" for number in range(5)]
    found = resolution_of(pod(dnsPolicy="None", dnsConfig={"nameservers": servers}), NETWORK, NODE)
    assert found.dns.servers == servers[:3]
    assert found.left_out == [
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "192.0.2.0 192.0.2.1 192.0.2.2"
    ]
    searches = [f"s{number}.test" for number in range(40)]
    found = resolution_of(pod(dnsPolicy="None", dnsConfig={"searches": searches}), NETWORK, NODE)
    assert found.dns.searches == searches[:32]
    assert found.left_out[0].startswith("Search Line limits were exceeded")


def test_of_long_names_as_many_as_fit() -> None:
    searches = [f"{number:0200}" for number in range(20)]
    found = resolution_of(pod(dnsPolicy="None", dnsConfig={"searches": searches}), NETWORK, NODE)
    assert found.dns.searches == searches[:10]
    assert found.left_out[0].startswith("Search Line limits were exceeded")


@given(st.lists(st.text("ab.", min_size=1, max_size=253), max_size=50))
def test_the_search_line_is_never_too_long(searches: list[str]) -> None:
    found = resolution_of(pod(dnsPolicy="None", dnsConfig={"searches": searches}), NETWORK, NODE)
    kept = found.dns.searches
    assert len(" ".join(kept)) <= SEARCH_CHARACTERS_MAX
    assert len(kept) <= 32
    assert list(kept) == list(dict.fromkeys(searches))[: len(kept)]
    assert bool(found.left_out) == (len(kept) < len(set(searches)))


def test_the_nodes_file() -> None:
    text = """
# by hand
; too
domain old.test
nameserver 192.0.2.1
nameserver\t fd00::1
search a.test
search b.test. c.test .
options ndots:2 rotate
options edns0
nameserver
nonsense x
"""
    assert parse_resolv_conf(text) == Dns(
        servers=["192.0.2.1", "fd00::1"],
        searches=["b.test", "c.test", "."],
        options=["ndots:2", "rotate", "edns0"],
    )


@given(st.text(max_size=200))
def test_any_file_can_be_read(text: str) -> None:
    parse_resolv_conf(text)
