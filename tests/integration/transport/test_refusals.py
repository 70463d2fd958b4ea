"""Who is not let in, and what is not understood: dropped, counted by reason, and harmless to the others."""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from cryptography import x509
from peers import (
    CALM,
    CLUSTER,
    Authorities,
    Peer,
    RawCaller,
    all_up,
    client_context,
    eventually,
    introduce,
    run,
    running,
)

from apiserver.auth import pki
from raftstore.errors import UnavailableError, WrongCluster
from raftstore.identity import PeerIdentity
from raftstore.raft import asking
from raftstore.raft.asking import ask
from raftstore.raft.connection import Connection
from raftstore.raft.credentials import Credentials, load_contexts
from raftstore.raft.engine import Member, Message
from raftstore.raft.frames import encode
from raftstore.raft.hello import Hello


def hello(member: int, cluster: int = CLUSTER, **changes: Any) -> Message:
    return Hello(PeerIdentity(cluster, member), "by-hand", 1, 1, frozenset({"p"})).message() | changes


@asynccontextmanager
async def listening(authorities: Authorities, **options: Any) -> AsyncIterator[Peer]:
    """Member 1 with a link to member 2 that must come to no harm, and member 3 expected."""
    peer, bystander = Peer(1, authorities.member(1), **options), Peer(2, authorities.member(2))
    async with running(peer, bystander):
        introduce(peer, bystander)
        await all_up(peer, bystander)
        peer.transport.set_members([bystander.member, Member(3, "expected", "127.0.0.1:1")])
        yield peer
        assert peer.transport.send(2, {"type": "still-there"})
        await eventually(lambda: bystander.recorder.messages(1) == [{"type": "still-there"}])
        assert peer.recorder.count("disconnected", 2) == 0
        assert peer.recorder.count("connected", 3) == 0


def credentials_that_are_refused(authorities: Authorities) -> dict[str, tuple[Credentials | None, str]]:
    peer_ca, cluster_ca = authorities.peer_ca, authorities.cluster_ca
    two_names = pki._issue(
        peer_ca,
        "member",
        [],
        [pki._general_name("localhost"), x509.UniformResourceIdentifier(PeerIdentity(CLUSTER, 3).uri)],
        [pki._SERVER, pki._CLIENT],
        None,
    )
    return {
        "no certificate": (None, "no_certificate"),
        "foreign authority": (authorities.member(3, authority=authorities.foreign_ca), "untrusted_certificate"),
        "cluster authority, a member's name": (authorities.member(3, authority=cluster_ca), "untrusted_certificate"),
        "cluster authority, an admin": (authorities.files(pki.issue_admin(cluster_ca)), "untrusted_certificate"),
        "peer authority, no member's name": (authorities.files(pki.issue_client(peer_ca, "x")), "bad_identity"),
        "peer authority, two names": (authorities.files(two_names), "bad_identity"),
        "another cluster's name": (authorities.member(3, cluster=CLUSTER + 1), "wrong_cluster"),
        "a stranger's name": (authorities.member(77), "not_a_member"),
        "no cluster's name": (authorities.member(3, cluster=0), "not_a_member"),
        "our own name": (authorities.member(1), "own_identity"),
    }


@pytest.mark.parametrize("case", range(10))
def test_callers_that_are_refused(authorities: Authorities, case: int) -> None:
    name, (credentials, reason) = list(credentials_that_are_refused(authorities).items())[case]

    async def body() -> None:
        async with listening(authorities) as peer:
            trusted = authorities.member(1).authority
            before = peer.transport.metrics.refused[reason]
            try:
                caller = await RawCaller.call(peer.transport.port, client_context(credentials, trusted))
                member = 1 if name == "our own name" else 77 if name == "a stranger's name" else 3
                cluster = 0 if name == "no cluster's name" else CLUSTER
                caller.writer.write(encode(hello(member, cluster)))
                await caller.until_closed()
                await caller.close()
            except OSError as error:  # TLS 1.3: the refusal may already be here when the handshake ends
                text = str(error).lower()
                if "alert" not in text and "reset" not in text:
                    raise
            await eventually(lambda: peer.transport.metrics.refused[reason] == before + 1)

    run(body())


