"""Services: defaults, every rule, and what an update keeps."""

from __future__ import annotations

from typing import Any

import pytest
from rule_tables import GONE, broken, broken_by_update, changed, created, plain, shown, updated

from apiserver.api.core.service import ServiceSpec
from apiserver.api.fields import Causes
from apiserver.registry.strategies.service_rules import validate_service_change
from apiserver.registry.strategies.services import SERVICE as SERVICE_RULES

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
}
NODE_PORT = changed(SERVICE, ("spec.type", "NodePort"))
BALANCED = changed(SERVICE, ("spec.type", "LoadBalancer"))
NAMED = changed(SERVICE, ("spec.type", "ExternalName"), ("spec.externalName", "db.example.com"), ("spec.ports", GONE))
HEADLESS = changed(SERVICE, ("spec.clusterIP", "None"))
ALLOCATED = changed(SERVICE, ("spec.clusterIP", "10.96.0.7"), ("spec.clusterIPs", ["10.96.0.7"]))


def test_defaults() -> None:
    assert plain(created(SERVICE))["spec"] == {
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }


def test_defaults_of_what_is_reachable_from_outside() -> None:
    spec = created(BALANCED).spec
    assert (spec.external_traffic_policy, spec.allocate_load_balancer_node_ports) == ("Cluster", True)
    assert created(NODE_PORT).spec.external_traffic_policy == "Cluster"
    assert created(changed(SERVICE, ("spec.externalIPs", ["192.0.2.1"]))).spec.external_traffic_policy == "Cluster"
    assert created(SERVICE).spec.external_traffic_policy == ""


def test_defaults_of_affinity() -> None:
    spec = created(changed(SERVICE, ("spec.sessionAffinity", "ClientIP"))).spec
    assert spec.session_affinity_config.client_ip.timeout_seconds == 10800


def test_an_address_that_was_given_is_one_of_the_addresses() -> None:
    assert created(changed(SERVICE, ("spec.clusterIP", "10.96.0.9"))).spec.cluster_ips == ["10.96.0.9"]


def test_a_headless_service_without_selector_may_have_endpoints_of_both_families() -> None:
    spec = created(changed(HEADLESS, ("spec.selector", GONE))).spec
    assert (spec.ip_families, spec.ip_family_policy) == (["IPv4", "IPv6"], "RequireDualStack")


def test_defaults_are_idempotent() -> None:
    for document in (SERVICE, NODE_PORT, BALANCED, NAMED, HEADLESS):
        once = plain(created(document))
        assert plain(created({**document, **once})) == once


@pytest.mark.parametrize(
    "document",
    [SERVICE, NODE_PORT, BALANCED, NAMED, HEADLESS, ALLOCATED, changed(HEADLESS, ("spec.ports", []))],
)
def test_a_good_service_breaks_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


