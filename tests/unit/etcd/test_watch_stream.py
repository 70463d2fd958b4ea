"""One stream, many watches: what leaves it, in which order, and what a slow client costs."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from etcd_memory import MemoryBackend
from hypothesis import given
from hypothesis import strategies as st

from raftstore.errors import Stopped, TooManyRequests, WatchCanceled
from raftstore.etcd import watch as watch_module
from raftstore.etcd.face import Face
from raftstore.etcd.gen import kv_pb2
from raftstore.etcd.gen import rpc_pb2 as pb
from raftstore.etcd.identity import Gate, Identity, KeyRange
from raftstore.etcd.status import COMPACTED, DUPLICATE_WATCH, PERMISSION_DENIED, Refused
from raftstore.etcd.watch import NO_WATCH, WatchStream


class Client:
    """A stream and what a client has read from it."""

    def __init__(self, backend: MemoryBackend) -> None:
        def rule(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
            return keys is None or not keys.key.startswith(b"secret")

        self.wakes = 0
        face = Face(backend, Gate(rule))
        self.stream = WatchStream(face, Identity(name="c", groups=frozenset()), self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def create(self, key: bytes = b"k", **fields: object) -> None:
        request = pb.WatchCreateRequest(key=key, **fields)  # type: ignore[arg-type]
        self.stream.handle(pb.WatchRequest(create_request=request))

    def cancel(self, watch_id: int) -> None:
        self.stream.handle(pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=watch_id)))

    def ask_progress(self) -> None:
        self.stream.handle(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))

    def read(self) -> Iterator[pb.WatchResponse]:
        while (data := self.stream.next()) is not None:
            yield pb.WatchResponse.FromString(data)

    def read_all(self) -> list[pb.WatchResponse]:
        return list(self.read())


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def client(backend: MemoryBackend) -> Client:
    return Client(backend)


def test_created_comes_before_events_and_names_the_revision_it_begins_behind(
    backend: MemoryBackend, client: Client
) -> None:
    backend.put_now(b"k", b"before")
    client.create()
    backend.put_now(b"k", b"after")
    created, events = client.read_all()
    assert created.created
    assert not created.canceled
    assert created.header.revision == 2
    assert [event.kv.value for event in events.events] == [b"after"]
    assert events.header.revision == 3
    assert (events.header.cluster_id, events.header.member_id, events.header.raft_term) == (77, 5, 3)


def test_everything_pending_leaves_as_one_response(backend: MemoryBackend, client: Client) -> None:
    client.create(b"a", range_end=b"z")
    client.read_all()
    for number in range(50):
        backend.put_now(b"k%d" % number, b"v")
    (response,) = client.read_all()
    assert len(response.events) == 50


def test_ids_count_from_zero_around_those_the_client_chose(client: Client) -> None:
    client.create(watch_id=1)
    client.create()
    client.create()
    client.create(watch_id=1)
    assert [(r.watch_id, r.created, r.canceled, r.cancel_reason) for r in client.read()] == [
        (1, True, False, ""),
        (0, True, False, ""),
        (2, True, False, ""),
        (NO_WATCH, True, True, DUPLICATE_WATCH),
    ]


def test_after_cancel_there_is_nothing_more_of_that_watch(backend: MemoryBackend, client: Client) -> None:
    client.create()
    client.create()
    client.read_all()
    backend.put_now(b"k", b"v")
    client.cancel(0)
    client.cancel(7)  # unknown: nothing
    backend.put_now(b"k", b"w")
    canceled, other = client.read_all()
    assert (canceled.watch_id, canceled.canceled) == (0, True)
    assert (other.watch_id, len(other.events)) == (1, 2)
    assert backend.watchers[0].cancelled


def test_filters_and_previous_values(backend: MemoryBackend, client: Client) -> None:
    backend.put_now(b"k", b"old")
    client.create(filters=[pb.WatchCreateRequest.NODELETE], prev_kv=True)
    client.create(filters=[pb.WatchCreateRequest.NOPUT])
    client.read_all()
    backend.put_now(b"k", b"new")
    backend.delete_now(b"k")
    puts, deletes = client.read_all()
    (put,) = puts.events
    assert (put.type, put.kv.value, put.prev_kv.value) == (kv_pb2.Event.PUT, b"new", b"old")
    (delete,) = deletes.events
    assert (delete.type, delete.kv.key, delete.kv.mod_revision, delete.kv.version) == (
        kv_pb2.Event.DELETE,
        b"k",
        4,
        0,
    )


def test_a_compacted_start_is_created_and_then_canceled_with_the_floor(backend: MemoryBackend, client: Client) -> None:
    backend.revision, backend.compact_revision = 9, 7
    client.create(start_revision=3)
    created, canceled = client.read_all()
    assert created.created
    assert not created.canceled
    assert (canceled.canceled, canceled.compact_revision, canceled.cancel_reason) == (True, 7, COMPACTED.text)
    assert canceled.watch_id == created.watch_id
    assert not client.stream.watching


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"key": b"secret/x"}, PERMISSION_DENIED.text),
        ({"key": b"b", "range_end": b"a"}, "mvcc: watcher range is empty"),
        ({"key": b"b", "start_revision": -2}, COMPACTED.text),
    ],
)
def test_a_watch_that_cannot_be_is_refused_and_the_stream_lives(
    client: Client, fields: dict[str, object], reason: str
) -> None:
    client.create(**fields)  # type: ignore[arg-type]
    client.create()
    refused, created = client.read_all()
    assert (refused.watch_id, refused.created, refused.canceled) == (NO_WATCH, True, True)
    assert refused.cancel_reason == reason
    assert created.created
    assert not created.canceled


def test_an_empty_key_with_an_open_end_is_every_key(backend: MemoryBackend, client: Client) -> None:
    client.create(b"", range_end=b"\0")
    client.read_all()
    backend.put_now(b"\0", b"")
    backend.put_now(b"zzz", b"")
    (response,) = client.read_all()
    assert [event.kv.key for event in response.events] == [b"\0", b"zzz"]


def test_a_watch_too_slow_for_its_buffer_is_begun_again_without_a_gap(backend: MemoryBackend, client: Client) -> None:
    backend.watch_buffer_events = 3
    client.create()
    client.read_all()
    for number in range(8):
        backend.put_now(b"k", b"%d" % number)
    backend.watch_buffer_events = 100
    seen = [event.kv.value for response in client.read() for event in response.events]
    assert seen == [b"%d" % number for number in range(8)]
    assert sum(not watcher.cancelled for watcher in backend.watchers) == 1


def test_a_slow_watch_whose_resume_point_is_compacted_is_told_so(backend: MemoryBackend, client: Client) -> None:
    backend.watch_buffer_events = 1
    client.create()
    client.read_all()
    for number in range(5):
        backend.put_now(b"k", b"%d" % number)
    backend.compact_revision = 5
    first, canceled = client.read_all()
    assert len(first.events) == 1
    assert (canceled.canceled, canceled.compact_revision) == (True, 5)
    assert not client.stream.watching


def test_a_busy_watch_does_not_starve_the_others(backend: MemoryBackend, client: Client) -> None:
    client.create(b"busy")
    client.create(b"idle")
    client.read_all()
    backend.put_now(b"busy", b"")
    backend.put_now(b"idle", b"")
    order: list[int] = []
    for response in client.read():
        order.append(response.watch_id)
        if len(order) < 5 and response.watch_id == 0:
            backend.put_now(b"busy", b"")
    assert order[:2] == [0, 1]


def test_fragments_never_exceed_the_bound_and_only_the_last_is_unmarked(
    backend: MemoryBackend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "FRAGMENT_BYTES", 300)
    client.create(b"a", range_end=b"z", fragment=True)
    client.read_all()
    for number in range(9):
        backend.put_now(b"k%d" % number, b"x" * 80)
    backend.put_now(b"big", b"x" * 1000)
    client.cancel(99)
    responses = client.read_all()
    assert [response.fragment for response in responses] == [True] * (len(responses) - 1) + [False]
    assert len(responses) > 3
    assert all(response.ByteSize() < 400 or len(response.events) == 1 for response in responses)
    keys = [event.kv.key for response in responses for event in response.events]
    assert keys == [b"k%d" % number for number in range(9)] + [b"big"]


def test_nothing_comes_between_the_fragments_of_a_response(
    backend: MemoryBackend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "FRAGMENT_BYTES", 50)
    client.create(b"k", fragment=True)
    client.read_all()
    for _ in range(3):
        backend.put_now(b"k", b"x" * 40)
    reader = client.read()
    assert next(reader).fragment
    client.create(b"other")
    assert [(r.fragment, r.created) for r in reader] == [(True, False), (False, False), (False, True)]


def test_progress_waits_for_the_slowest_watch_and_speaks_for_all(backend: MemoryBackend, client: Client) -> None:
    client.create(b"a")
    client.create(b"b")
    client.read_all()
    backend.watchers[1].behind = True
    backend.put_now(b"a", b"")
    client.ask_progress()
    assert [len(response.events) for response in client.read()] == [1]
    backend.watchers[1].behind = False
    (progress,) = client.read_all()
    assert (progress.watch_id, progress.header.revision, len(progress.events)) == (NO_WATCH, 2, 0)
    assert client.read_all() == []


def test_progress_never_overtakes_an_event(backend: MemoryBackend, client: Client) -> None:
    client.create(b"a")
    client.ask_progress()
    backend.put_now(b"a", b"")
    created, events, progress = client.read_all()
    assert created.created
    assert events.events[0].kv.mod_revision == 2
    assert progress.header.revision == 2


def test_notify_tells_only_watches_that_asked_and_were_silent(backend: MemoryBackend, client: Client) -> None:
    client.create(b"a", progress_notify=True)
    client.create(b"b", progress_notify=True)
    client.create(b"c")
    client.read_all()
    backend.put_now(b"a", b"")
    client.read_all()
    client.stream.notify()
    (first,) = client.read_all()
    assert (first.watch_id, first.header.revision) == (1, 2)
    client.stream.notify()
    assert [response.watch_id for response in client.read()] == [0, 1]


def test_a_client_that_asks_and_does_not_read_is_congested(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "CONTROLS_MAX", 4)
    for _ in range(4):
        assert not client.stream.congested
        client.create()
    assert client.stream.congested
    client.stream.next()
    assert not client.stream.congested


def test_a_full_store_and_a_full_stream_refuse_a_watch(
    backend: MemoryBackend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise TooManyRequests("100000 watchers")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "watch", full)
        client.create()
    monkeypatch.setattr(watch_module, "WATCHES_MAX", 1)
    client.create()
    client.create()
    reasons = [response.cancel_reason for response in client.read()]
    assert reasons == ["etcdserver: too many requests", "", "etcdserver: a stream takes at most 1 watches"]


def test_a_replica_that_can_serve_no_watch_ends_the_stream_so_that_clients_go_elsewhere(
    backend: MemoryBackend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create()
    backend.put_now(b"k", b"v")
    backend.ended = WatchCanceled("quarantined", resume_revision=3)
    reader = client.read()
    assert next(reader).created
    assert len(next(reader).events) == 1
    with pytest.raises(Refused, match="quarantined") as caught:
        next(reader)
    assert caught.value.status.code is grpc.StatusCode.UNAVAILABLE

    def stopped(*_: object, **__: object) -> None:
        raise Stopped("shut down")

    monkeypatch.setattr(backend, "watch", stopped)
    with pytest.raises(Refused, match="shut down"):
        client.create()


def test_close_cancels_every_watcher(backend: MemoryBackend, client: Client) -> None:
    client.create()
    client.create()
    client.stream.close()
    assert all(watcher.cancelled for watcher in backend.watchers)
    assert not client.stream.watching


@given(st.lists(st.sampled_from(["put a", "put b", "delete a", "read", "create", "shrink"]), max_size=40))
def test_any_interleaving_gives_every_watch_each_event_once_in_order(steps: list[str]) -> None:
    backend = MemoryBackend()
    client = Client(backend)
    client.create(b"a", range_end=b"c")
    began = {0: backend.revision}
    seen: dict[int, list[int]] = {0: []}

    def read() -> None:
        for response in client.read():
            seen[response.watch_id] += [event.kv.mod_revision for event in response.events]

    for step in steps:
        match step.split():
            case ["put", key]:
                backend.put_now(key.encode(), b"v")
            case ["delete", key]:
                backend.delete_now(key.encode())
            case ["read"]:
                read()
            case ["create"]:
                began[len(began)] = backend.revision
                seen[len(seen)] = []
                client.create(b"a", range_end=b"c")
            case ["shrink"]:
                backend.watch_buffer_events = max(1, backend.watch_buffer_events // 20)
    backend.watch_buffer_events = 1_000
    read()
    for watch_id, revision in began.items():
        assert seen[watch_id] == list(range(revision + 1, backend.revision + 1))
