"""Peers for transport tests: certificates, a listener that remembers, transports on free ports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from apiserver.auth import pki
from raftstore.identity import PeerIdentity
from raftstore.raft.credentials import Credentials
from raftstore.raft.dialling import LinkTiming
from raftstore.raft.engine import Member, Message
from raftstore.raft.transport import PeerTransport

CLUSTER = 0x00C1
PATIENCE_S = 40.0
#: Calls come soon, and a machine that stands still for seconds ends and replaces nothing. A test of one of these times
#: makes that one short.
CALM = LinkTiming(keepalive_s=0.1, dead_s=20.0, greeting_s=20.0, settled_s=20.0, fallback_dial_s=0.3, retire_s=60.0)


def run(test: Coroutine[Any, Any, None], *, loop: str = "uvloop") -> None:
    """Run a test on one of the loops we support; nothing may be left running on it."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(test, PATIENCE_S * 2))


async def eventually(condition: Callable[[], bool], what: str = "") -> None:
    """Wait until it holds; fails after PATIENCE_S."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # what is awaited has no event of its own
            await asyncio.sleep(0.005)


class Authorities:
    """The authorities of one test session, and the leaves made with them, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster_ca = pki.make_authority("test cluster CA")
        self.peer_ca = pki.make_authority("test peer CA")
        self.foreign_ca = pki.make_authority("another peer CA")
        self._count = 0

    def member(self, member_id: int, *, cluster: int = CLUSTER, authority: pki.KeyPair | None = None) -> Credentials:
        return self.files(pki.issue_peer(authority or self.peer_ca, cluster, member_id))

    def files(self, leaf: pki.KeyPair, *trusted: pki.KeyPair) -> Credentials:
        """Credentials of a leaf that trust the peer CA, or `trusted` where given."""
        self._count += 1
        name = f"leaf-{self._count}"
        pki.write_pair(self.folder, name, leaf)
        authority = self.folder / f"{name}-trusted.crt"
        authority.write_bytes(b"".join(pair.certificate_pem for pair in trusted or (self.peer_ca,)))
        return Credentials(
            authority=authority, certificate=self.folder / f"{name}.crt", key=self.folder / f"{name}.key"
        )


class Recorder:
    """A WireListener that remembers what it heard, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.errors: list[BaseException] = []
        self.refusals: list[tuple[int, str]] = []

    def connected(self, peer: int, kinds: frozenset[str]) -> None:
        self.heard.append(("connected", peer, kinds))

    def disconnected(self, peer: int) -> None:
        self.heard.append(("disconnected", peer))

    def received(self, peer: int, message: Message) -> None:
        self.heard.append(("received", peer, message))

    def drained(self, peer: int) -> None:
        self.heard.append(("drained", peer))

    def messages(self, peer: int) -> list[Message]:
        return [event[2] for event in self.heard if event[:2] == ("received", peer)]

    def count(self, kind: str, peer: int) -> int:
        return sum(event[:2] == (kind, peer) for event in self.heard)

    def up(self, peer: int) -> bool:
        """Whether the last thing heard of its link is that it is up."""
        events = [event[0] for event in self.heard if event[1] == peer and event[0] in ("connected", "disconnected")]
        return bool(events) and events[-1] == "connected"


class Peer:
    """A transport with its recorder."""

    def __init__(self, member_id: int, credentials: Credentials, *, cluster: int = CLUSTER, **options: Any) -> None:
        self.id = member_id
        self.recorder = Recorder()
        options.setdefault("timing", CALM)
        options.setdefault("bind", ("127.0.0.1", 0))
        self.transport = PeerTransport(
            PeerIdentity(cluster, member_id),
            f"peer-{member_id}",
            credentials=credentials,
            kinds={"p", f"only-{member_id}"},
            report=self.recorder.errors.append,
            refused_by_member=lambda peer, reason: self.recorder.refusals.append((peer, reason)),
            **options,
        )

    @property
    def member(self) -> Member:
        return Member(self.id, f"peer-{self.id}", f"127.0.0.1:{self.transport.port}")


@asynccontextmanager
async def running(*peers: Peer) -> AsyncIterator[None]:
    """Started, and stopped with nothing left behind."""
    for peer in peers:
        peer.transport.start(peer.recorder)
    try:
        yield
    finally:
        for peer in peers:
            peer.transport.stop()
        for peer in peers:
            await peer.transport.wait_closed()
    assert [error for peer in peers for error in peer.recorder.errors] == []


def introduce(*peers: Peer) -> None:
    """Everybody learns of everybody."""
    for peer in peers:
        peer.transport.set_members([other.member for other in peers])


async def all_up(*peers: Peer) -> None:
    def complete() -> bool:
        return all(one.recorder.up(two.id) for one in peers for two in peers if one is not two)

    await eventually(complete)


def client_context(credentials: Credentials | None, trusted: Path) -> ssl.SSLContext:
    """A hand-made caller: with or without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trusted)
    if credentials is not None:
        context.load_cert_chain(credentials.certificate, credentials.key)
    return context


class RawCaller:
    """A TLS connection by hand, to send what no transport would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def call(cls, port: int, context: ssl.SSLContext | None) -> RawCaller:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    async def until_closed(self) -> bytes:
        """All the other side still says."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), PATIENCE_S)
        except (ConnectionError, ssl.SSLError):
            return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await asyncio.wait_for(self.writer.wait_closed(), 5)
        except (OSError, TimeoutError):  # it was closed from the other side
            return
