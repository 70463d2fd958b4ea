"""Links between members: one per pair, kept up, replaced whole."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from peers import CALM, CLUSTER, Authorities, Peer, all_up, eventually, introduce, run, running

from raftstore.identity import PeerIdentity
from raftstore.raft.engine import Member
from raftstore.raft.frames import encode


@pytest.fixture
def two(authorities: Authorities) -> Any:
    return lambda **options: [Peer(member_id, authorities.member(member_id), **options) for member_id in (1, 2)]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_messages_arrive_in_order_and_kinds_are_announced(two: Any, loop: str) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            entry = [b"\x10payload" * 100, 7, 3]
            for number in range(1000):
                assert one.transport.send(2, {"type": "x", "number": number, "entries": [entry]})
                assert other.transport.send(1, {"type": "y", "number": -number})
            await eventually(lambda: len(other.recorder.messages(1)) == len(one.recorder.messages(2)) == 1000)
            assert [message["number"] for message in other.recorder.messages(1)] == list(range(1000))
            assert [message["number"] for message in one.recorder.messages(2)] == [-n for n in range(1000)]
            assert other.recorder.messages(1)[0]["entries"] == [entry]
            assert other.recorder.heard[0] == ("connected", 1, frozenset({"p", "only-1"}))
            assert one.transport.metrics.bytes_sent > 500_000 > one.transport.metrics.frames_sent

    run(body(), loop=loop)


def link_of(peer: Peer, other: int) -> Any:
    """The link itself, to make it behave as no peer of ours would."""
    return peer.transport._peers[other].link


def silence(peer: Peer) -> None:
    """It pings no more, as a process that stands still."""
    timer = peer.transport._tick_timer
    assert timer is not None
    timer.cancel()


def test_both_sides_dial_at_once_and_agree_on_one_link(authorities: Authorities) -> None:
    """Five members that all call each other at the same moment: one link per pair, reported once."""

    async def body() -> None:
        peers = [Peer(member_id, authorities.member(member_id)) for member_id in range(1, 6)]
        async with running(*peers):
            introduce(*peers)
            await all_up(*peers)
            for sender in peers:
                for receiver in peers:
                    if sender is not receiver:
                        assert sender.transport.send(receiver.id, {"type": "hi"})
            await eventually(lambda: all(sum(e[0] == "received" for e in p.recorder.heard) == 4 for p in peers))
            assert all(p.recorder.count("connected", q.id) == 1 for p in peers for q in peers if p is not q)
            assert sum(peer.transport.metrics.links_replaced for peer in peers) == 0

    run(body())


@pytest.mark.parametrize("restarted", [1, 2])
def test_a_restarted_peer_is_reconnected(authorities: Authorities, restarted: int) -> None:
    async def body() -> None:
        stays = Peer(3 - restarted, authorities.member(3 - restarted))
        goes = Peer(restarted, authorities.member(restarted))
        async with running(stays):
            async with running(goes):
                introduce(stays, goes)
                await all_up(stays, goes)
                member = goes.member
                port = goes.transport.port
            await eventually(lambda: not stays.recorder.up(restarted))
            assert not stays.transport.send(restarted, {"type": "x"})
            await eventually(lambda: stays.transport.metrics.dial_failures >= 2)
            back = Peer(restarted, authorities.member(restarted), bind=("127.0.0.1", port))
            async with running(back):
                back.transport.set_members([stays.member, member])
                await all_up(stays, back)
                assert stays.transport.send(restarted, {"type": "again"})
                await eventually(lambda: back.recorder.messages(stays.id) == [{"type": "again"}])
                assert stays.recorder.count("connected", restarted) == 2

    run(body())


def test_a_newer_connection_replaces_the_link_and_the_old_one_says_nothing_more(authorities: Authorities) -> None:
    """A peer that lost its side (crashed, same id) comes back while we still believe in the old link."""

    async def body() -> None:
        one, old = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        new = Peer(2, authorities.member(2))
        async with running(one, old, new):
            introduce(one, old)
            await all_up(one, old)
            former = link_of(one, 2)
            new.transport.set_members([one.member])
            await eventually(lambda: new.recorder.up(1))
            former.data_received(encode({"type": "late"}))
            old.transport.set_members([])  # keeps the ghost from calling back
            assert new.transport.send(1, {"type": "from-new"})
            await eventually(lambda: one.recorder.messages(2) == [{"type": "from-new"}])
            kinds = [event[0] for event in one.recorder.heard]
            assert kinds == ["connected", "disconnected", "connected", "received"]
            assert one.transport.metrics.links_replaced == 1

    run(body())


def test_the_higher_id_dials_when_the_lower_one_has_an_old_address(authorities: Authorities) -> None:
    async def body() -> None:
        low, high = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(low, high):
            low.transport.set_members([Member(2, "moved", "127.0.0.1:1")])
            high.transport.set_members([low.member])
            await all_up(low, high)

    run(body())


def test_members_known_before_the_start_are_called_at_once(authorities: Authorities) -> None:
    async def body() -> None:
        early, other = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(other):
            early.transport.set_members([other.member])
            async with running(early):
                other.transport.set_members([Member(1, "elsewhere", "127.0.0.1:1")])
                await all_up(early, other)
                assert early.transport.metrics.dialled >= 1

    run(body())


def test_a_changed_address_is_dialled(authorities: Authorities) -> None:
    async def body() -> None:
        low, high = Peer(1, authorities.member(1)), Peer(2, authorities.member(2))
        async with running(low, high):
            high.transport.set_members([Member(1, "wrong", "127.0.0.1:1")])
            low.transport.set_members([Member(2, "wrong", "127.0.0.1:1")])
            await eventually(lambda: low.transport.metrics.dial_failures >= 2)
            low.transport.set_members([high.member])
            await all_up(low, high)

    run(body())


def test_a_removed_member_is_dropped_and_told_so(two: Any) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            one.transport.set_members([])
            assert not one.transport.send(2, {"type": "x"})
            assert one.recorder.up(2), "the listener is never called from within a call of its own"
            await eventually(lambda: not one.recorder.up(2))
            await eventually(lambda: (1, "not_a_member") in other.recorder.refusals)
            assert not other.recorder.up(1)

    run(body())


def test_a_silent_peer_is_dropped_and_a_quiet_one_is_not(two: Any) -> None:
    """Quiet links live on pings; a peer whose process stands still (SIGSTOP, frozen host) is given up."""
    timing = msgspec.structs.replace(CALM, dead_s=1.0)

    async def body() -> None:
        one, other = two(timing=timing)
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            sent = one.transport.metrics.bytes_sent
            await eventually(lambda: one.transport.metrics.bytes_sent > sent)
            await asyncio.sleep(timing.dead_s * 1.5)
            assert one.recorder.count("connected", 2) == 1
            assert one.transport.metrics.links_dead == 0
            silence(other)
            await eventually(lambda: one.transport.metrics.links_dead == 1)

    run(body())


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_back_pressure_refuses_and_then_drains(authorities: Authorities, loop: str) -> None:
    """A reader that stands still: what waits is bounded; when it reads again, `drained` comes and all arrives."""

    async def body() -> None:
        high, low = 4_000_000, 1_000_000
        one = Peer(1, authorities.member(1), buffer_high=high, buffer_low=low)
        other = Peer(2, authorities.member(2))
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            link = link_of(other, 1)
            link._transport.pause_reading()
            accepted = 0
            payload = b"x" * 100_000
            while one.transport.send(2, {"type": "bulk", "number": accepted, "payload": payload}):
                accepted += 1
                assert accepted < 2000, "never refused"
                assert one.transport.waiting_bytes(2) <= high + 200_000
                await asyncio.sleep(0)
            assert one.recorder.count("drained", 2) == 0
            link._transport.resume_reading()
            await eventually(lambda: one.recorder.count("drained", 2) == 1)
            assert one.transport.waiting_bytes(2) <= low
            assert one.transport.send(2, {"type": "bulk", "number": accepted})
            await eventually(lambda: len(other.recorder.messages(1)) == accepted + 1)
            assert [m["number"] for m in other.recorder.messages(1)] == list(range(accepted + 1))

    run(body(), loop=loop)


def test_frames_of_one_iteration_become_one_write(two: Any) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            silence(one)  # a ping is a write too
            link = link_of(one, 2)
            writes: list[int] = []
            taken = link._write_some

            def counting(transport: asyncio.Transport) -> None:
                writes.append(1)
                taken(transport)

            link._write_some = counting
            for number in range(50):
                one.transport.send(2, {"type": "x", "number": number})
            await eventually(lambda: len(other.recorder.messages(1)) == 50)
            assert len(writes) == 1

    run(body())


def test_a_listener_that_raises_is_reported_and_the_link_lives(two: Any) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            heard = other.recorder.received

            def failing(peer: int, message: Any) -> None:
                if message["type"] == "poison":
                    raise KeyError("defect")
                heard(peer, message)

            other.recorder.received = failing
            one.transport.send(2, {"type": "poison"})
            one.transport.send(2, {"type": "after"})
            await eventually(lambda: other.recorder.messages(1) == [{"type": "after"}])
            assert [type(error) for error in other.recorder.errors] == [KeyError]
            other.recorder.errors.clear()

    run(body())


def test_a_message_too_large_for_a_frame_is_refused(two: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            assert not one.transport.send(2, {"type": "x", "payload": b"x" * (16 << 20)})
            assert one.transport.metrics.refused["own_frame_oversized"] == 1
            assert one.transport.send(2, {"type": "x", "payload": b"x" * ((16 << 20) - 1000)})
            await eventually(lambda: len(other.recorder.messages(1)) == 1)

    run(body())


def test_after_stop_the_listener_hears_nothing(two: Any) -> None:
    async def body() -> None:
        one, other = two()
        async with running(one, other):
            introduce(one, other)
            await all_up(one, other)
            heard = len(one.recorder.heard)
            one.transport.stop()
            assert not one.transport.send(2, {"type": "x"})
            await one.transport.wait_closed()
            await eventually(lambda: not other.recorder.up(1))
            assert len(one.recorder.heard) == heard

    run(body())


def test_own_id_of_another_process_is_refused(authorities: Authorities) -> None:
    """Two processes with one data directory: neither gets a link to the other."""

    async def body() -> None:
        one, twin = Peer(1, authorities.member(1)), Peer(1, authorities.member(1))
        assert one.transport._own == PeerIdentity(CLUSTER, 1)
        async with running(one, twin):
            one.transport.set_members([Member(2, "x", twin.member.address)])
            await eventually(lambda: twin.transport.metrics.refused["own_identity"] >= 1)
            assert not one.recorder.up(2)

    run(body())
