"""A snapshot arrives whole or not at all, whatever happens to the messages and to the receiver."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_tools import CLUSTER, fake_disk
from snapshot_tools import apply_puts, new_journal, new_store, take

from raftstore import snapshot_transfer
from raftstore.mvcc.machine import StateMachine
from raftstore.raft.engine import Message
from raftstore.sim.disk import FakeDisk
from raftstore.snapshot import Manifest, SnapshotStore
from raftstore.snapshot_transfer import (
    CHUNK,
    OFFER,
    REFUSED,
    WANTED,
    Reply,
    SnapshotReceiver,
    SnapshotSender,
    installed,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SnapshotStore, Manifest]]:
    folder = tmp_path_factory.mktemp("source")
    machine = StateMachine.open(folder / "state")
    apply_puts(machine, new_journal(fake_disk()), 60, size=3000)
    store = new_store(fake_disk())
    yield store, take(store, machine, folder)
    machine.close()


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot_transfer, "CHUNK_BYTES", 16384)
        patch.setattr(snapshot_transfer, "WINDOW_CHUNKS", 3)
        yield


def send_due(store: SnapshotStore, sender: SnapshotSender) -> list[Message]:
    messages = []
    while (due := sender.due()) is not None:
        messages.append(sender.chunk(due[0], store.read(sender.manifest, *due)))
    return messages


def transfer(store: SnapshotStore, sender: SnapshotSender, receiver: SnapshotReceiver) -> Manifest | None:
    """Everything arrives, in order."""
    waiting = [sender.offer()]
    while waiting:
        reply = receiver.handle(waiting.pop(0), have_index=1)
        if reply.message is not None:
            sender.received(reply.message)
        if reply.snapshot is not None:
            return reply.snapshot
        waiting += send_due(store, sender)
    return None


def test_a_snapshot_arrives(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    target = new_store(fake_disk())
    sender = SnapshotSender(manifest)
    assert transfer(store, sender, SnapshotReceiver(target)) == manifest
    assert not sender.finished
    sender.received(installed(manifest))
    assert sender.installed
    assert sender.due() is None
    assert target.newest_good() == manifest
    assert len(target.disk.names()) == 2


def test_no_more_than_the_window_is_under_way(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    sender = SnapshotSender(manifest)
    sender.offer()
    assert send_due(store, sender) == []
    sender.received({"type": WANTED, "id": manifest.id, "offset": 0})
    assert len(send_due(store, sender)) == 3
    sender.received({"type": WANTED, "id": manifest.id, "offset": 16384})
    assert [message["offset"] for message in send_due(store, sender)] == [3 * 16384]


def test_a_broken_transfer_goes_on_where_it_stopped(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    disk = fake_disk()
    sender, receiver = SnapshotSender(manifest), SnapshotReceiver(new_store(disk))
    first = receiver.handle(sender.offer(), have_index=1)
    assert first.message is not None
    sender.received(first.message)
    for message in send_due(store, sender):
        receiver.handle(message, have_index=1)
    disk.crash(power=False)
    receiver = SnapshotReceiver(new_store(disk))
    again = receiver.handle(sender.offer(), have_index=1)
    assert again.message == {"type": WANTED, "id": manifest.id, "offset": 3 * 16384}
    assert transfer(store, sender, receiver) == manifest


def test_bytes_lost_with_the_power_are_found_and_sent_again(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    for seed in range(10):
        disk = fake_disk(seed)
        sender, receiver = SnapshotSender(manifest), SnapshotReceiver(new_store(disk))
        reply = receiver.handle(sender.offer(), have_index=1)
        assert reply.message is not None
        sender.received(reply.message)
        for message in send_due(store, sender):
            receiver.handle(message, have_index=1)
        disk.crash(power=True)
        receiver = SnapshotReceiver(new_store(disk))
        if transfer(store, sender, receiver) is None:
            assert sender.refusal is not None
            assert "does not have the bytes" in sender.refusal
            assert transfer(store, SnapshotSender(manifest), receiver) == manifest
        assert new_store(disk).newest_good() == manifest


def test_a_snapshot_that_arrived_before_a_restart_is_not_sent_again(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    disk = fake_disk()
    transfer(store, SnapshotSender(manifest), SnapshotReceiver(new_store(disk)))
    reply = SnapshotReceiver(new_store(disk)).handle(SnapshotSender(manifest).offer(), have_index=1)
    assert reply.snapshot == manifest


def test_a_changed_byte_is_refused_and_replaces_nothing(source: tuple[SnapshotStore, Manifest]) -> None:
    store, manifest = source
    target = new_store(fake_disk())
    sender, receiver = SnapshotSender(manifest), SnapshotReceiver(target)
    waiting, last = [sender.offer()], Reply(None)
    while waiting:
        message = waiting.pop(0)
        if message["type"] == CHUNK and message["offset"] == 2 * 16384:
            message["data"] = b"?" + message["data"][1:]
        last = receiver.handle(message, have_index=1)
        if last.message is not None:
            sender.received(last.message)
        waiting += send_due(store, sender)
    assert last.snapshot is None
    assert sender.refusal is not None
    assert target.manifests() == []
    assert target.disk.names() == []


def test_offers_that_cannot_be_used_are_answered_by_name(source: tuple[SnapshotStore, Manifest]) -> None:
    _, manifest = source
    receiver = SnapshotReceiver(new_store(fake_disk()))

    def answer(raw: object, have_index: int = 1) -> Message:
        reply = receiver.handle({"type": OFFER, "id": "x", "manifest": raw}, have_index=have_index)
        assert reply.message is not None
        assert reply.snapshot is None
        return reply.message

    assert answer(manifest.encode(), have_index=manifest.index) == installed(manifest)
    for raw, reason in (
        (b"garbage", "digest does not hold"),
        (17, "no manifest"),
        (b"x" * 100_000, "no manifest"),
        (msgspec.structs.replace(manifest, cluster_id=CLUSTER + 1).encode(), "of cluster"),
        (msgspec.structs.replace(manifest, size=1 << 50).encode(), "beyond"),
        (msgspec.structs.replace(manifest, format=7).encode(), "format 7"),
    ):
        message = answer(raw)
        assert message["type"] == REFUSED
        assert reason in message["reason"]


def test_chunks_of_unknown_transfers_are_not_answered() -> None:
    receiver = SnapshotReceiver(new_store(fake_disk()))
    assert receiver.handle({"type": CHUNK, "id": "x", "offset": 0, "data": b"y"}, have_index=1) == Reply(None)


def test_another_snapshot_replaces_the_one_under_way(source: tuple[SnapshotStore, Manifest], tmp_path: Path) -> None:
    store, manifest = source
    machine = StateMachine.open(tmp_path / "state")
    apply_puts(machine, new_journal(fake_disk()), 80, size=2000)
    other_store = new_store(fake_disk())
    other = take(other_store, machine, tmp_path)
    machine.close()
    target = new_store(fake_disk())
    sender, receiver = SnapshotSender(manifest), SnapshotReceiver(target)
    reply = receiver.handle(sender.offer(), have_index=1)
    assert reply.message is not None
    sender.received(reply.message)
    chunks = send_due(store, sender)
    receiver.handle(chunks[0], have_index=1)
    other_sender = SnapshotSender(other)
    other_reply = receiver.handle(other_sender.offer(), have_index=1)
    assert other_reply.message == {"type": WANTED, "id": other.id, "offset": 0}
    assert receiver.handle(chunks[1], have_index=1) == Reply(None)
    assert transfer(other_store, other_sender, receiver) == other


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32))
def test_a_snapshot_arrives_over_a_network_that_loses_repeats_and_reorders(
    source: tuple[SnapshotStore, Manifest], seed: int
) -> None:
    store, manifest = source
    chance = random.Random(seed)
    target = new_store(FakeDisk(chance))
    sender, receiver = SnapshotSender(manifest), SnapshotReceiver(target)
    to_receiver: list[Message] = []
    to_sender: list[Message] = []
    messages = 0
    for round_number in range(3000):
        if not to_receiver and not to_sender:
            to_receiver.append(sender.offer())
        for queue, handle in ((to_receiver, None), (to_sender, sender.received)):
            if not queue:
                continue
            messages += 1
            message = queue.pop(chance.randrange(min(3, len(queue))))
            draw = chance.random()
            if draw < 0.1 and round_number < 2000:
                continue
            if draw < 0.2:
                queue.append(message)
            if handle is not None:
                handle(message)
                continue
            reply = receiver.handle(message, have_index=1)
            if reply.snapshot is not None:
                assert reply.snapshot == manifest
                assert target.newest_good() == manifest
                assert messages < 40 * (manifest.size // 16384 + 1)
                return
            if reply.message is not None:
                to_sender.append(reply.message)
        to_receiver += send_due(store, sender)
        assert len(to_receiver) < 60
    pytest.fail("it never arrived")
