"""Who may use a node's API."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from apiserver.api.errors import Forbidden, Unauthorized
from nodeagent.server.authentication import check_caller

ENDS = "Jan  2 03:04:05 2026 GMT"
NOW = ssl.cert_time_to_seconds(ENDS) - 1


def certificate(name: str, *groups: str) -> dict[str, Any]:
    subject = [(("organizationName", group),) for group in groups] + [(("commonName", name),)]
    return {"subject": tuple(subject), "notAfter": ENDS}


@pytest.mark.parametrize("group", ["kmini:servers", "system:masters"])
def test_servers_and_administrators(group: str) -> None:
    assert check_caller(certificate("a", "others", group), NOW) == "a"


@pytest.mark.parametrize("groups", [(), ("system:nodes",), ("system:authenticated", "kmini:server"), ("",)])
def test_nobody_else(groups: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden, match="kmini:servers is neither a server"):
        check_caller(certificate("kmini:servers", *groups), NOW)


@pytest.mark.parametrize("shown", [None, {}])
def test_who_shows_nothing(shown: dict[str, Any] | None) -> None:
    with pytest.raises(Unauthorized):
        check_caller(shown, NOW)


def test_a_certificate_that_ended_while_the_connection_was_open() -> None:
    with pytest.raises(Unauthorized, match="has ended"):
        check_caller(certificate("a", "kmini:servers"), NOW + 1)
