"""The transport against real sockets: what is trusted, what is never sent twice, and what is said when it fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from scripted_api import Time

from apiserver.api.core.config import ConfigMap
from apiserver.api.meta import ObjectMeta
from apiserver.auth import pki
from apiserver.client import Access, Client, Material, Unanswered
from apiserver.client import http as client_http
from apiserver.client.access import Credentials, tls_context
from apiserver.client.http import HttpTransport
from apiserver.client.requests import Request
from apiserver.client.transport import TransportError

GET = Request(method="GET", path="/api/v1/pods", query=(("a", "b c"),))
PUT = Request(method="PUT", path="/api/v1/x", body=b"{}")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(handler: Handler, tls: Any = None) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        server.close()


async def request_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            head += await reader.readexactly(int(line.split(b":")[1]))
    return head


def answering(*answers: bytes, heard: list[bytes] | None = None) -> Handler:
    """Each connection answers its requests in this order; then it closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await request_of(reader)
            if heard is not None:
                heard.append(head)
            writer.write(answer)
            await writer.drain()

    return handler


def run(
    handler: Handler, act: Callable[[HttpTransport, str], Awaitable[Any]], access: Access | None = None, tls: Any = None
) -> Any:
    async def go() -> Any:
        async with serving(handler, tls) as server:
            credentials = Credentials(access or Access(servers=(server,)), clock=lambda: 0.0)
            transport = HttpTransport(credentials, user_agent="tests/1")
            try:
                return await act(transport, server)
            finally:
                await transport.close()

    return asyncio.run(go())


async def get(transport: HttpTransport, server: str) -> Any:
    return await transport.send(server, GET, timeout_s=5)


def failure(handler: Handler, act: Any = get, **more: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        run(handler, act, **more)
    return caught.value


def test_the_request_is_what_was_built_and_says_who_asks() -> None:
    heard: list[bytes] = []
    access = Access(servers=("http://x",), token=Material(data=b"t0ken"), as_user="jane", as_groups=("a", "b"))
    response = run(answering(OK, heard=heard), get, access)
    assert (response.status, response.body) == (200, b"{}")
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /api/v1/pods?a=b%20c HTTP/1.1"
    for line in (
        "Authorization: Bearer t0ken",
        "User-Agent: tests/1",
        "Impersonate-User: jane",
        "Impersonate-Group: a",
        "Impersonate-Group: b",
    ):
        assert line in lines


def test_a_put_on_a_connection_that_ends_under_it_is_not_sent_again() -> None:
    """The HTTP library would: it takes PUT for harmless."""
    heard: list[bytes] = []

    async def act(transport: HttpTransport, server: str) -> None:
        await transport.send(server, GET, timeout_s=5)
        await transport.send(server, PUT, timeout_s=5)

    error = failure(answering(OK, b"", heard=heard), act)
    assert error.sent
    assert [head.split(b" ")[0] for head in heard] == [b"GET", b"PUT"]


def test_a_redirect_is_not_followed() -> None:
    heard: list[bytes] = []
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    assert run(answering(moved, OK, heard=heard), get).status == 302
    assert len(heard) == 1


def test_where_nobody_listens_nothing_was_sent() -> None:
    async def act(transport: HttpTransport, _server: str) -> None:
        await transport.send(f"http://127.0.0.1:{free_port()}", PUT, timeout_s=5)

    error = failure(answering(), act)
    assert not error.sent
    assert "Connect call failed" in str(error) or "refused" in str(error)


def test_who_does_not_answer_in_time_may_have_it_nevertheless() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        await reader.read()

    async def act(transport: HttpTransport, server: str) -> None:
        await get(transport, server)  # a connection is there: none has to be made in so short a time
        await transport.send(server, PUT, timeout_s=0.05)

    error = failure(silent, act)
    assert error.sent
    assert "no answer within 0.05 s" in str(error)


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_http, "RESPONSE_BYTES_MAX", 10)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"x" * 20
    assert "larger than 10 bytes" in str(failure(answering(long)))


# --- streams ----------------------------------------------------------------------------------------


def chunks(*parts: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


async def lines_of(transport: HttpTransport, server: str) -> list[bytes]:
    found = []
    async with transport.stream(server, GET, timeout_s=5, idle_s=5) as stream, aclosing(stream.lines()) as lines:
        async for line in lines:
            found.append(line)
    return found


def test_lines_come_whole_however_they_were_cut() -> None:
    answer = chunks(b'{"a"', b":1}\n\n", b'{"b":2}\n{"c":3}\n', b'{"cut') + b"0\r\n\r\n"
    assert run(answering(answer), lines_of) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


def test_a_stream_that_breaks_says_so() -> None:
    assert failure(answering(chunks(b"{}\n")), lines_of).sent


def test_a_line_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_http, "LINE_BYTES_MAX", 10)
    assert "longer than 10 bytes" in str(failure(answering(chunks(b"x" * 20) + b"0\r\n\r\n"), lines_of))