BAD: list[tuple[dict[str, Any], str, Any, str, str]] = [
    (SERVICE, "spec.ports", [], "Required", "spec.ports"),
    (SERVICE, "spec.ports.0.port", 0, "Invalid", "spec.ports[0].port"),
    (SERVICE, "spec.ports.0.port", 65536, "Invalid", "spec.ports[0].port"),
    (SERVICE, "spec.ports.0.targetPort", 70000, "Invalid", "spec.ports[0].targetPort"),
    (SERVICE, "spec.ports.0.targetPort", "Not_A_Port", "Invalid", "spec.ports[0].targetPort"),
    (SERVICE, "spec.ports.0.protocol", "ICMP", "NotSupported", "spec.ports[0].protocol"),
    (SERVICE, "spec.ports.0.name", "Http", "Invalid", "spec.ports[0].name"),
    (SERVICE, "spec.ports.0.appProtocol", "a b", "Invalid", "spec.ports[0].appProtocol"),
    (SERVICE, "spec.ports.0.nodePort", 30080, "Forbidden", "spec.ports[0].nodePort"),
    (NODE_PORT, "spec.ports.0.nodePort", 80, "Invalid", "spec.ports[0].nodePort"),
    (NODE_PORT, "spec.ports.0.nodePort", 32768, "Invalid", "spec.ports[0].nodePort"),
    (NODE_PORT, "spec.clusterIP", "None", "Invalid", "spec.clusterIPs[0]"),
    (BALANCED, "spec.clusterIP", "None", "Invalid", "spec.clusterIPs[0]"),
    (BALANCED, "spec.ports.0.port", 10250, "Invalid", "spec.ports[0]"),
    (SERVICE, "spec.ports.1", {"name": "more", "port": 80}, "Duplicate", "spec.ports[1]"),
    (SERVICE, "spec.ports.1", {"name": "http", "port": 81}, "Duplicate", "spec.ports[1].name"),
    (SERVICE, "spec.ports.1", {"port": 81}, "Required", "spec.ports[1].name"),
    (SERVICE, "spec.type", "Magic", "NotSupported", "spec.type"),
    (SERVICE, "spec.selector", {"app": "a b"}, "Invalid", "spec.selector"),
    (SERVICE, "spec.sessionAffinity", "Cookie", "NotSupported", "spec.sessionAffinity"),
    (SERVICE, "spec.externalIPs", ["127.0.0.1"], "Invalid", "spec.externalIPs[0]"),
    (SERVICE, "spec.externalIPs", ["169.254.1.1"], "Invalid", "spec.externalIPs[0]"),
    (SERVICE, "spec.externalIPs", ["0.0.0.0"], "Invalid", "spec.externalIPs[0]"),
    (SERVICE, "spec.externalIPs", ["224.0.0.1"], "Invalid", "spec.externalIPs[0]"),
    (SERVICE, "spec.externalIPs", ["nowhere"], "Invalid", "spec.externalIPs[0]"),
    (SERVICE, "spec.clusterIP", "10.96.0", "Invalid", "spec.clusterIPs[0]"),
    (SERVICE, "spec.clusterIPs", ["10.96.0.1"], "Invalid", "spec.clusterIPs"),
    (ALLOCATED, "spec.clusterIPs", ["10.96.0.8"], "Invalid", "spec.clusterIPs"),
    (ALLOCATED, "spec.ipFamilies", ["IPv6"], "Invalid", "spec.ipFamilies[0]"),
    (ALLOCATED, "spec.clusterIPs", ["10.96.0.7", "10.96.0.8"], "Invalid", "spec.clusterIPs"),
    (ALLOCATED, "spec.clusterIPs", ["10.96.0.7", "fd00::7", "fd00::8"], "Invalid", "spec.clusterIPs"),
    (ALLOCATED, "spec.ipFamilies", ["IPv6"], "Invalid", "spec.clusterIPs[0]"),
    (HEADLESS, "spec.clusterIPs", ["None", "10.96.0.7"], "Invalid", "spec.clusterIPs"),
    (SERVICE, "spec.ipFamilies", ["IPv5"], "NotSupported", "spec.ipFamilies[0]"),
    (SERVICE, "spec.ipFamilies", ["IPv4", "IPv4"], "Duplicate", "spec.ipFamilies[1]"),
    (SERVICE, "spec.ipFamilies", ["IPv4", "IPv6"], "Invalid", "spec.ipFamilyPolicy"),
    (SERVICE, "spec.ipFamilies", ["IPv6"], "Invalid", "spec.ipFamilies[0]"),
    (SERVICE, "spec.ipFamilyPolicy", "RequireDualStack", "Invalid", "spec.ipFamilyPolicy"),
    (SERVICE, "spec.ipFamilyPolicy", "Maybe", "NotSupported", "spec.ipFamilyPolicy"),
    (SERVICE, "spec.loadBalancerSourceRanges", ["10.0.0.0/8"], "Forbidden", "spec.loadBalancerSourceRanges"),
    (BALANCED, "spec.loadBalancerSourceRanges", ["10.0.0.0"], "Invalid", "spec.loadBalancerSourceRanges[0]"),
    (SERVICE, "spec.allocateLoadBalancerNodePorts", True, "Forbidden", "spec.allocateLoadBalancerNodePorts"),
    (SERVICE, "spec.loadBalancerClass", "example.com/lb", "Forbidden", "spec.loadBalancerClass"),
    (BALANCED, "spec.loadBalancerClass", "a b", "Invalid", "spec.loadBalancerClass"),
    (SERVICE, "spec.externalTrafficPolicy", "Local", "Invalid", "spec.externalTrafficPolicy"),
    (NODE_PORT, "spec.externalTrafficPolicy", "Some", "NotSupported", "spec.externalTrafficPolicy"),
    (NODE_PORT, "spec.healthCheckNodePort", 30000, "Invalid", "spec.healthCheckNodePort"),
    (SERVICE, "spec.internalTrafficPolicy", "Some", "NotSupported", "spec.internalTrafficPolicy"),
    (SERVICE, "spec.trafficDistribution", "Some", "NotSupported", "spec.trafficDistribution"),
    (NAMED, "spec.externalName", "", "Required", "spec.externalName"),
    (NAMED, "spec.externalName", "a_b", "Invalid", "spec.externalName"),
    (NAMED, "spec.clusterIP", "10.96.0.1", "Forbidden", "spec.clusterIPs"),
    (NAMED, "spec.ipFamilies", ["IPv4"], "Forbidden", "spec.ipFamilies"),
    (NAMED, "spec.ipFamilyPolicy", "SingleStack", "Forbidden", "spec.ipFamilyPolicy"),
]


