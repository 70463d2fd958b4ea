"""Probes over real connections: what is success, what is failure, and in which words."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from ports import free_port
from probe_world import Answers

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.probes import Probe
from apiserver.auth import pki
from nodeagent.probes import http
from nodeagent.probes.checks import Asked, Outcome, Result, Unasked, check

HOST = "127.0.0.1"
PATIENCE_S = 60.0  # of whoever waits for an answer that comes
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **more: Any) -> None:
        asyncio.run(test(*arguments, **more))

    return run


class Web:
    """Answers each request with `answers` by path, or with `anything`; keeps the heads it got."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.anything = response(200, b"fine")
        self.heads: list[str] = []
        self.stays_open = False
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            writer.write(self.answers.get(head.split(" ")[1], self.anything))
            await writer.drain()
            if self.stays_open:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.open -= 1
            writer.close()


def response(status: int, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def web(context: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    made = Web()
    server = await asyncio.start_server(made.serve, HOST, 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


async def ask(probe: dict[str, Any], *, within_s: float = PATIENCE_S, answers: Answers | None = None) -> Outcome:
    asked = Asked(ContainerSpec(name="main"), "id", HOST)
    return await check(msgspec.convert(probe, Probe), asked, answers or Answers(), within_s=within_s)


def get(port: int, path: str = "/", **more: Any) -> dict[str, Any]:
    return {"httpGet": {"port": port, "path": path, **more}}


@on_a_loop
async def test_the_status_decides() -> None:
    async with web() as server:
        for status, result in ((200, Result.SUCCESS), (204, Result.SUCCESS), (299, Result.SUCCESS)):
            server.anything = response(status)
            assert (await ask(get(server.port))).result is result
        for status in (400, 404, 500, 503):
            server.anything = response(status, b"why")
            words = f"HTTP probe failed with statuscode: {status}"
            assert await ask(get(server.port)) == Outcome(Result.FAILURE, words)


@on_a_loop
async def test_what_is_sent() -> None:
    async with web() as server:
        headers = [{"name": "X-Asks", "value": "a node"}, {"name": "Host", "value": "shop.test"}]
        await ask(get(server.port, "/deep?x=1", httpHeaders=headers))
        first, *lines = server.heads[0].strip().split("\r\n")
        assert first == "GET /deep?x=1 HTTP/1.1"
        wanted = ["X-Asks: a node", "Host: shop.test", "User-Agent: kube-probe/1.33", "Accept: */*"]
        assert sorted(lines) == sorted([*wanted, "Connection: close"])


@on_a_loop
async def test_redirects_are_followed_on_the_host_only() -> None:
    async with web() as server:
        server.answers["/"] = response(302, b"", "Location: /next")
        server.answers["/next"] = response(301, b"", f"Location: http://{HOST}:{server.port}/last")
        server.answers["/last"] = response(500)
        assert (await ask(get(server.port))).output == "HTTP probe failed with statuscode: 500"
        server.answers["/last"] = response(302, b"bye", "Location: http://elsewhere.test/")
        words = "Probe terminated redirects, Response body: bye"
        assert await ask(get(server.port)) == Outcome(Result.WARNING, words)
        server.answers["/last"] = response(302, b"", "Location: /")
        assert (await ask(get(server.port))).output.endswith("stopped after 10 redirects")


@on_a_loop
async def test_bodies_are_read_up_to_a_bound() -> None:
    async with web() as server:
        server.stays_open = True
        for big in (
            response(200, b"x" * 1_000_000),
            response(200, b"x" * 1_000_000, length=False),
            response(200, b"f4240\r\n" + b"x" * 1_000_000, "Transfer-Encoding: chunked", length=False),
        ):
            server.anything = big
            found = await ask(get(server.port))
            assert found == Outcome(Result.SUCCESS, "x" * http.BODY_BYTES_MAX)
        server.anything = response(
            200, b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=False
        )
        assert await ask(get(server.port)) == Outcome(Result.SUCCESS, "abcde")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000,
    ],
)
@on_a_loop
async def test_what_is_no_answer_is_a_failure(answer: bytes) -> None:
    async with web() as server:
        server.anything = answer
        found = await ask(get(server.port))
        assert found.result is Result.FAILURE
        assert found.output.startswith(f'Get "http://{HOST}:{server.port}/": ')


@on_a_loop
async def test_interim_answers_are_no_answer() -> None:
    async with web() as server:
        server.anything = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + response(500)
        assert (await ask(get(server.port))).output == "HTTP probe failed with statuscode: 500"


@on_a_loop
async def test_interim_answers_without_end_are_none() -> None:
    async with web() as server:
        server.anything = b"HTTP/1.1 100 Continue\r\n\r\n" * 6 + response(200)
        outcome = await ask(get(server.port))
        assert (outcome.result, outcome.output.endswith("more than 5 interim answers")) == (Result.FAILURE, True)


@on_a_loop
async def test_a_server_that_says_nothing_has_failed_in_time() -> None:
    async with web() as server:
        server.anything, server.stays_open = b"", True
        found = await ask(get(server.port), within_s=1.0)
        words = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        assert found == Outcome(Result.FAILURE, f'Get "http://{HOST}:{server.port}/": {words}')
        while server.open:  # noqa: ASYNC110  # the other side hears of it a moment later
            await asyncio.sleep(0.01)


@on_a_loop
async def test_nobody_listens() -> None:
    port = free_port()
    words = f"dial tcp {HOST}:{port}: connect: connection refused"
    assert await ask(get(port)) == Outcome(Result.FAILURE, f'Get "http://{HOST}:{port}/": {words}')
    assert await ask({"tcpSocket": {"port": port}}) == Outcome(Result.FAILURE, words)


@on_a_loop
async def test_certificates_are_not_looked_at(tmp_path: Path) -> None:
    pki.write_pair(tmp_path, "web", pki.issue_serving(pki.make_authority("nobody"), ["another.test"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "web.crt", tmp_path / "web.key")
    async with web(context) as server:
        assert await ask(get(server.port, scheme="HTTPS")) == Outcome(Result.SUCCESS, "fine")
        assert (await ask(get(server.port))).result is Result.FAILURE


@on_a_loop
async def test_a_server_without_tls_is_no_server_with_it() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response(400))
        writer.close()

    server = await asyncio.start_server(plain, HOST, 0)
    async with server:
        found = await ask(get(server.sockets[0].getsockname()[1], scheme="HTTPS"))
    assert found.result is Result.FAILURE
    assert "tls: " in found.output


@on_a_loop
async def test_a_connection_is_enough_for_tcp() -> None:
    async with web() as server:
        assert await ask({"tcpSocket": {"port": server.port}}) == Outcome(Result.SUCCESS)


@on_a_loop
async def test_commands() -> None:
    answers = Answers()
    assert (await ask({"exec": {"command": ["true"]}}, answers=answers)).result is Result.SUCCESS
    answers.answer = lambda ask: False
    assert await ask({"exec": {"command": ["false"]}}, answers=answers) == Outcome(Result.FAILURE, "not well")
    answers.answer = lambda ask: None
    with pytest.raises(Unasked, match="connection refused"):
        await ask({"exec": {"command": ["x"]}}, answers=answers)


@on_a_loop
async def test_a_port_that_has_no_name_and_a_probe_that_asks_nothing() -> None:
    with pytest.raises(Unasked, match="couldn't find port: web"):
        await ask({"httpGet": {"port": "web"}})
    with pytest.raises(Unasked):
        await ask({})


# --- gRPC -------------------------------------------------------------------------------------------------

STATUSES = {"": 1, "shop": 2, "odd": 9}


@asynccontextmanager
async def health_server(*, known: bool = True) -> AsyncIterator[int]:
    async def answer(request: StringValue, context: Any) -> Int32Value:
        if request.value == "hangs":
            await asyncio.Event().wait()
        if request.value not in STATUSES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return Int32Value(value=STATUSES[request.value])

    handler = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=StringValue.FromString, response_serializer=Int32Value.SerializeToString
    )
    server = grpc.aio.server()
    name = "grpc.health.v1.Health" if known else "other.Service"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Check": handler}),))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@on_a_loop
async def test_grpc_health() -> None:
    async with health_server() as port:

        async def of(service: str | None, within_s: float = PATIENCE_S) -> Outcome:
            return await ask({"grpc": {"port": port, "service": service}}, within_s=within_s)

        assert await of(None) == Outcome(Result.SUCCESS)
        words = 'service unhealthy (responded with "NOT_SERVING")'
        assert await of("shop") == Outcome(Result.FAILURE, words)
        assert (await of("odd")).result is Result.FAILURE
        assert await of("none") == Outcome(Result.FAILURE, "error: health rpc probe failed: unknown service")
        assert await of("hangs", 2) == Outcome(Result.FAILURE, "timeout: health rpc did not complete within 2s")


@on_a_loop
async def test_grpc_of_who_does_not_know_it_or_does_not_listen() -> None:
    async with health_server(known=False) as port:
        found = await ask({"grpc": {"port": port}})
        assert found.result is Result.FAILURE
        assert "does not implement the grpc health protocol" in found.output
    found = await ask({"grpc": {"port": free_port()}})
    assert found.result is Result.FAILURE
    assert found.output.startswith("timeout: failed to connect service")
