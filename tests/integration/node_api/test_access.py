"""Who gets in at a node's port, with which certificate it answers, and what it does with those who only hold it up."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from kmini.testing.fixture import Kmini
from msgspec.structs import replace
from node_api_world import NodeWorld, node_world
from raw_http import raw_connection

from apiserver.auth import pki
from apiserver.listening.connection import Connections
from nodeagent.server import connection

READ = "/healthz"


def test_servers_and_administrators_get_in_and_nobody_else(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-1") as world:
            for groups in (("kmini:servers",), ("system:masters", "others")):
                answer = await world.ask(READ, world.tls("somebody", *groups))
                assert (answer.code, answer.body) == (200, b"ok")
            paths = (READ, "/pods", "/stats/summary", "/metrics", "/containerLogs/a/b/c", "/exec/a/b/c", "/none")
            for path in paths:
                answer = await world.ask(path, world.tls(""))
                assert (answer.code, answer.json["kind"], answer.json["reason"]) == (401, "Status", "Unauthorized")
                for user, group in (("system:node:access-1", "system:nodes"), ("alice", "system:authenticated")):
                    answer = await world.ask(path, world.tls(user, group))
                    assert (answer.code, answer.json["reason"]) == (403, "Forbidden")
            answer = await world.ask(READ, world.tls(""), "Authorization: Bearer x", "X-Remote-Group: system:masters")
            assert answer.code == 401, "only certificates count"

    asyncio.run(story())


def test_certificates_of_another_authority_or_for_another_use_do_not_even_get_an_answer(
    kmini: Kmini, tmp_path: Path
) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-2") as world:
            other = world.tls("admin", "system:masters", authority=pki.make_authority("kmini cluster CA"))
            served = world.tls("")
            served.load_cert_chain(world.identity.folder / "serving.pem")
            for context in (other, served):
                with pytest.raises((OSError, ssl.SSLError)):
                    await world.ask(READ, context)

    asyncio.run(story())


def test_its_certificate_names_the_node_alone_and_is_renewed_while_it_works(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-3") as world:
            file = world.identity.folder / "serving.pem"
            assert file.stat().st_mode & 0o777 == 0o600
            assert not (world.identity.folder / "serving.key").exists()
            before = await shown(world.port, world.masters())
            assert names(before) == ["access-3"]
            async with world.line() as old:
                assert world.node.server is not None
                await world.node.server._renewal.renew()
                after = await shown(world.port, world.masters())
                assert names(after) == ["access-3"]
                assert after.serial_number != before.serial_number
                old.send(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n")
                assert (await asyncio.to_thread(old.answer)).code == 200, "connections stay"
            assert after.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=30)

    asyncio.run(story())


async def shown(port: int, context: ssl.SSLContext) -> x509.Certificate:
    def ask() -> x509.Certificate:
        with raw_connection(("127.0.0.1", port), context) as line:
            sock = line.sock
            assert isinstance(sock, ssl.SSLSocket)
            return x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")

    return await asyncio.to_thread(ask)


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in found]


def test_an_agent_that_comes_back_has_its_certificate_and_a_broken_one_is_made_anew(
    kmini: Kmini, tmp_path: Path
) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-4") as world:
            serial = (await shown(world.port, world.masters())).serial_number
            server = world.node.server
            assert server is not None
            again = type(server)(world.client, server._sources, 0, host="127.0.0.1")
            await again._begin_certificate()
            assert again._certified.is_set()
            world.identity.folder.joinpath("serving.pem").write_text("broken")
            again = type(server)(world.client, server._sources, 0, host="127.0.0.1")
            await again._begin_certificate()
            assert not again._certified.is_set()
            async with world.identity_client() as client:
                again = type(server)(client, server._sources, 0, host="127.0.0.1")
                running = asyncio.create_task(again.run())
                await asyncio.wait_for(again.listens.wait(), 60)
                assert (await shown(again.listener.port, world.masters())).serial_number != serial
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_requests_are_bounded(kmini: Kmini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(connection.LIMITS, head_timeout_s=600.0, keep_alive_s=600.0)  # nothing ends because of it
    monkeypatch.setattr(connection, "LIMITS", patient)

    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-5") as world:
            context = world.masters()
            assert (await world.ask(READ, context, "Content-Length: 3", body=b"abc")).code == 413
            assert (await world.ask(READ, context, method="DELETE")).code == 405
            assert (await world.ask("/healthz/more", context)).code == 404
            assert (await world.ask("/containerLogs/a/b", context)).code == 404
            assert (await world.ask("/containerLogs/default/none/main", context)).code == 404
            assert (await world.ask("/containerLogs/a/b/c?tailLines=-1", context)).code == 400
            assert (await world.ask(READ, context, "X: " + "x" * 50_000)).code == 400
            many = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (each, b"x" * 1000) for each in range(120))
            assert b" 200 " not in await ended(world.port, context, many)
            connections_of(world).places.most = 0
            assert await ended(world.port, context, b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n") == b""

    asyncio.run(story())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX-"])
def test_a_head_that_does_not_come(kmini: Kmini, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(connection, "LIMITS", replace(connection.LIMITS, head_timeout_s=0.3))

    async def story() -> None:
        async with node_world(kmini, tmp_path, f"access-6-{len(begun)}") as world:
            assert await ended(world.port, world.masters(), begun) == b""

    asyncio.run(story())


def test_a_second_head_that_does_not_come(kmini: Kmini, tmp_path: Path) -> None:
    async def story() -> None:
        async with node_world(kmini, tmp_path, "access-7") as world, world.line() as line:
            line.send(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n")
            assert (await asyncio.to_thread(line.answer)).code == 200
            connections_of(world).limits = replace(connection.LIMITS, head_timeout_s=0.05)
            line.send(b"GET / HTTP/1.1\r\nX-")
            assert await asyncio.to_thread(line.rest) == b""

    asyncio.run(story())


def connections_of(world: NodeWorld) -> Connections:
    assert world.node.server is not None
    found = world.node.server.listener._connections
    assert found is not None
    return found


async def ended(port: int, context: ssl.SSLContext, begun: bytes) -> bytes:
    """What the other side says until it closes."""

    def wait() -> bytes:
        with raw_connection(("127.0.0.1", port), context) as line:
            try:
                line.send(begun)
                return line.rest()
            except (ConnectionError, ssl.SSLError):
                return b""

    return await asyncio.to_thread(wait)
