"""Streams of one connection: two sessions that talk to each other, windows, bounds, and a peer that sends anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nodeagent.streams.spdy import frames
from nodeagent.streams.spdy.frames import (
    CANCEL,
    DATA_BYTES_MAX,
    INITIAL_WINDOW_SIZE,
    INVALID_STREAM,
    REFUSED_STREAM,
    WINDOW_MAX,
    Data,
    Frame,
    FrameReader,
    FrameWriter,
    GoAway,
    Ping,
    ProtocolError,
    RstStream,
    Settings,
    SynReply,
    SynStream,
    WindowUpdate,
)
from nodeagent.streams.spdy.session import (
    RECEIVED_BYTES_MAX,
    WINDOW_BYTES,
    Finished,
    Opened,
    Received,
    Replied,
    Session,
    WasReset,
    WentAway,
)

STREAMS_MAX = 4


class Peer:
    """Writes and reads frames as it likes, towards a session that is the server."""

    def __init__(self) -> None:
        self.session = Session(server=True, streams_max=STREAMS_MAX)
        self._writer = FrameWriter()
        self._reader = FrameReader()

    def tell(self, *what: Frame) -> list[object]:
        return list(self.session.receive(b"".join(self._writer.write(each) for each in what)))

    def hear(self) -> list[Frame]:
        return list(self._reader.feed(self.session.take()))

    def open(self, *ids: int) -> None:
        for each in ids:
            self.tell(SynStream(stream_id=each, headers={}))
            self.session.reply(each)
        self.hear()


def pair() -> tuple[Session, Session]:
    return Session(server=False, streams_max=0), Session(server=True, streams_max=STREAMS_MAX)


def carry(source: Session, sink: Session) -> list[object]:
    return list(sink.receive(source.take()))


def test_a_stream_lives_from_its_opening_to_both_ends() -> None:
    client, server = pair()
    number = client.open({"streamtype": "data"})
    assert carry(client, server) == [Opened(number, {"streamtype": "data"})]
    server.reply(number)
    assert carry(server, client) == [Replied(number)]
    client.send(number, b"ask")
    client.finish(number)
    assert carry(client, server) == [Received(number, b"ask"), Finished(number)]
    assert not client.is_open(number)
    assert server.is_open(number), "half closed"
    server.send(number, b"answer")
    server.finish(number)
    assert carry(server, client) == [Received(number, b"answer"), Finished(number)]
    assert client.idle
    assert server.idle


def test_a_reset_ends_both_directions() -> None:
    client, server = pair()
    number = client.open({})
    carry(client, server)
    server.reset(number)
    assert carry(server, client) == [WasReset(number, CANCEL)]
    assert client.idle
    assert server.idle
    client.reset(number)
    client.finish(number)
    assert client.waiting == 0, "nothing to say of what is gone"


def test_more_streams_than_there_may_be_are_refused() -> None:
    peer = Peer()
    peer.open(1, 3, 5, 7)
    assert peer.tell(SynStream(stream_id=9, headers={})) == []
    assert peer.hear() == [RstStream(stream_id=9, status=REFUSED_STREAM)]
    peer.tell(RstStream(stream_id=1, status=CANCEL))
    assert peer.tell(SynStream(stream_id=11, headers={})) == [Opened(11, {})]


@pytest.mark.parametrize("stream_id", [2, 1, 0])
def test_a_stream_opened_with_a_wrong_id_is_the_end(stream_id: int) -> None:
    peer = Peer()
    peer.open(3)
    with pytest.raises(ProtocolError):
        peer.tell(SynStream(stream_id=stream_id, headers={}))
    assert peer.hear() == [GoAway(last_stream_id=3, status=frames.GOODBYE_PROTOCOL_ERROR)]


def test_data_for_a_stream_that_never_was_is_answered_and_for_one_that_is_gone_is_not() -> None:
    peer = Peer()
    peer.open(1)
    peer.tell(RstStream(stream_id=1, status=CANCEL))
    assert peer.tell(Data(stream_id=1, data=b"late"), Data(stream_id=5, data=b"?")) == []
    assert peer.hear() == [RstStream(stream_id=5, status=INVALID_STREAM)]


def test_after_a_goodbye_no_stream_is_taken_and_those_there_go_on() -> None:
    peer = Peer()
    peer.open(1)
    peer.session.go_away()
    assert peer.hear() == [GoAway(last_stream_id=1)]
    assert peer.tell(SynStream(stream_id=3, headers={})) == []
    assert peer.tell(Data(stream_id=1, data=b"more")) == [Received(1, b"more")]
    assert peer.tell(GoAway(last_stream_id=0)) == [WentAway()]


def test_a_ping_is_answered_and_the_answer_to_ours_is_not() -> None:
    peer = Peer()
    peer.tell(Ping(ping_id=1))
    assert peer.hear() == [Ping(ping_id=1)]
    peer.session.ping()
    (ours,) = peer.hear()
    assert peer.tell(ours) == []
    assert peer.hear() == []


def test_who_keeps_no_windows_is_not_waited_for() -> None:
    """As kubectl and containerd: nothing would ever go on."""
    peer = Peer()
    peer.open(1)
    for _ in range(10):
        assert peer.session.sendable(1) == DATA_BYTES_MAX
        peer.session.send(1, bytes(DATA_BYTES_MAX))
        peer.hear()


def test_a_window_that_is_used_up_holds_back_until_it_grows() -> None:
    peer = Peer()
    peer.tell(Settings(values={INITIAL_WINDOW_SIZE: 10}))
    peer.open(1, 3)
    assert peer.session.sendable(1) == 10
    peer.session.send(1, bytes(10))
    assert (peer.session.sendable(1), peer.session.sendable(3)) == (0, 10)
    assert peer.session.is_open(1), "it waits, it is not closed"
    peer.tell(WindowUpdate(stream_id=1, delta=5))
    assert peer.session.sendable(1) == 5
    peer.tell(Settings(values={INITIAL_WINDOW_SIZE: 12}))
    assert (peer.session.sendable(1), peer.session.sendable(3)) == (7, 12)


def test_the_session_has_a_window_too() -> None:
    peer = Peer()
    peer.tell(Settings(values={INITIAL_WINDOW_SIZE: WINDOW_MAX}))
    peer.open(1, 3)
    for _ in range(WINDOW_BYTES // DATA_BYTES_MAX):
        peer.session.send(1, bytes(DATA_BYTES_MAX))
    assert peer.session.sendable(3) == 0
    peer.tell(WindowUpdate(stream_id=0, delta=3))
    assert peer.session.sendable(3) == 3


@pytest.mark.parametrize("stream_id", [0, 1])
def test_a_window_larger_than_any_is_the_end(stream_id: int) -> None:
    peer = Peer()
    peer.open(1)
    with pytest.raises(ProtocolError, match="larger"):
        peer.tell(WindowUpdate(stream_id=stream_id, delta=WINDOW_MAX))


def test_what_was_consumed_is_granted_again() -> None:
    peer = Peer()
    peer.tell(Settings(values={INITIAL_WINDOW_SIZE: WINDOW_BYTES}))
    peer.open(1)
    peer.tell(Data(stream_id=1, data=bytes(WINDOW_BYTES)))
    peer.session.consumed(1, WINDOW_BYTES // 4)
    assert peer.hear() == []
    peer.session.consumed(1, WINDOW_BYTES // 4)
    half = WINDOW_BYTES // 2
    assert peer.hear() == [WindowUpdate(stream_id=0, delta=half), WindowUpdate(stream_id=1, delta=half)]


def test_who_keeps_no_windows_is_granted_nothing() -> None:
    """It may have closed, and would then lose what it said last."""
    peer = Peer()
    peer.open(1)
    for _ in range(10):
        peer.tell(Data(stream_id=1, data=bytes(WINDOW_BYTES)))
        peer.session.consumed(1, WINDOW_BYTES)
    assert peer.hear() == []


def test_it_is_full_until_something_is_consumed() -> None:
    peer = Peer()
    peer.open(1)
    peer.tell(*(Data(stream_id=1, data=bytes(1024)) for _ in range(RECEIVED_BYTES_MAX // 1024 - 1)))
    assert not peer.session.full
    peer.tell(Data(stream_id=1, data=bytes(1024)))
    assert peer.session.full
    peer.session.consumed(1, 1)
    assert not peer.session.full


def test_data_that_nobody_takes_does_not_fill_it() -> None:
    peer = Peer()
    peer.open(1)
    peer.session.reset(1)
    peer.tell(*(Data(stream_id=1, data=bytes(32768)) for _ in range(20)))
    assert not peer.session.full


IDS = st.integers(0, 12)
ANY_FRAME = st.one_of(
    st.builds(SynStream, stream_id=IDS, headers=st.just({"a": "b"}), finished=st.booleans(), one_way=st.booleans()),
    st.builds(SynReply, stream_id=IDS, headers=st.just({}), finished=st.booleans()),
    st.builds(Data, stream_id=st.integers(1, 12), data=st.binary(max_size=9), finished=st.booleans()),
    st.builds(RstStream, stream_id=IDS, status=st.just(CANCEL)),
    st.builds(Settings, values=st.dictionaries(st.integers(1, 8), st.integers(0, 1 << 31), max_size=2)),
    st.builds(Ping, ping_id=st.integers(0, 9)),
    st.builds(GoAway, last_stream_id=IDS),
    st.builds(WindowUpdate, stream_id=IDS, delta=st.integers(1, WINDOW_MAX)),
)


@given(st.booleans(), st.lists(ANY_FRAME, max_size=40))
def test_a_peer_that_sends_any_frames_gets_no_more_than_it_may(server: bool, what: list[Frame]) -> None:
    """Never anything but a ProtocolError; streams and answers stay within bounds."""
    session, writer = Session(server=server, streams_max=STREAMS_MAX), FrameWriter()
    ours = [] if server else [session.open({}) for _ in range(3)]
    held = 0
    for frame in what:
        try:
            events = session.receive(writer.write(frame))
        except ProtocolError:
            list(FrameReader().feed(session.take()))
            return
        held += sum(len(each.data) for each in events if isinstance(each, Received))
        assert sum(session.knows(each) for each in range(13)) <= STREAMS_MAX + len(ours)
        assert session.full == (held >= RECEIVED_BYTES_MAX)
    assert session.waiting <= 64 * (len(what) + 3)


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_a_peer_that_sends_any_bytes_is_sent_away(chunks: list[bytes]) -> None:
    session = Session(server=True, streams_max=STREAMS_MAX)
    for chunk in chunks:
        try:
            session.receive(chunk)
        except ProtocolError:
            return


class Conversation(RuleBasedStateMachine):
    """A client and a server that keep windows. Every byte arrives once and in order; no window is overrun."""

    def __init__(self) -> None:
        super().__init__()
        self.client, self.server = pair()
        self.streams: list[int] = []
        self.sent: dict[int, bytearray] = {}
        self.arrived: dict[int, bytearray] = {}
        self.unconsumed: dict[int, int] = {}
        self.finished: set[int] = set()
        self.ends: set[int] = set()
        self.number = 0

    @initialize()
    def keep_windows(self) -> None:
        settings = FrameWriter().write(Settings(values={INITIAL_WINDOW_SIZE: WINDOW_BYTES}))
        self.client.receive(settings)
        self.server.receive(settings)

    def carry(self) -> None:
        for event in self.server.receive(self.client.take()):
            if isinstance(event, Opened):
                self.server.reply(event.stream_id)
            elif isinstance(event, Received):
                self.arrived[event.stream_id] += event.data
                self.unconsumed[event.stream_id] += len(event.data)
            elif isinstance(event, Finished):
                assert event.stream_id not in self.ends
                self.ends.add(event.stream_id)
        self.client.receive(self.server.take())

    @precondition(lambda self: len(self.streams) < STREAMS_MAX)
    @rule()
    def open(self) -> None:
        stream_id = self.client.open({"number": str(len(self.streams))})
        self.streams.append(stream_id)
        self.sent[stream_id], self.arrived[stream_id] = bytearray(), bytearray()
        self.unconsumed[stream_id] = 0
        self.carry()

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), size=st.integers(1, DATA_BYTES_MAX))
    def send(self, data: st.DataObject, size: int) -> None:
        stream_id = data.draw(st.sampled_from(self.streams))
        size = min(size, self.client.sendable(stream_id))
        if size and stream_id not in self.finished:
            self.number = (self.number + 1) % 256
            self.client.send(stream_id, bytes([self.number]) * size)
            self.sent[stream_id] += bytes([self.number]) * size
            self.carry()

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        stream_id = data.draw(st.sampled_from(self.streams))
        self.client.finish(stream_id)
        self.finished.add(stream_id)
        self.carry()

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def consume(self, data: st.DataObject) -> None:
        stream_id = data.draw(st.sampled_from(self.streams))
        count = data.draw(st.integers(0, self.unconsumed[stream_id]))
        self.server.consumed(stream_id, count)
        self.unconsumed[stream_id] -= count
        self.carry()

    @invariant()
    def all_has_arrived(self) -> None:
        assert self.arrived == self.sent
        assert self.ends == self.finished

    @invariant()
    def windows_bound_what_is_held(self) -> None:
        assert all(each <= WINDOW_BYTES for each in self.unconsumed.values())
        assert sum(self.unconsumed.values()) <= WINDOW_BYTES


TestConversation = Conversation.TestCase
