"""`kmini keys` against the ring keeper of one replica, over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from kmini import certificates, cli
from kmini.layout import Layout, Running, owned
from kmini.replica_calls import ReplicaCalls, replica_context
from tls_http import Asked, https_server

from apiserver.api.errors import ApiError
from apiserver.auth import keyring, pki
from apiserver.auth.ring_keeper import PATH_KEYS, PATH_RING, RingFacts, RingKeeper
from apiserver.auth.user import User
from apiserver.encryption import Encryption
from apiserver.reencryption import Progress

ADMIN = User(name="kmini-admin", groups=("system:masters",))


class Alone:
    """The only member of its cluster."""

    def __init__(self) -> None:
        self.names = ["n1"]

    def members(self) -> list[str]:
        return self.names

    async def addresses(self) -> Mapping[str, str]:
        return {}

    async def ask(self, address: str, method: str, path: str, body: bytes) -> bytes:
        raise ConnectionError(address)


class Replica:
    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.others = Alone()
        self.caller = ADMIN
        self.passes = 0
        self.keeper = RingKeeper(
            name="n1",
            path=layout.pki / keyring.FILE_NAME,
            encryption=Encryption.with_ring(keyring.new_ring()),
            others=self.others,
            reencrypt=self.reencrypt,
            sleep=lambda _s: asyncio.sleep(0),
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(layout.pki / "server.crt", layout.pki / "server.key")
        self.context.load_verify_locations(layout.pki / "ca.crt")
        self.context.verify_mode = ssl.CERT_REQUIRED

    async def reencrypt(self) -> Progress:
        self.passes += 1
        return Progress(3, 3 if self.passes == 1 else 0, 0)

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        try:
            return 200, asyncio.run(self.keeper.answer(asked.method, asked.path, self.caller, asked.body))
        except ApiError as error:
            return error.status_code, json.dumps({"kind": "Status", "message": error.message}).encode()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "DIR")
    pki.init_shared(layout.pki)
    certificates.issue_admin(layout.pki)
    certificates.issue_replica(layout.pki, "n1")
    certificates.issue_serving(layout.pki, ["127.0.0.1"])
    return layout


@pytest.fixture
def replica(layout: Layout) -> Iterator[Replica]:
    replica = Replica(layout)
    with https_server(replica.context, replica.answer) as place, owned(layout) as file:
        port = int(place.address.rpartition(":")[2])
        file.announce(Running(pid=1, name="n1", bind="127.0.0.1", peer_port=1, etcd_port=0, api_port=port))
        yield replica


def kmini(capsys: pytest.CaptureFixture[str], layout: Layout, *arguments: str) -> tuple[int, str, str]:
    code = cli.run(["keys", *arguments, "--data-dir", str(layout.data_dir)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_rotation(replica: Replica, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    old = replica.keeper.ring.active
    code, out, err = kmini(capsys, layout, "rotate")
    assert (code, err) == (0, "")
    new = replica.keeper.ring
    assert [key.id for key in new.keys] == [new.active] != [old]
    assert keyring.load(layout.pki / keyring.FILE_NAME) == new
    assert "3 of 3 values written" in out
    assert new.active in out
    code, out, _ = kmini(capsys, layout, "list")
    assert out == f"* {new.active}\n"
    code, out, _ = kmini(capsys, layout, "status")
    assert "no rotation is under way" in out


def test_one_that_stopped_goes_on_where_it_was(
    replica: Replica, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(replica.keeper.step("add"))
    assert "before the new key was used" in kmini(capsys, layout, "status")[1]
    asyncio.run(replica.keeper.step("use"))
    added = replica.keeper.ring.active
    _, out, _ = kmini(capsys, layout, "status", "-o", "json")
    assert json.loads(out)["rotation"] == "a rotation stopped before the older keys were dropped"
    code, out, _ = kmini(capsys, layout, "rotate")
    assert (code, "going on" in out) == (0, True)
    assert [key.id for key in replica.keeper.ring.keys] == [added]


def test_a_missing_replica_stops_it_in_plain_words(
    replica: Replica, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    replica.others.names = ["n1", "n2"]
    before = replica.keeper.ring
    code, _, err = kmini(capsys, layout, "rotate")
    assert (code, err.count("\n"), "n2 does not answer" in err) == (1, 1, True)
    assert replica.keeper.ring == before


def test_replicas_ask_each_other_with_their_own_certificates(replica: Replica, layout: Layout) -> None:
    replica.caller = User(name="kmini:server:n1", groups=(pki.SERVER_GROUP,))
    running = layout.running()
    assert running is not None

    async def body() -> None:
        calls = ReplicaCalls(replica_context(layout.pki))
        try:
            said = await calls.ask(running.api_address, "GET", PATH_KEYS, b"")
            assert msgspec.json.decode(said, type=RingFacts) == replica.keeper.facts()
            with pytest.raises(ApiError, match="body of the request"):
                await calls.ask(running.api_address, "POST", PATH_RING, b"{}")
            with pytest.raises(OSError, match="does not answer"):
                await calls.ask("127.0.0.1:1", "GET", PATH_KEYS, b"")
        finally:
            await calls.close()

    asyncio.run(body())
