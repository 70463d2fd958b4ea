"""Endpoints and EndpointSlices: defaults and every rule."""

from __future__ import annotations

from typing import Any

import pytest
from rule_tables import broken, broken_by_update, changed, created

ENDPOINTS: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Endpoints",
    "metadata": {"name": "web", "namespace": "default"},
    "subsets": [{"addresses": [{"ip": "10.244.1.7"}], "ports": [{"port": 8080}]}],
}
SLICE: dict[str, Any] = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-1", "namespace": "default"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.244.1.7"]}],
    "ports": [{"name": "http", "port": 8080}],
}
NAMES = changed(SLICE, ("addressType", "FQDN"), ("endpoints", [{"addresses": ["a.example.com"]}]))


def test_defaults() -> None:
    assert created(ENDPOINTS).subsets[0].ports[0].protocol == "TCP"
    port = created(changed(SLICE, ("ports", [{}]))).ports[0]
    assert (port.name, port.protocol, port.port) == ("", "TCP", None)


@pytest.mark.parametrize("document", [ENDPOINTS, SLICE, NAMES, changed(SLICE, ("endpoints", []))])
def test_good_ones_break_no_rule(document: dict[str, Any]) -> None:
    assert broken(document) == []


BAD: list[tuple[dict[str, Any], str, Any, str, str]] = [
    (ENDPOINTS, "subsets.0.addresses", [], "Required", "subsets[0]"),
    (ENDPOINTS, "subsets.0.addresses.0.ip", "10.1", "Invalid", "subsets[0].addresses[0].ip"),
    (ENDPOINTS, "subsets.0.addresses.0.ip", "::1", "Invalid", "subsets[0].addresses[0].ip"),
    (ENDPOINTS, "subsets.0.addresses.0.hostname", "a.b", "Invalid", "subsets[0].addresses[0].hostname"),
    (ENDPOINTS, "subsets.0.addresses.0.nodeName", "A", "Invalid", "subsets[0].addresses[0].nodeName"),
    (ENDPOINTS, "subsets.0.notReadyAddresses", [{"ip": ""}], "Invalid", "subsets[0].notReadyAddresses[0].ip"),
    (ENDPOINTS, "subsets.0.ports.0.port", 0, "Invalid", "subsets[0].ports[0].port"),
    (ENDPOINTS, "subsets.0.ports.0.protocol", "ICMP", "NotSupported", "subsets[0].ports[0].protocol"),
    (ENDPOINTS, "subsets.0.ports.0.name", "A", "Invalid", "subsets[0].ports[0].name"),
    (ENDPOINTS, "subsets.0.ports.0.appProtocol", "a b", "Invalid", "subsets[0].ports[0].appProtocol"),
    (ENDPOINTS, "subsets.0.ports.1", {"port": 1}, "Required", "subsets[0].ports[0].name"),
    (SLICE, "addressType", "", "Required", "addressType"),
    (SLICE, "addressType", "IPv5", "NotSupported", "addressType"),
    (SLICE, "endpoints.0.addresses", [], "Required", "endpoints[0].addresses"),
    (SLICE, "endpoints.0.addresses", ["10.0.0.1"] * 101, "TooMany", "endpoints[0].addresses"),
    (SLICE, "endpoints.0.addresses", ["::2"], "Invalid", "endpoints[0].addresses[0]"),
    (SLICE, "endpoints.0.addresses", ["127.0.0.1"], "Invalid", "endpoints[0].addresses[0]"),
    (NAMES, "endpoints.0.addresses", ["localhost"], "Invalid", "endpoints[0].addresses[0]"),
    (SLICE, "endpoints", [{"addresses": ["10.0.0.1"]}] * 1001, "TooMany", "endpoints"),
    (SLICE, "endpoints.0.hostname", "a.b", "Invalid", "endpoints[0].hostname"),
    (SLICE, "endpoints.0.nodeName", "A", "Invalid", "endpoints[0].nodeName"),
    (
        SLICE,
        "endpoints.0.deprecatedTopology",
        {f"k{number}": "v" for number in range(17)},
        "TooMany",
        "endpoints[0].deprecatedTopology",
    ),
    (
        SLICE,
        "endpoints.0.deprecatedTopology",
        {"topology.kubernetes.io/zone": "a"},
        "Forbidden",
        "endpoints[0].deprecatedTopology[topology.kubernetes.io/zone]",
    ),
    (SLICE, "endpoints.0.hints", {"forZones": [{"name": "a"}] * 2}, "Duplicate", "endpoints[0].hints.forZones[1].name"),
    (SLICE, "endpoints.0.hints", {"forNodes": [{"name": "A"}]}, "Invalid", "endpoints[0].hints.forNodes[0].name"),
    (SLICE, "endpoints.0.hints", {"forZones": [{"name": "a"}] * 9}, "TooMany", "endpoints[0].hints.forZones"),
    (SLICE, "endpoints.0.deprecatedTopology", {"a b": ""}, "Invalid", "endpoints[0].deprecatedTopology"),
    (SLICE, "ports", [{}] * 20_001, "TooMany", "ports"),
    (SLICE, "ports.1", {"name": "http"}, "Duplicate", "ports[1].name"),
    (SLICE, "ports.0.name", "A", "Invalid", "ports[0].name"),
    (SLICE, "ports.0.port", 70000, "Invalid", "ports[0].port"),
    (SLICE, "ports.0.protocol", "ICMP", "NotSupported", "ports[0].protocol"),
    (SLICE, "ports.0.appProtocol", "a b", "Invalid", "ports[0].appProtocol"),
]


@pytest.mark.parametrize(("document", "path", "value", "reason", "field"), BAD)
def test_rules(document: dict[str, Any], path: str, value: Any, reason: str, field: str) -> None:
    assert (reason, field) in broken(changed(document, (path, value)))


def test_the_address_type_does_not_change() -> None:
    assert broken_by_update(NAMES, SLICE) == [("Invalid", "addressType")]
    assert broken_by_update(SLICE, SLICE) == []
