"""Leaves are renewed at two thirds of their life, into live TLS contexts, and never by a clock that is wrong."""

from __future__ import annotations

import asyncio
import datetime
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError
from apiserver.auth.rotation import LOOK_EVERY_S, RETRY_S, Leaf, Rotation

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


class Bench:
    """One serving certificate, a clock, and what was renewed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.authority = pki.make_authority("test CA", NOW)
        pki.write_pair(folder, "ca", self.authority)
        self.issue()
        self.renewals = 0
        self.fails: Exception | None = None
        leaf = Leaf(folder / "server.crt", folder / "ca.crt", self.renew)
        self.rotation = Rotation([leaf], wall=lambda: self.now, sleep=self.sleep)
        self.slept: list[float] = []
        self.jump = datetime.timedelta()

    def issue(self) -> None:
        pki.write_pair(self.folder, "server", pki.issue_serving(self.authority, ["localhost"], self.now))

    async def renew(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.renewals += 1
        self.issue()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += datetime.timedelta(seconds=seconds) + self.jump
        if len(self.slept) > 10_000:
            raise asyncio.CancelledError

    def look(self) -> float:
        return asyncio.run(self.rotation.look())

    @property
    def serial(self) -> int:
        return x509.load_pem_x509_certificate((self.folder / "server.crt").read_bytes()).serial_number


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_is_renewed_at_two_thirds_and_not_before(bench: Bench) -> None:
    assert bench.look() == LOOK_EVERY_S
    bench.now = NOW + 243 * DAY
    assert 0 < bench.look() <= LOOK_EVERY_S
    assert bench.renewals == 0
    bench.now = NOW + 244 * DAY
    assert bench.look() == LOOK_EVERY_S
    assert bench.renewals == 1


def test_years_go_by(bench: Bench) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bench.rotation.run())
    years = (bench.now - NOW) / (365 * DAY)
    assert max(bench.slept) <= LOOK_EVERY_S
    assert bench.renewals == pytest.approx(years * 3 / 2, abs=1)


def test_a_jump_of_the_clock_is_noticed_at_the_next_look(bench: Bench) -> None:
    assert bench.look() == LOOK_EVERY_S
    bench.now += 300 * DAY
    bench.look()
    assert bench.renewals == 1


def test_a_clock_that_is_behind_renews_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.now = NOW - 30 * DAY
    serial = bench.serial
    assert bench.look() == RETRY_S
    assert bench.serial == serial
    assert "clock is behind" in caplog.text


def test_what_fails_is_said_and_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.now = NOW + 300 * DAY
    bench.fails = PkiError("ca.key is no private key")
    assert bench.look() == RETRY_S
    assert "was not renewed" in caplog.text
    bench.fails = None
    bench.look()
    assert bench.renewals == 1


def test_a_renewal_that_changes_nothing_is_no_renewal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)

    async def nothing() -> None:
        return None

    rotation = Rotation(
        [Leaf(tmp_path / "server.crt", tmp_path / "ca.crt", nothing)], wall=lambda: NOW + 300 * DAY, sleep=bench.sleep
    )
    assert asyncio.run(rotation.look()) == RETRY_S
    assert "was not renewed" in caplog.text


def test_a_missing_file_does_not_end_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    (bench.folder / "server.crt").unlink()
    with caplog.at_level(logging.ERROR):
        assert bench.look() == RETRY_S
    assert "cannot be read" in caplog.text


def test_one_that_ends_with_its_authority_is_left(bench: Bench) -> None:
    bench.now = NOW + pki.AUTHORITY_LIFETIME - 100 * DAY
    bench.issue()
    bench.now += 90 * DAY
    assert bench.look() == LOOK_EVERY_S
    assert bench.renewals == 0


# --- into a live context -----------------------------------------------------------------------------------


@asynccontextmanager
async def echo_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def connect(port: int, authority: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    context = ssl.create_default_context(cafile=authority)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return reader, writer, x509.load_der_x509_certificate(certificate).serial_number


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"still here\n")
    return await reader.readline()


def test_open_connections_stay_and_new_ones_see_the_new_certificate(tmp_path: Path) -> None:
    authority = pki.make_authority("live CA")
    pki.write_pair(tmp_path, "ca", authority)
    now = datetime.datetime.now(datetime.UTC)
    pki.write_pair(tmp_path, "server", pki.issue_serving(authority, ["localhost"], now - 300 * DAY))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")

    async def renew() -> None:
        pki.write_pair(tmp_path, "server", pki.issue_serving(authority, ["localhost"]))
        context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")

    async def body() -> None:
        rotation = Rotation([Leaf(tmp_path / "server.crt", tmp_path / "ca.crt", renew)])
        async with echo_server(context) as port:
            reader, writer, old = await connect(port, tmp_path / "ca.crt")
            await rotation.look()
            assert await echoed(reader, writer) == b"still here\n"
            late_reader, late_writer, new = await connect(port, tmp_path / "ca.crt")
            assert new != old
            assert await echoed(late_reader, late_writer) == b"still here\n"
            assert await echoed(reader, writer) == b"still here\n"
            for each in (writer, late_writer):
                each.close()
                await each.wait_closed()

    asyncio.run(body())