def test_tls_1_2_and_plain_text_are_refused(authorities: Authorities) -> None:
    async def body() -> None:
        async with listening(authorities) as peer:
            credentials = authorities.member(3)
            old = client_context(credentials, credentials.authority)
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await RawCaller.call(peer.transport.port, old)
            plain = await RawCaller.call(peer.transport.port, None)
            plain.writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await plain.until_closed()
            await plain.close()
            await eventually(lambda: peer.transport.metrics.refused["handshake_failed"] == 2)

    run(body())


def test_a_caller_that_says_nothing_is_hung_up_on(authorities: Authorities) -> None:
    timing = msgspec.structs.replace(CALM, greeting_s=2.0)

    async def body() -> None:
        async with listening(authorities, timing=timing) as peer:
            before = peer.transport.metrics.refused["handshake_timeout"]  # of the bystander, if the machine stood still
            silent = await RawCaller.call(peer.transport.port, None)
            assert await silent.until_closed() == b""
            await silent.close()
            await eventually(lambda: peer.transport.metrics.refused["handshake_timeout"] > before)
            credentials = authorities.member(3)
            context = client_context(credentials, credentials.authority)
            shy = await RawCaller.call(peer.transport.port, context)
            assert await shy.until_closed() == b""
            await shy.close()

    run(body())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("another member", "wrong_member"), ("another cluster", "wrong_cluster"), ("cluster authority", None)],
)
def test_whom_we_dialled_must_be_who_answers(authorities: Authorities, wrong: str, reason: str | None) -> None:
    async def body() -> None:
        answering = {
            "another member": Peer(3, authorities.member(3)),
            "another cluster": Peer(2, authorities.member(2, cluster=9), cluster=9),
            "cluster authority": Peer(2, authorities.member(2, authority=authorities.cluster_ca)),
        }[wrong]
        dialler = Peer(1, authorities.member(1))
        async with running(dialler, answering):
            answering.transport.set_members([Member(1, "x", "127.0.0.1:1")])
            dialler.transport.set_members([Member(2, "x", answering.member.address)])
            await eventually(lambda: dialler.transport.metrics.dial_failures >= 2)
            assert reason is None or dialler.transport.metrics.refused[reason] >= 1
            assert not dialler.recorder.up(2)
            assert answering.recorder.heard == []

    run(body())