@pytest.mark.parametrize(("document", "path", "value", "reason", "field"), BAD)
def test_rules(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in broken(changed(document, (path, value)))


@pytest.mark.parametrize("seconds", [0, -1, 86401])
def test_affinity_ends_within_a_day(seconds: int) -> None:
    config = {"clientIP": {"timeoutSeconds": seconds}}
    document = changed(SERVICE, ("spec.sessionAffinity", "ClientIP"), ("spec.sessionAffinityConfig", config))
    assert broken(document) == [("Invalid", "spec.sessionAffinityConfig.clientIP.timeoutSeconds")]


def test_the_same_node_port_twice() -> None:
    ports = [{"name": name, "port": port, "nodePort": 30080} for name, port in (("a", 1), ("b", 2))]
    assert broken(changed(NODE_PORT, ("spec.ports", ports))) == [("Duplicate", "spec.ports[1].nodePort")]


@pytest.mark.parametrize(("port", "expected"), [(30000, []), (70000, [("Invalid", "spec.healthCheckNodePort")])])
def test_a_port_for_health_checks(port: int, expected: list[tuple[str, str]]) -> None:
    local = changed(BALANCED, ("spec.externalTrafficPolicy", "Local"), ("spec.healthCheckNodePort", port))
    assert broken(local) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (["None", "10.96.0.7"], "'None' must be the first and only value"),
        (["10.96.0.7", "fd00::7", "fd00::8"], "may only hold up to 2 values"),
        (["10.96.0.7", "10.96.0.8"], "may specify no more than one IP for each IP family"),
    ],
)
def test_what_is_said_of_addresses_that_do_not_go_together(address: list[str], message: str) -> None:
    causes = Causes()
    document = changed(SERVICE, ("spec.clusterIP", address[0]), ("spec.clusterIPs", address))
    SERVICE_RULES.validate(created(document), causes)
    assert message in "\n".join(cause.message for cause in causes.found)


# --- updates --------------------------------------------------------------------------------------------


def test_what_was_allocated_is_kept_when_a_client_leaves_it_out() -> None:
    old = created(changed(ALLOCATED, ("spec.type", "NodePort"), ("spec.ports.0.nodePort", 30080)))
    spec = updated(NODE_PORT, old).spec
    assert (spec.cluster_ip, spec.cluster_ips, spec.ports[0].node_port) == ("10.96.0.7", ["10.96.0.7"], 30080)


