"""Which rules a node gets for its Services: who is behind an address, who is turned away, who is masked."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from golden import check_golden
from hypothesis import given
from hypothesis import strategies as st
from service_objects import endpoint, piece, service

from apiserver.api.core.service import ClientIPConfig, LoadBalancerIngress, Service, ServicePort, SessionAffinityConfig
from apiserver.api.discovery import EndpointSlice
from nodeagent.network.backends import Backend, ServiceName, frontends
from nodeagent.network.rules import Ruleset, present_after, present_of, replacement, ruleset, table_name

NODE = "n1"
PODS = "10.244.0.0/16"


def rules_of(services: list[Service], slices: list[EndpointSlice], **options: Any) -> Ruleset:
    return ruleset(frontends(services, slices, node=NODE, **options), node=NODE, cluster_cidr=PODS)


def chain(rules: Ruleset, name: str) -> str:
    return json.dumps(rules.chains[name][1])


def test_a_cluster_address_leads_to_each_ready_endpoint_at_random() -> None:
    rules = rules_of([service("web")], [piece("web", endpoint("10.244.0.2"), endpoint("10.244.1.2", node="n2"))])
    assert rules.maps["addresses"] == {("10.96.0.5", "tcp", 80): {"goto": {"target": "cluster/default/web/tcp/80"}}}
    assert rules.chains["cluster/default/web/tcp/80"][1][-1][-1] == {
        "dnat": {
            "family": "ip",
            "addr": {
                "map": {
                    "key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}},
                    "data": {
                        "set": [[0, {"concat": ["10.244.0.2", 8080]}], [1, {"concat": ["10.244.1.2", 8080]}]],
                    },
                }
            },
        }
    }
    assert rules.hairpins == ("10.244.0.2",)


def test_no_endpoints_is_a_refusal() -> None:
    rules = rules_of([service("web", node_port=30080, external_ips=["192.0.2.1"])], [])
    assert rules.maps["addresses"] == rules.maps["node-ports"] == {}
    refuse = {"goto": {"target": "refuse"}}
    assert rules.maps["unserved"] == {("10.96.0.5", "tcp", 80): refuse, ("192.0.2.1", "tcp", 80): refuse}
    assert rules.maps["unserved-node-ports"] == {("tcp", 30080): refuse}


def test_headless_named_and_foreign_services_have_no_rules() -> None:
    headless, named, foreign = service("a", cluster_ip="None"), service("b", type="ExternalName"), service("c")
    foreign.metadata.labels["service.kubernetes.io/service-proxy-name"] = "other"
    rules = rules_of([headless, named, foreign], [piece("a", endpoint("10.244.0.2"))])
    assert not any(rules.maps.values())


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([{"ready": True}, {"ready": False, "serving": True, "terminating": True}], ["10.244.0.1"]),
        ([{"ready": False}, {"ready": False, "serving": True, "terminating": True}], ["10.244.0.2"]),
        ([{"ready": False}, {"ready": False, "serving": False, "terminating": True}], []),
        ([{}, {}], ["10.244.0.1", "10.244.0.2"]),
    ],
)
def test_who_ends_takes_traffic_only_when_nobody_else_is_left(
    states: list[dict[str, Any]], expected: list[str]
) -> None:
    places = [endpoint(f"10.244.0.{number}", **state) for number, state in enumerate(states, 1)]
    (found,) = frontends([service("web")], [piece("web", *places)], node=NODE)
    assert [backend.address for backend in found.everywhere] == expected


def test_internal_policy_local_stays_on_the_node_and_drops_without_endpoints_here() -> None:
    local = service("web", internal_traffic_policy="Local")
    here, away = endpoint("10.244.0.2"), endpoint("10.244.1.2", node="n2")
    rules = rules_of([local], [piece("web", here, away)])
    assert rules.maps["addresses"][("10.96.0.5", "tcp", 80)] == {"goto": {"target": "local/default/web/tcp/80"}}
    assert "10.244.1.2" not in chain(rules, "local/default/web/tcp/80")
    assert rules_of([local], [piece("web", away)]).maps["unserved"] == {("10.96.0.5", "tcp", 80): {"drop": None}}
    refused = rules_of([local], []).maps["unserved"]
    assert refused == {("10.96.0.5", "tcp", 80): {"goto": {"target": "refuse"}}}


def test_external_policy_local_shows_the_client_and_serves_pods_from_everywhere() -> None:
    local = service("web", node_port=30080, external_traffic_policy="Local")
    rules = rules_of([local], [piece("web", endpoint("10.244.0.2"), endpoint("10.244.1.2", node="n2"))])
    from_pods, from_node, from_outside = rules.chains["external/default/web/tcp/80"][1]
    assert from_pods[-1] == from_node[-1] == {"goto": {"target": "cluster/default/web/tcp/80"}}
    assert from_outside == [{"goto": {"target": "local/default/web/tcp/80"}}]
    away = rules_of([local], [piece("web", endpoint("10.244.1.2", node="n2"))])
    assert away.chains["external/default/web/tcp/80"][1][-1] == [{"drop": None}]


def test_clients_from_outside_are_masked() -> None:
    rules = rules_of([service("web", node_port=30080)], [piece("web", endpoint("10.244.0.2"))])
    mark, lead = rules.chains["external/default/web/tcp/80"][1]
    assert "mangle" in mark[0]
    assert lead == [{"goto": {"target": "cluster/default/web/tcp/80"}}]


def test_a_client_keeps_to_its_pod_over_a_change() -> None:
    config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=60))
    sticky = service("web", session_affinity="ClientIP", session_affinity_config=config)
    first = rules_of([sticky], [piece("web", endpoint("10.244.0.2"), endpoint("10.244.0.3"))])
    kept, gone = (f"affinity/default/web/tcp/80/10.244.0.{number}/8080/60" for number in (2, 3))
    assert first.affinities == {kept: 60, gone: 60}
    second = rules_of([sticky], [piece("web", endpoint("10.244.0.2"))])
    commands = replacement(second, present_after(first))["nftables"]
    touched = [command for command in commands if kept in json.dumps(command) and "rule" not in json.dumps(command)]
    assert touched == []
    assert {"delete": {"set": {"family": "ip", "name": gone, "table": "kmini-n1"}}} in commands
    assert commands[1] == {"flush": {"table": {"family": "ip", "name": "kmini-n1"}}}


def test_without_knowledge_the_table_is_made_anew() -> None:
    commands = replacement(rules_of([], []), None)["nftables"]
    table = {"table": {"family": "ip", "name": "kmini-n1"}}
    assert commands[:3] == [{"add": table}, {"delete": table}, {"add": table}]


def test_load_balancer_ranges_guard_its_addresses_alone() -> None:
    wide = service("web", type="LoadBalancer", load_balancer_source_ranges=["10.0.0.0/8", "bad"], node_port=30080)
    wide.status.load_balancer.ingress = [LoadBalancerIngress(ip="192.0.2.9"), LoadBalancerIngress(hostname="x")]
    rules = rules_of([wide], [piece("web", endpoint("10.244.0.2"))])
    assert list(rules.maps["guards"]) == [("192.0.2.9", "tcp", 80)]
    assert rules.chains["guard/default/web/tcp/80"][1][-1] == [{"drop": None}]


def test_an_external_address_cannot_take_a_cluster_address() -> None:
    thief = service("a", cluster_ip="10.96.0.9", external_ips=["10.96.0.5"])
    rules = rules_of(
        [thief, service("web")], [piece("a", endpoint("10.244.0.2")), piece("web", endpoint("10.244.0.3"))]
    )
    assert rules.maps["addresses"][("10.96.0.5", "tcp", 80)] == {"goto": {"target": "cluster/default/web/tcp/80"}}


def test_wrong_values_cost_nobody_else_his_rules() -> None:
    odd = piece("web", endpoint("::1"), endpoint("127.0.0.1"), endpoint("nonsense"), endpoint("10.244.0.2"))
    (found,) = frontends([service("web", external_ips=["no", "fe80::1"])], [odd], node=NODE)
    assert found.everywhere == (Backend("10.244.0.2", 8080),)
    assert found.ways_in == ()


def test_ports_are_matched_by_name_and_protocol() -> None:
    ports = [ServicePort(name="dns", port=53, protocol="UDP"), ServicePort(name="dns-tcp", port=53, protocol="TCP")]
    pieces = [
        piece("web", endpoint("10.244.0.2"), port=5353, port_name="dns", protocol="UDP"),
        piece("web", endpoint("10.244.0.2"), port=5354, port_name="dns-tcp"),
    ]
    found = frontends([service("web", ports=ports)], pieces, node=NODE)
    assert [(each.protocol, each.everywhere[0].port) for each in found] == [("tcp", 5354), ("udp", 5353)]


def test_the_node_answers_in_place_of_endpoints_and_sees_who_asks() -> None:
    here = {ServiceName("default", "web"): Backend("169.254.20.10", 53)}
    rules = rules_of([service("web")], [piece("web", endpoint("10.244.0.2"))], answered_here=here)
    lines = rules.chains["cluster/default/web/tcp/80"][1]
    assert [line[-1] for line in lines] == [{"dnat": {"addr": "169.254.20.10", "port": 53}}]
    assert rules.hairpins == ()


def test_the_whole_table_is_as_reviewed() -> None:
    services = [
        service("web", node_port=30080, external_ips=["192.0.2.1"]),
        service("sticky", cluster_ip="10.96.0.6", session_affinity="ClientIP"),
        service("empty", cluster_ip="10.96.0.7", port=53, protocol="UDP"),
    ]
    two = (endpoint("10.244.0.2"), endpoint("10.244.1.2", node="n2"))
    rules = rules_of(services, [piece("web", *two), piece("sticky", *two)])
    lines = [json.dumps(command) for command in replacement(rules, None)["nftables"]]
    check_golden(Path(__file__).parent / "golden" / "table.jsonl", "\n".join(lines) + "\n")


def test_names_of_tables_are_bounded() -> None:
    assert table_name("n1") == "kmini-n1"
    assert len(table_name("a" * 253)) < 128


def test_rules_that_others_took_away_are_missed() -> None:
    """`nft flush table` leaves everything but the rules."""
    rules = rules_of([service("web")], [piece("web", endpoint("10.244.0.2"))])
    listed = [command["add"] for command in replacement(rules, None)["nftables"] if "add" in command]
    assert present_of({"nftables": listed}) == present_after(rules)
    assert present_of({"nftables": [each for each in listed if "rule" not in each]}) != present_after(rules)


def test_lists_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="another form"):
        present_of({"nftables": [{"chain": {}}]})


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=12))
def test_the_same_objects_give_the_same_rules_in_whatever_order(seed: int, count: int) -> None:
    chance = Random(seed)
    services = [
        service(
            f"s{number}",
            cluster_ip=f"10.96.1.{number}",
            node_port=chance.choice([0, 30000 + number]),
            session_affinity=chance.choice(["", "ClientIP"]),
            internal_traffic_policy=chance.choice([None, "Local"]),
            external_traffic_policy=chance.choice(["Cluster", "Local"]),
        )
        for number in range(count)
    ]
    pieces = [
        piece(
            f"s{chance.randrange(12)}",
            *(endpoint(f"10.244.0.{chance.randrange(1, 9)}", node=chance.choice(["n1", "n2"])) for _ in range(3)),
        )
        for _ in range(count)
    ]
    first = rules_of(services, pieces)
    chance.shuffle(services)
    chance.shuffle(pieces)
    second = rules_of(services, pieces)
    assert json.dumps(replacement(first, None)) == json.dumps(replacement(second, None))
    every_way_leads_somewhere(first)


def every_way_leads_somewhere(rules: Ruleset) -> None:
    """Each verdict's chain is there, each chain but those with hooks is led to, and each affinity is used."""
    text = json.dumps(
        [[list(entries.values()) for entries in rules.maps.values()], [lines for _, lines in rules.chains.values()]]
    )
    for name, (hook, _) in rules.chains.items():
        assert hook or f'"target": "{name}"' in text or name == "refuse", name
    for verb in ("goto", "jump"):
        for target in text.split(f'"{verb}": {{"target": "')[1:]:
            assert target.split('"')[0] in rules.chains
    for name in rules.affinities:
        assert f'"@{name}"' in text