def test_a_silent_stream_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunks(b"{}\n"))
        await reader.read()
        await reader.read()

    async def act(transport: HttpTransport, server: str) -> None:
        async with transport.stream(server, GET, timeout_s=5, idle_s=0.05) as stream, aclosing(stream.lines()) as lines:
            async for _ in lines:
                pass

    assert failure(silent, act).sent


# --- trust and identity -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.init_shared(folder)
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    pki.write_pair(folder, "server", pki.issue_serving(authority, ["127.0.0.1", "kubernetes"]))
    pki.write_pair(folder, "admin", pki.issue_admin(authority))
    return folder


def server_tls(keys: Path) -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")
    context.load_verify_locations(keys / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def access_with(keys: Path, **changes: Any) -> Access:
    settings: dict[str, Any] = {
        "servers": ("https://x",),
        "authority": Material(file=keys / "ca.crt"),
        "certificate": Material(data=(keys / "admin.crt").read_bytes()),
        "key": Material(data=(keys / "admin.key").read_bytes()),
    }
    return Access(**(settings | changes))


def test_both_sides_prove_who_they_are(keys: Path) -> None:
    assert run(answering(OK), get, access_with(keys), server_tls(keys)).status == 200


def test_another_name_can_be_asked_for(keys: Path) -> None:
    assert run(answering(OK), get, access_with(keys, server_name="kubernetes"), server_tls(keys)).status == 200
    error = failure(answering(OK), access=access_with(keys, server_name="other"), tls=server_tls(keys))
    assert "is not trusted" in str(error)


def test_a_server_of_another_cluster_gets_nothing(keys: Path, tmp_path: Path) -> None:
    pki.init_shared(tmp_path)
    access = access_with(keys, authority=Material(file=tmp_path / "ca.crt"))
    error = failure(answering(OK), access=access, tls=server_tls(keys))
    assert not error.sent
    assert "its certificate is not trusted" in str(error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"authority": Material(data=b"nonsense")}, "certificate authority cannot be used"),
        (
            {"authority": Material(file=Path("/nowhere/ca.crt"))},
            "certificate authority in /nowhere/ca.crt cannot be read",
        ),
        ({"key": Material()}, "go together"),
        ({"key": Material(data=b"nonsense")}, "client certificate and key cannot be used"),
    ],
)
def test_material_that_is_bad_is_named(keys: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tls_context(access_with(keys, **changes))


def test_bad_material_is_no_traceback_but_an_error_of_the_request(keys: Path) -> None:
    error = failure(answering(OK), access=access_with(keys, key=Material()), tls=server_tls(keys))
    assert not error.sent


def test_files_that_were_rotated_are_used_without_a_restart(tmp_path: Path) -> None:
    token, time = tmp_path / "token", Time()
    token.write_text("old\n")
    credentials = Credentials(Access(servers=("https://x",), token=Material(file=token)), clock=time.clock)
    assert credentials.headers() == [("Authorization", "Bearer old")]
    first = credentials.tls()
    token.write_text("newer\n")
    assert credentials.headers() == [("Authorization", "Bearer old")]  # not looked again yet
    time.now += 11
    assert credentials.headers() == [("Authorization", "Bearer newer")]
    assert credentials.tls() is not first


def test_a_token_cannot_smuggle_headers() -> None:
    access = Access(servers=("https://x",), token=Material(data=b"a\r\nX-Evil: 1"))
    with pytest.raises(ValueError, match="characters that no token has"):
        Credentials(access, clock=lambda: 0.0).headers()


# --- all of it --------------------------------------------------------------------------------------


def test_a_write_without_an_answer_is_the_callers_to_judge() -> None:
    heard: list[bytes] = []

    async def act() -> None:
        async with (
            serving(answering(b"", heard=heard)) as server,
            Client(servers=[server, "http://127.0.0.1:1"], learn=False) as client,
        ):
            with pytest.raises(Unanswered, match="the write may have taken effect"):
                await client.create(ConfigMap(metadata=ObjectMeta(name="a")))

    asyncio.run(act())
    assert len(heard) == 1


def test_importing_the_client_does_not_pay_for_http() -> None:
    """A pytest plug-in and a command line import it to be able to use it."""
    code = "import sys, apiserver.client; print([name for name in ('aiohttp', 'yaml') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "[]"