def bad_streams() -> dict[str, tuple[list[bytes], str]]:
    good = encode(hello(3))
    body = b"\x81\xa4type\xa1x"
    return {
        "garbage": ([random.Random(7).randbytes(3000)], ""),
        "garbage behind a good hello": ([good, b"\xff" * 100], ""),
        "oversized": ([(1 << 30).to_bytes(4, "big") + b"\x01"], "oversized"),
        "oversized for a stranger": ([(1 << 20).to_bytes(4, "big") + b"\x01"], "oversized"),
        "empty frame": ([b"\0\0\0\0\x01"], "oversized"),
        "truncated": ([good[: len(good) // 2]], "truncated"),
        "unknown frame format": ([(len(body) + 1).to_bytes(4, "big") + b"\x63" + body], "unknown_format"),
        "unknown hello format": ([encode(hello(3, format=99))], "unknown_format"),
        "hello of another member": ([encode(hello(2))], "bad_hello"),
        "hello of another cluster": ([encode(hello(3, cluster=5))], "bad_hello"),
        "hello with wrong kinds": ([encode(hello(3, kinds=[1]))], "bad_hello"),
        "hello with a huge number": ([encode(hello(3, incarnation=1 << 63))], "bad_hello"),
        "message before the hello": ([encode({"type": "append", "term": 5})], "bad_greeting"),
        "an open from the one who does not decide": ([good, encode({"type": "link.open", "number": 9})], ""),
        "not a map": ([b"\0\0\0\x02\x01\x90"], "bad_frame"),
        "no type": ([b"\0\0\0\x02\x01\x80"], "bad_frame"),
        "an extension type": ([b"\0\0\0\x0a\x01\x81\xa4type\xd4\x05a"], "bad_frame"),
    }


@pytest.mark.parametrize("case", bad_streams())
def test_streams_that_are_no_frames_of_ours(authorities: Authorities, case: str) -> None:
    """From a caller with a proper certificate of a member."""
    stream, reason = bad_streams()[case]

    async def body() -> None:
        heard: list[Message] = []
        peer = Peer(1, authorities.member(1))
        async with running(peer):
            peer.transport.set_members([Member(3, "expected", "127.0.0.1:1")])
            credentials = authorities.member(3)
            caller = await RawCaller.call(peer.transport.port, client_context(credentials, credentials.authority))
            caller.writer.write(b"".join(stream))
            if case == "truncated":
                await caller.writer.drain()
                caller.writer.write_eof() if caller.writer.can_write_eof() else caller.writer.close()
            await caller.until_closed()
            await caller.close()
            await eventually(lambda: sum(peer.transport.metrics.refused.values()) >= 1)
            assert not reason or peer.transport.metrics.refused[reason] == 1
            await eventually(lambda: not peer.recorder.up(3))
            heard += peer.recorder.messages(3)
        assert heard == []

    run(body())


def test_a_replayed_greeting_on_a_link_that_is_up_ends_it(authorities: Authorities) -> None:
    async def body() -> None:
        one, other = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            link = one.transport._peers[2].link
            assert link is not None
            link.send(encode({"type": "link.open", "number": 1}))
            await eventually(lambda: other.transport.metrics.refused["bad_greeting"] == 1)
            await all_up(one, other)

    run(body())


def test_questions_of_strangers_are_answered_and_nothing_else_is(authorities: Authorities) -> None:
    async def body() -> None:
        asked: list[tuple[PeerIdentity, Message]] = []

        async def answerer(asker: PeerIdentity, question: Message) -> Message:
            asked.append((asker, question))
            if question["type"] == "join.defect":
                raise RuntimeError("defect")
            return {"type": "join.accepted"}

        peer = Peer(1, authorities.member(1), answerer=answerer)
        async with running(peer):
            address = peer.member.address
            newcomer = load_contexts(authorities.member(9, cluster=0))
            answer = await ask(address, {"type": "join.request"}, newcomer)
            assert answer.message == {"type": "join.accepted"}
            assert answer.answered_by == PeerIdentity(CLUSTER, 1)
            removed = load_contexts(authorities.member(8))
            await ask(address, {"type": "join.check"}, removed, cluster_id=CLUSTER)
            assert [asker for asker, _ in asked] == [PeerIdentity(0, 9), PeerIdentity(CLUSTER, 8)]
            for kind in ("append", "store.forward", "link.hello"):
                with pytest.raises(UnavailableError, match="not_askable"):
                    await ask(address, {"type": kind}, newcomer)
            with pytest.raises(UnavailableError, match="cannot_answer"):
                await ask(address, {"type": "join.defect"}, newcomer)
            assert [type(error) for error in peer.recorder.errors] == [RuntimeError]
            peer.recorder.errors.clear()
            for credentials in (
                authorities.member(9, cluster=CLUSTER + 1),
                authorities.member(9, cluster=0, authority=authorities.foreign_ca),
            ):
                with pytest.raises(UnavailableError):
                    await ask(address, {"type": "join.request"}, load_contexts(credentials))
            with pytest.raises(WrongCluster):
                await ask(address, {"type": "join.request"}, newcomer, cluster_id=5)
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await ask("127.0.0.1:1", {"type": "join.request"}, newcomer)
            assert len(asked) == 3

    run(body())


def test_a_question_without_an_answer_ends_in_time(authorities: Authorities) -> None:
    async def body() -> None:
        async def answerer(asker: PeerIdentity, question: Message) -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        peer = Peer(1, authorities.member(1), answerer=answerer)
        async with running(peer):
            with pytest.raises(UnavailableError, match="in time"):
                await ask(
                    peer.member.address,
                    {"type": "join.request"},
                    load_contexts(authorities.member(9, cluster=0)),
                    timeout_s=0.3,
                )

    run(body())


def test_a_connection_that_ends_after_its_dial_failed_leaves_no_unheard_error(
    authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS came up, then the dial failed or was given up: nobody is left to tell when the connection goes."""

    async def body() -> None:
        unheard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        made: list[Connection] = []

        async def failing_dial(address: str, make: Callable[[], Connection], *_: Any, **__: Any) -> Connection:
            made.append(make())
            raise ConnectionResetError("reset")

        monkeypatch.setattr(asking, "dial", failing_dial)
        with pytest.raises(UnavailableError, match="reset"):
            await ask("127.0.0.1:1", {"type": "join.request"}, load_contexts(authorities.member(9, cluster=0)))
        made[0].handler.lost(made[0])
        made.clear()
        gc.collect()
        await asyncio.sleep(0)
        assert unheard == []

    run(body())