def test_a_port_that_changed_gets_another_node_port() -> None:
    old = created(changed(ALLOCATED, ("spec.type", "NodePort"), ("spec.ports.0.nodePort", 30080)))
    assert updated(changed(NODE_PORT, ("spec.ports.0.port", 81)), old).spec.ports[0].node_port == 0


def test_the_address_does_not_change() -> None:
    other = changed(SERVICE, ("spec.clusterIP", "10.96.0.8"))
    assert broken_by_update(other, ALLOCATED) == [("Invalid", "spec.clusterIPs[0]")]
    stale = changed(ALLOCATED, ("spec.clusterIP", "10.96.0.8"))  # an older client knows only the one field
    assert broken_by_update(stale, ALLOCATED) == [("Invalid", "spec.clusterIPs[0]")]


def test_a_headless_service_stays_headless() -> None:
    assert ("Invalid", "spec.clusterIPs[0]") in broken_by_update(
        changed(SERVICE, ("spec.clusterIP", "10.96.0.8")), HEADLESS
    )
    assert broken_by_update(HEADLESS, HEADLESS) == []


def changes(new: ServiceSpec, old: ServiceSpec) -> list[tuple[str, str]]:
    causes = Causes()
    validate_service_change(new, old, causes, "spec")
    return shown(causes)


def test_families_do_not_change() -> None:
    """Asked of the rule itself: in a cluster of one family nothing else gets that far."""
    both = ServiceSpec(cluster_ips=["10.96.0.7", "fd00::7"], ip_families=["IPv4", "IPv6"])
    turned = ServiceSpec(cluster_ips=both.cluster_ips, ip_families=["IPv6", "IPv4"])
    assert changes(turned, both) == [("Invalid", "spec.ipFamilies[0]"), ("Invalid", "spec.ipFamilies[1]")]
    one = ServiceSpec(cluster_ips=["10.96.0.7"], ip_families=["IPv4"])
    assert set(changes(one, both)) == {("Invalid", "spec.ipFamilyPolicy")}
    assert changes(ServiceSpec(), one) == [("Invalid", "spec.clusterIPs[0]"), ("Invalid", "spec.ipFamilies[0]")]
    one.ip_family_policy = "SingleStack"
    assert changes(one, both) == []
    assert changes(both, one) == []


def test_the_second_family_goes_only_when_that_is_said() -> None:
    both = changed(HEADLESS, ("spec.selector", GONE))
    one = changed(both, ("spec.ipFamilies", ["IPv4"]), ("spec.ipFamilyPolicy", "SingleStack"))
    assert broken_by_update(one, both) == []


def test_a_service_becomes_a_name_and_lets_go_of_what_it_had() -> None:
    old = changed(ALLOCATED, ("spec.type", "NodePort"), ("spec.ports.0.nodePort", 30080))
    new = changed(old, ("spec.type", "ExternalName"), ("spec.externalName", "db.example.com"))
    spec = updated(new, created(old)).spec
    assert (spec.cluster_ip, spec.cluster_ips, spec.ip_families, spec.ip_family_policy) == ("", [], [], None)
    assert spec.ports[0].node_port == 0
    assert broken_by_update(new, old) == []


def test_a_service_that_is_no_longer_balanced_drops_what_only_that_had() -> None:
    old = changed(BALANCED, ("spec.loadBalancerClass", "example.com/lb"), ("spec.allocateLoadBalancerNodePorts", True))
    new = changed(old, ("spec.type", "ClusterIP"), ("spec.externalTrafficPolicy", "Cluster"))
    assert broken_by_update(new, changed(old, ("spec.externalTrafficPolicy", "Cluster"))) == []


def test_the_class_of_a_load_balancer_does_not_change() -> None:
    old = changed(BALANCED, ("spec.loadBalancerClass", "example.com/a"))
    new = changed(BALANCED, ("spec.loadBalancerClass", "example.com/b"))
    assert broken_by_update(new, old) == [("Invalid", "spec.loadBalancerClass")]
