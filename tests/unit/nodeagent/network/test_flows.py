"""Which flows of the connection table are wrong."""

from __future__ import annotations

import pytest
from service_objects import endpoint, piece, service

from nodeagent.network.backends import Backend, frontends
from nodeagent.network.flows import Flow, is_stale, wanted_of

SERVICES = [service("dns", protocol="UDP", port=53, node_port=30053, external_ips=["192.0.2.7"]), service("web")]
PIECES = [piece("dns", endpoint("10.244.0.2"), port=5353, protocol="UDP"), piece("web", endpoint("10.244.0.2"))]
WANTED = wanted_of(frontends(SERVICES, PIECES, node="n1"))
RIGHT, GONE = Backend("10.244.0.2", 5353), Backend("10.244.0.9", 5353)


@pytest.mark.parametrize(
    ("to", "by", "expected"),
    [
        (Backend("10.96.0.5", 53), RIGHT, False),
        (Backend("10.96.0.5", 53), GONE, True),
        (Backend("10.96.0.5", 53), Backend("10.96.0.5", 53), True),  # from before there were rules
        (Backend("192.0.2.7", 53), GONE, True),
        (Backend("192.0.2.1", 30053), GONE, True),
        (Backend("192.0.2.1", 30053), RIGHT, False),
        (Backend("192.0.2.1", 30053), Backend("192.0.2.1", 30053), False),  # a port of the node's own
        (Backend("10.96.0.5", 80), GONE, False),  # TCP ends by itself
        (Backend("10.244.0.9", 5353), GONE, False),
    ],
)
def test_a_flow_is_wrong_when_none_of_the_present_endpoints_answers_it(
    to: Backend, by: Backend, expected: bool
) -> None:
    assert is_stale(Flow(to, by), WANTED) is expected
