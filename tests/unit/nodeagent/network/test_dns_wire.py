"""Bytes of the DNS: read within bounds, written within the size that was asked for."""

from __future__ import annotations

import pytest
from dns_messages import heard, question
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.network import dns_wire as wire
from nodeagent.network.dns_wire import FormatError, Record, ServiceData


def test_a_question_is_read_as_it_was_asked() -> None:
    query = wire.decode_query(question("Web.default", wire.SRV, id_=77, size_max=4096))
    assert (query.id, query.name, query.type, query.recursion) == (77, (b"Web", b"default"), wire.SRV, True)
    assert (query.edns, query.size_max) == (True, wire.UDP_MAX)
    assert wire.decode_query(question("web")).size_max == wire.PLAIN_MAX
    assert wire.decode_query(question("web", size_max=0)).size_max == wire.PLAIN_MAX


@pytest.mark.parametrize(
    ("message", "rcode"),
    [
        (b"", None),
        (b"\0\1\x80" + b"\0" * 20, None),  # an answer: two that answer each other's answers never end
        (b"\0\1\x28\0" + b"\0" * 8, wire.NOT_IMPLEMENTED),
        (b"\0\1\1\0" + b"\0" * 8, wire.FORMAT_ERROR),
        (question("a")[:4] + b"\0\2" + question("a")[6:], wire.FORMAT_ERROR),
        (question("a")[:-1], wire.FORMAT_ERROR),
        (question("a")[:12] + b"\xc0\x0c\0\1\0\1", wire.FORMAT_ERROR),  # a pointer to itself
        (question("a", size_max=512)[:-3] + b"\0\0\1", wire.FORMAT_ERROR),
        (question("a")[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", wire.FORMAT_ERROR),
    ],
)
def test_what_is_no_question_is_one_error(message: bytes, rcode: int | None) -> None:
    with pytest.raises(FormatError) as caught:
        wire.decode_query(message)
    assert caught.value.rcode == rcode


def test_another_version_of_edns_is_told_so() -> None:
    message = bytearray(question("a", size_max=512))
    message[-5] = 1
    with pytest.raises(FormatError) as caught:
        wire.decode_query(bytes(message))
    assert caught.value.rcode == wire.BAD_VERSION
    failure = wire.encode_failure(9, wire.BAD_VERSION)
    assert (failure[3] & 0xF, failure[-6]) == (0, 1)  # the upper bits are in EDNS


@given(st.binary(max_size=600))
def test_no_bytes_are_another_error(data: bytes) -> None:
    asked = question("example.org", id_=int.from_bytes(data[:2].ljust(2, b"\0"), "big"))
    for attempt in (data, asked[:12] + data, asked + data, asked[:2] + b"\x81\x80\0\1\0\5\0\2\0\1" + asked[12:] + data):
        for read in (wire.decode_query, lambda message: wire.decode_answer(message, asked)):
            try:
                read(attempt)
            except FormatError:
                continue
    with_header = asked[:2] + b"\x81\x80\0\1\0\5\0\0\0\0" + asked[12:] + data
    try:
        wire.answer_records(with_header)
    except FormatError:
        return


labels = st.binary(min_size=1, max_size=20).filter(lambda label: b"." not in label)
names = st.lists(labels, min_size=1, max_size=6).map(tuple)
records = st.lists(
    st.builds(
        Record,
        names,
        st.just(wire.CNAME),
        st.integers(min_value=0, max_value=2**31),
        names,
    ),
    max_size=30,
)


@given(records, st.integers(min_value=512, max_value=4096))
def test_names_survive_compression_and_the_size_holds(given_: list[Record], size_max: int) -> None:
    query = wire.decode_query(question("a.b.example.org", wire.CNAME))
    message = wire.encode_answer(query, size_max=size_max, answers=given_)
    assert len(message) <= size_max
    back = wire.answer_records(message)
    assert [wire.lower(each.name) for each in back] == [wire.lower(each.name) for each in given_[: len(back)]]
    assert [wire.lower(each.data) for each in back] == [wire.lower(each.data) for each in given_[: len(back)]]  # type: ignore[arg-type]
    assert bool(message[2] & 0x02) == (len(back) < len(given_))
    answer = wire.decode_answer(message, wire.encode_query(query, query.id))
    assert answer.answers == len(back)


def test_additional_records_are_left_out_without_a_word() -> None:
    query = wire.decode_query(question("a"))
    extra = [Record((bytes([65 + number]) * 60,), wire.A, 5, b"\1\2\3\4") for number in range(20)]
    told = heard(wire.encode_answer(query, size_max=512, answers=extra[:1], additional=extra))
    assert not told.truncated
    assert len(told.answers) == 1
    assert 0 < len(told.additional) < 20


def test_targets_of_services_are_written_out() -> None:
    query = wire.decode_query(question("a.b"))
    message = wire.encode_answer(
        query, size_max=512, answers=[Record(query.name, wire.SRV, 5, ServiceData(0, 100, 80, (b"a", b"b")))]
    )
    assert message.endswith(b"\0\0\0\x64\0\x50\1a\1b\0")


def test_an_answer_counts_only_for_its_own_question() -> None:
    asked = question("a", id_=5)
    right = wire.encode_answer(wire.decode_query(asked), size_max=512)
    wire.decode_answer(right, asked)
    wrong = [
        b"\0\6" + right[2:],
        asked,
        wire.encode_answer(wire.decode_query(question("b", id_=5)), size_max=512),
        wire.encode_answer(wire.decode_query(question("a", wire.SRV, id_=5)), size_max=512),
    ]
    for each in wrong:
        with pytest.raises(FormatError):
            wire.decode_answer(each, asked)


def test_pointers_that_lead_forward_or_round_are_refused() -> None:
    for data in (b"\xc0\x00", b"\x01a\xc0\x00", b"\xc0\x02\xc0\x00", b"\xc0"):
        with pytest.raises(FormatError):
            wire.read_name(data, 0)
    assert wire.read_name(b"\x01a\x00\x01b\xc0\x00", 3) == (b"b", b"a")
