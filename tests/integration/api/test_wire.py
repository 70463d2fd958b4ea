"""The API's port at the level of bytes: whatever a client sends, it gets a Status or a closed connection, in time."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from api_server import RunningApi, api_thread
from msgspec.structs import replace
from raw_http import TIMEOUT_S, RawAnswer, RawConnection, raw_connection

from apiserver.http.port import HANDSHAKES_MAX
from apiserver.listening import listener
from apiserver.listening.connection import Connections


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    with api_thread(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def wire(api: RunningApi) -> Iterator[RawConnection]:
    with raw_connection((api.host, api.port), api.tls()) as connection:
        yield connection


@pytest.fixture
def connections(api: RunningApi) -> Iterator[Connections]:
    """Of the port; a test may set its limits, which are put back."""
    found = api.server.port.connections
    assert found is not None
    limits = found.limits
    yield found
    found.limits = limits


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: api", *length, *fields, "", ""])
    return head.encode() + body


def check_status(answer: RawAnswer, code: int, reason: str = "") -> str:
    """That it is a Status of this code; its message."""
    assert answer.code == code, answer
    assert answer.headers["content-type"] == "application/json"
    status = answer.json
    assert (status["kind"], status["code"]) == ("Status", code)
    assert not reason or status["reason"] == reason
    return str(status["message"])


NAMESPACES = "/api/v1/namespaces"
PIPELINED = 30
ASKED_MAX = 1_000_000  # more than any buffer holds


# --- what is fine -------------------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(wire: RawConnection) -> None:
    paths = ["/version", f"{NAMESPACES}/default", f"{NAMESPACES}/nowhere", "/livez"] * 20
    wire.send(b"".join(request("GET", path) for path in paths))
    assert [wire.answer().code for _ in paths] == [200, 200, 404, 200] * 20


@pytest.mark.parametrize(
    ("path", "code"),
    [("/version", 200), (NAMESPACES, 200), (f"{NAMESPACES}?watch=1", 200), (f"{NAMESPACES}/nowhere", 404)],
)
def test_head_gives_the_head_alone(wire: RawConnection, path: str, code: int) -> None:
    wire.send(request("HEAD", path) + request("GET", "/livez"))
    answer = wire.answer("HEAD")
    assert (answer.code, answer.body) == (code, b"")
    assert int(answer.headers["content-length"]) > 0
    assert wire.answer().code == 200


def test_who_waits_for_it_is_told_to_send_the_body(wire: RawConnection) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"waited"}}'
    head = request("POST", f"{NAMESPACES}/default/configmaps", "Expect: 100-continue", f"Content-Length: {len(body)}")
    wire.send(head)
    assert wire.line() + wire.line() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.send(body)
    assert wire.answer().code == 201


def test_who_is_refused_first_is_not_asked_for_the_body(api: RunningApi) -> None:
    with raw_connection((api.host, api.port), api.tls("alice")) as wire:
        wire.send(request("POST", NAMESPACES, "Expect: 100-continue", "Content-Length: 10"))
        answer = wire.answer()
        check_status(answer, 403)
        assert answer.headers["connection"] == "close"


def test_an_expectation_nobody_knows_is_refused(wire: RawConnection) -> None:
    wire.send(request("POST", NAMESPACES, "Expect: miracles", "Content-Length: 10"))
    check_status(wire.answer(), 417, "ExpectationFailed")


def test_http_1_0_is_answered_and_closed(wire: RawConnection) -> None:
    wire.send(b"GET /version HTTP/1.0\r\n\r\n")
    assert wire.answer().code == 200
    assert wire.rest() == b""


# --- methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND", "FOO", "get"])
@pytest.mark.parametrize("path", [NAMESPACES, "/version"])
def test_other_methods_are_not_allowed(wire: RawConnection, method: str, path: str) -> None:
    wire.send(request(method, path))
    check_status(wire.answer(), 405, "MethodNotAllowed")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_documents_are_only_read(wire: RawConnection, method: str) -> None:
    wire.send(request(method, "/version", body=b"{}"))
    check_status(wire.answer(), 405, "MethodNotAllowed")


def test_connect_is_refused(wire: RawConnection) -> None:
    wire.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    check_status(wire.answer(), 400)


# --- what is no HTTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET /version HTTP/1.1\r\n\r\n",  # no Host
        b"GET /version HTTP/7.3\r\nHost: api\r\n\r\n",
        b"GET /ver sion HTTP/1.1\r\nHost: api\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: api\r\nno colon\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: api\r\nBad\x00Name: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: api\r\nContent-Length: x\r\n\r\n",
        b"POST /api/v1/namespaces HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        b"POST /api/v1 HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ],
    ids=range(10),
)
def test_broken_requests_get_a_status_and_the_end(wire: RawConnection, data: bytes) -> None:
    wire.send(data)
    message = check_status(wire.answer(), 400, "BadRequest")
    assert "\n" not in message
    assert "Traceback" not in message
    assert wire.rest() == b""


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("*", 400),
        ("//etc/passwd", 404),
        ("/../etc/passwd", 404),
        ("/api/v1/../v1/namespaces", 400),
        ("/api/v1/namespaces/%2e%2e/pods", 400),
        ("/api/v1/namespaces/a%2Fb", 400),
        ("/%ff", 400),
        ("/" + "a" * 5000, 400),
        ("/version?" + "a" * 33000, 400),
        ("/version?" + "&".join(f"a{number}=1" for number in range(300)), 400),
        ("/a" * 100, 400),
    ],
    ids=range(11),
)
def test_paths_that_play_tricks(wire: RawConnection, path: str, code: int) -> None:
    wire.send(request("GET", path))
    answer = wire.answer()
    check_status(answer, code)


def test_a_body_that_breaks_its_chunks(wire: RawConnection) -> None:
    wire.send(request("POST", NAMESPACES, "Transfer-Encoding: chunked") + b"zz\r\nabc\r\n")
    check_status(wire.answer(), 400, "BadRequest")


def test_a_body_that_says_it_is_too_large_is_not_waited_for(wire: RawConnection) -> None:
    wire.send(request("POST", NAMESPACES, f"Content-Length: {1 << 40}"))
    check_status(wire.answer(), 413, "RequestEntityTooLarge")


def test_plain_http_ends(api: RunningApi) -> None:
    with raw_connection((api.host, api.port), None) as wire:
        wire.send(request("GET", "/version"))
        try:
            assert not wire.rest().startswith(b"HTTP/1.1 2")
        except ConnectionResetError:
            return


def test_no_certificate_of_another_authority(api: RunningApi, tmp_path: Path) -> None:
    from apiserver.auth import pki

    pki.write_pair(tmp_path, "foreign", pki.issue_admin(pki.make_authority("foreign CA")))
    context = ssl.create_default_context(cafile=str(api.ca_file))
    context.load_cert_chain(tmp_path / "foreign.crt", tmp_path / "foreign.key")

    def ask() -> RawAnswer:
        with raw_connection((api.host, api.port), context) as wire:
            wire.send(request("GET", NAMESPACES))
            return wire.answer()

    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask()


# --- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        request("GET", "/version", "X-Long: " + "a" * 50_000),
        request("GET", "/version", "X" * 50_000 + ": a"),
        request("GET", "/version?" + "a" * 50_000),
    ],
    ids=["value", "name", "line"],
)
def test_lines_have_a_bound(wire: RawConnection, head: bytes) -> None:
    wire.send(head)
    check_status(wire.answer(), 431, "RequestHeaderFieldsTooLarge")
    assert wire.rest() == b""


def test_heads_have_a_bound(wire: RawConnection) -> None:
    wire.send(b"GET /version HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 30_000) for n in range(9)))
    check_status(wire.answer(), 431)
    assert wire.rest() == b""


def test_fields_have_a_number(wire: RawConnection) -> None:
    wire.send(request("GET", "/version", *(f"X-{number}: 1" for number in range(200))))
    check_status(wire.answer(), 400)


def test_a_head_that_does_not_come_is_not_waited_for(api: RunningApi, connections: Connections) -> None:
    connections.limits = replace(connections.limits, head_timeout_s=0.5)  # what is said comes before that
    for said in (b"", b"GET /version HTTP/1.1\r\nHost: ap", request("GET", "/livez")[:-2]):
        with raw_connection((api.host, api.port), api.tls()) as wire:
            wire.send(said)
            check_status(wire.answer(), 408, "Timeout")
            assert wire.rest() == b""


def test_a_second_head_that_does_not_come_is_not_waited_for_either(
    wire: RawConnection, connections: Connections
) -> None:
    wire.send(request("GET", "/livez"))
    assert wire.answer().code == 200
    connections.limits = replace(connections.limits, head_timeout_s=0.05)
    wire.send(b"GET /livez")
    check_status(wire.answer(), 408, "Timeout")


def test_a_connection_that_waits_between_requests_stays(api: RunningApi, connections: Connections) -> None:
    connections.limits = replace(connections.limits, head_timeout_s=1.0)
    with raw_connection((api.host, api.port), api.tls()) as wire:
        for part in (b"GET /livez HTTP/1.1\r\n", b"Host: api\r\n\r\n"):
            wire.send(part)
        assert wire.answer().code == 200
        assert not select.select([wire.sock], [], [], 2.0)[0], "it was told to go"
        wire.send(request("GET", "/livez"))
        assert wire.answer().code == 200


def test_a_client_that_takes_nothing_is_cut_off(api: RunningApi, connections: Connections) -> None:
    connections.limits = replace(connections.limits, stall_s=0.05)
    with raw_connection((api.host, api.port), api.tls()) as wire:

        def ask() -> None:
            for _ in range(ASKED_MAX):
                wire.send(request("GET", "/openapi/v2") * 8)

        with pytest.raises((ConnectionError, ssl.SSLError)):  # a TimeoutError: nobody reads, and nobody ends it
            ask()


def test_answers_are_made_as_they_are_taken(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for more than he takes does not fill the server's memory."""
    frontend, asked, all_asked = api.server.frontend, [], threading.Event()

    async def watched(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        if len(asked) == PIPELINED:
            all_asked.set()
        return await frontend(request)

    monkeypatch.setattr(api.server.port, "_frontend", watched)
    with raw_connection((api.host, api.port), api.tls()) as wire:
        wire.send(request("GET", "/openapi/v2"))  # made once, and then there
        wire.answer()
        asked.clear()
        wire.send(request("GET", "/openapi/v2") * PIPELINED)
        assert not all_asked.wait(0.5), "every answer was made, though none was taken"
        sizes = {len(wire.answer().body) for _ in range(PIPELINED)}
    assert min(sizes) * PIPELINED > 16 * 1024 * 1024, "that is what sockets hold, and this test shows nothing"


def test_connections_have_a_number(api: RunningApi, connections: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(connections.places, "most", 0)
        with raw_connection((api.host, api.port), api.tls()) as wire:
            check_status(wire.answer(), 503, "ServiceUnavailable")
            assert wire.rest() == b""
    with raw_connection((api.host, api.port), api.tls()) as wire:
        wire.send(request("GET", "/livez"))
        assert wire.answer().code == 200


def test_who_does_not_shake_hands_makes_room(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = api.server.port._listener
    assert listening is not None
    assert listening.handshakes_max == HANDSHAKES_MAX
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_S", 600.0)  # nobody goes because of it
    monkeypatch.setattr(listening, "handshakes_max", 3)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(closing(socket.create_connection((api.host, api.port), timeout=TIMEOUT_S)))
            for _ in range(10)
        ]
        for each in silent[:7]:
            assert each.recv(1) == b"", "who came first makes room"
        with raw_connection((api.host, api.port), api.tls()) as wire:
            wire.send(request("GET", "/livez"))
            assert wire.answer().code == 200
        assert listening.handshakes <= 3


def test_strangers_make_room_and_those_with_a_certificate_get_in(
    api: RunningApi, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections.places, "strangers_most", 2)
    with ExitStack() as stack:
        dial = partial(raw_connection, (api.host, api.port))
        strangers = [stack.enter_context(dial(api.tls(""))) for _ in range(4)]
        known = [stack.enter_context(dial(api.tls())) for _ in range(4)]
        for wire in (*known, *strangers[2:]):
            wire.send(request("GET", "/livez"))
            assert wire.answer().code == 200
        assert [wire.rest() for wire in strangers[:2]] == [b"", b""]
