"""The health and metrics port: what it takes and whom it answers (no sockets here; see tests/integration/cli)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from kmini.https import BadRequest, HttpsServer, Response, Route, encode, groups_of, parse_head

MASTERS = frozenset({"system:masters"})


def answer(query: Mapping[str, list[str]]) -> Response:
    if "fail" in query:
        raise RuntimeError("secret detail")
    return Response(b"fine")


SERVER = HttpsServer({"/livez": Route(answer, open_to_all=True), "/metrics": Route(answer)})


@pytest.mark.parametrize(
    ("method", "path", "groups", "status"),
    [
        ("GET", "/livez", frozenset(), 200),
        ("GET", "/livez", MASTERS, 200),
        ("GET", "/metrics", MASTERS, 200),
        ("GET", "/metrics", frozenset(), 401),
        ("GET", "/metrics", frozenset({"kmini:etcd", "system:nodes"}), 403),
        ("GET", "/nowhere", frozenset(), 401),
        ("GET", "/nowhere", frozenset({"system:nodes"}), 403),
        ("GET", "/nowhere", MASTERS, 404),
        ("POST", "/livez", frozenset(), 405),
    ],
)
def test_who_is_answered(method: str, path: str, groups: frozenset[str], status: int) -> None:
    assert SERVER._answer(method, path, {}, groups).status == status


def test_a_failing_route_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    response = SERVER._answer("GET", "/metrics", {"fail": [""]}, MASTERS)
    assert response.status == 500
    assert b"secret" not in response.body
    assert "request failed" in caplog.text


def test_a_head_is_read() -> None:
    method, path, query = parse_head(b"GET /readyz?verbose&a=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (method, path, query) == ("GET", "/readyz", {"verbose": [""], "a": ["1"]})


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[x HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
    ],
)
def test_a_bad_head_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_head(head)
    assert caught.value.status == status


def test_the_body_is_measured_and_left_out_for_head() -> None:
    assert b"Content-Length: 4\r\n" in encode(Response(b"fine"))
    assert encode(Response(b"fine"), with_body=False).endswith(b"\r\n\r\n")


def test_groups_are_the_organizations_of_the_subject() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "admin"),), (("organizationName", "b"),))
    assert groups_of({"subject": subject}) == {"system:masters", "b"}
    assert groups_of(None) == frozenset()
    assert groups_of({}) == frozenset()
