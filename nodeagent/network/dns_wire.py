"""DNS messages as bytes (RFC 1035, 2782, 6891): queries in, answers out, and what a forwarder must know of others'.

Pure. What comes from the network is read within bounds: no name is followed through pointers further back than it can
be, and whatever is wrong is a FormatError, never another exception. Names are labels as bytes, in the case they came.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

Name = tuple[bytes, ...]

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, AXFR, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 252, 255
IN = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NO_SUCH_NAME, NOT_IMPLEMENTED, REFUSED, BAD_VERSION = 0, 1, 2, 3, 4, 5, 16

PLAIN_MAX = 512  # of an answer over UDP to who has no EDNS
UDP_MAX = 1232  # of ours: what passes everywhere in one piece
TCP_MAX = 65_535
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_NAME_MAX = 255
_POINTER = 0xC0
_RECORDS_MAX = 1_000
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_WANTED, _RECURSION_THERE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_CHECKING_DISABLED = 0x0010
_DNSSEC_OK = 0x8000


class FormatError(Exception):
    """`rcode`: what the sender is to be told; None when he is to be told nothing."""

    def __init__(self, message: str, *, rcode: int | None = FORMAT_ERROR) -> None:
        super().__init__(message)
        self.rcode = rcode


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """`size_max`: of an answer over UDP. `question`: as it came."""

    id: int
    name: Name
    type: int
    class_: int
    question: bytes
    recursion: bool = True
    checking_disabled: bool = False
    edns: bool = False
    dnssec: bool = False
    size_max: int = PLAIN_MAX


class ServiceData(NamedTuple):
    """Of SRV."""

    priority: int
    weight: int
    port: int
    target: Name


class StartData(NamedTuple):
    """Of SOA; seconds."""

    server: Name
    mailbox: Name
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


class Record(NamedTuple):
    """`data`: a name for CNAME, PTR and NS; bytes are taken as they are."""

    name: Name
    type: int
    ttl_s: int
    data: bytes | Name | ServiceData | StartData


def lower(name: Name) -> Name:
    return tuple(label.lower() for label in name)


def name_of(text: str) -> Name:
    """Of a text without escapes. Raises FormatError for what is no name."""
    labels = tuple(label.encode() for label in text.strip(".").split(".")) if text.strip(".") else ()
    if any(not 0 < len(label) < 64 for label in labels) or _length(labels) > _NAME_MAX:
        raise FormatError("not a name")
    return labels


# --- queries ----------------------------------------------------------------------------------------------------


def decode_query(data: bytes) -> Query:
    """Raises FormatError."""
    if len(data) < _HEADER.size:
        raise FormatError("shorter than a header", rcode=None)
    id_, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        raise FormatError("not a query", rcode=None)
    if flags & 0x7800:
        raise FormatError("another operation", rcode=NOT_IMPLEMENTED)
    if questions != 1 or answers or authorities or additionals > 2:
        raise FormatError("not one question")
    name, offset = _plain_name(data, _HEADER.size)
    if offset + 4 > len(data):
        raise FormatError("the question is cut off")
    type_, class_ = struct.unpack_from("!HH", data, offset)
    question, offset = data[_HEADER.size : offset + 4], offset + 4
    query = Query(
        id=id_,
        name=name,
        type=type_,
        class_=class_,
        question=question,
        recursion=bool(flags & _RECURSION_WANTED),
        checking_disabled=bool(flags & _CHECKING_DISABLED),
    )
    for _ in range(additionals):
        record = _read_record(data, offset)
        offset = record.end
        if record.type == OPT:
            query = _with_edns(query, record)
    return query


def _with_edns(query: Query, record: RecordPlace) -> Query:
    if query.edns:
        raise FormatError("EDNS twice")
    if record.ttl >> 16 & 0xFF:
        raise FormatError("another version of EDNS", rcode=BAD_VERSION)
    size = min(max(record.class_, PLAIN_MAX), UDP_MAX)
    return msgspec.structs.replace(query, edns=True, dnssec=bool(record.ttl & _DNSSEC_OK), size_max=size)


def id_of(data: bytes) -> int:
    """Of a message that may be no query otherwise."""
    return int.from_bytes(data[:2], "big")


def encode_query(query: Query, id_: int) -> bytes:
    """The question as it came, to be asked elsewhere under an id of ours."""
    flags = _RECURSION_WANTED | (_CHECKING_DISABLED if query.checking_disabled else 0)
    header = _HEADER.pack(id_, flags, 1, 0, 0, 1 if query.edns else 0)
    return header + query.question + (_edns(dnssec=query.dnssec) if query.edns else b"")


# --- answers ----------------------------------------------------------------------------------------------------


def encode_answer(
    query: Query,
    *,
    size_max: int,
    rcode: int = NO_ERROR,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    authoritative: bool = False,
) -> bytes:
    """What does not fit is left out: additional records first, then, said to be truncated, others."""
    edns = _edns(dnssec=query.dnssec, rcode=rcode) if query.edns else b""
    message = bytearray(_HEADER.size) + query.question
    room = size_max - len(edns)
    places: dict[Name, int] = {}
    _note(places, lower(query.name), _HEADER.size)
    counts, truncated = [0, 0, 0], False
    for section, records in enumerate((answers, authority, additional)):
        for record in records:
            encoded = _encode_record(record, len(message), places) if not truncated else b""
            if truncated or len(message) + len(encoded) > room:
                truncated = truncated or section < 2
                break
            message += encoded
            counts[section] += 1
    flags = _RESPONSE | _RECURSION_THERE | (rcode & 0xF)
    flags |= _RECURSION_WANTED if query.recursion else 0
    flags |= _CHECKING_DISABLED if query.checking_disabled else 0
    flags |= _AUTHORITATIVE if authoritative else 0
    flags |= _TRUNCATED if truncated else 0
    if edns:
        counts[2] += 1
    message[: _HEADER.size] = _HEADER.pack(query.id, flags, 1, *counts)
    return bytes(message + edns)


def encode_failure(id_: int, rcode: int) -> bytes:
    """To who sent no question that can be repeated."""
    edns = _edns(rcode=rcode) if rcode > 0xF else b""
    return _HEADER.pack(id_, _RESPONSE | (rcode & 0xF), 0, 0, 0, 1 if edns else 0) + edns


def _edns(*, dnssec: bool = False, rcode: int = 0) -> bytes:
    return b"\0" + _RECORD.pack(OPT, UDP_MAX, rcode >> 4 << 24 | (_DNSSEC_OK if dnssec else 0), 0)


def _encode_record(record: Record, offset: int, places: dict[Name, int]) -> bytes:
    """`places` is told of new names only where they will be, should the record fit; one that does not is the last."""
    owner = _encode_name(record.name, offset, places)
    data = _encode_data(record.data, offset + len(owner) + _RECORD.size, places)
    return owner + _RECORD.pack(record.type, IN, record.ttl_s, len(data)) + data


def _encode_data(data: bytes | Name | ServiceData | StartData, offset: int, places: dict[Name, int]) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, ServiceData):  # no pointers in it: RFC 2782
        return struct.pack("!HHH", data.priority, data.weight, data.port) + _encode_name(data.target, offset, None)
    if isinstance(data, StartData):
        server = _encode_name(data.server, offset, places)
        mailbox = _encode_name(data.mailbox, offset + len(server), places)
        return server + mailbox + struct.pack("!IIIII", *data[2:])
    return _encode_name(data, offset, places)


def _encode_name(name: Name, offset: int, places: dict[Name, int] | None) -> bytes:
    """`places`: where names are already, by their lower case; None: write it out."""
    encoded, key = bytearray(), lower(name)
    for number, label in enumerate(name):
        known = None if places is None else places.get(key[number:])
        if known is not None:
            encoded += struct.pack("!H", _POINTER << 8 | known)
            break
        encoded += bytes([len(label)]) + label
    else:
        encoded += b"\0"
    if places is not None:
        _note(places, key, offset)
    return bytes(encoded)


def _note(places: dict[Name, int], key: Name, offset: int) -> None:
    for number, label in enumerate(key):
        if key[number:] in places:
            return
        if offset < 0x4000:
            places[key[number:]] = offset
        offset += 1 + len(label)


def _length(name: Iterable[bytes]) -> int:
    return sum(len(label) + 1 for label in name) + 1


# --- others' answers --------------------------------------------------------------------------------------------


class RecordPlace(NamedTuple):
    """Where one is in a message; `ttl_at` and `end` are offsets."""

    type: int
    class_: int
    ttl: int
    ttl_at: int
    data: bytes
    end: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a forwarder must know of a message. `ttl_s`: how long it holds; None when it is not to be kept."""

    rcode: int
    truncated: bool
    answers: int
    ttl_s: int | None
    ttl_places: tuple[tuple[int, int], ...]  # offset and seconds of each


def decode_answer(data: bytes, asked: bytes) -> Answer:
    """`asked`: our question to it, header included. Raises FormatError for what is no answer to that."""
    if len(data) < _HEADER.size:
        raise FormatError("shorter than a header", rcode=None)
    id_, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    _, end = _plain_name(asked, _HEADER.size)
    question = asked[_HEADER.size : end + 4]
    same = data[_HEADER.size : end + 4].lower() == question.lower()
    if id_ != id_of(asked) or not flags & _RESPONSE or flags & 0x7800 or questions != 1 or not same:
        raise FormatError("an answer to another question", rcode=None)
    if answers + authorities + additionals > _RECORDS_MAX:
        raise FormatError("too many records")
    offset, places, start, shortest = end + 4, [], None, 0xFFFF_FFFF
    for number in range(answers + authorities + additionals):
        record = _read_record(data, offset)
        offset = record.end
        if record.type == OPT:
            continue
        places.append((record.ttl_at, record.ttl))
        if record.type == SOA and answers <= number < answers + authorities:
            start = min(record.ttl, int.from_bytes(record.data[-4:], "big"))
        elif number < answers:
            shortest = min(shortest, record.ttl)
    rcode, truncated = flags & 0xF, bool(flags & _TRUNCATED)
    ttl_s = shortest if rcode == NO_ERROR and answers else start
    if truncated or rcode not in (NO_ERROR, NO_SUCH_NAME):
        ttl_s = None
    return Answer(rcode=rcode, truncated=truncated, answers=answers, ttl_s=ttl_s, ttl_places=tuple(places))


def with_times(data: bytes, answer: Answer, query: Query, *, age_s: int) -> bytes:
    """The message for another one who asks the same, later."""
    message = bytearray(data)
    message[:2] = query.id.to_bytes(2, "big")
    message[_HEADER.size : _HEADER.size + len(query.question)] = query.question
    for offset, ttl in answer.ttl_places:
        message[offset : offset + 4] = max(0, ttl - age_s).to_bytes(4, "big")
    return bytes(message)


def answer_records(data: bytes) -> list[Record]:
    """The addresses and names among the answers, which are whole in themselves. Raises FormatError."""
    _, _, questions, answers, _, _ = _HEADER.unpack_from(data)
    offset, found = _HEADER.size, []
    for _ in range(questions):
        offset = _skip_name(data, offset) + 4
    for _ in range(min(answers, _RECORDS_MAX)):
        name = read_name(data, offset)
        record = _read_record(data, offset)
        offset = record.end
        if record.type in (A, AAAA):
            found.append(Record(name, record.type, record.ttl, record.data))
        elif record.type == CNAME:
            found.append(Record(name, CNAME, record.ttl, read_name(data, offset - len(record.data))))
    return found


def read_name(data: bytes, offset: int) -> Name:
    """One that may have pointers, each further back than the last. Raises FormatError."""
    labels: list[bytes] = []
    limit, total = offset + 1, 1
    while True:
        if offset >= len(data):
            raise FormatError("a name is cut off")
        length = data[offset]
        if length == 0:
            return tuple(labels)
        if length >= _POINTER:
            target = int.from_bytes(data[offset : offset + 2], "big") & 0x3FFF
            if offset + 2 > len(data) or target >= limit - 1:
                raise FormatError("a pointer forward")
            offset, limit = target, target + 1
            continue
        if length > 63 or offset + 1 + length > len(data):
            raise FormatError("a label is cut off")
        labels.append(data[offset + 1 : offset + 1 + length])
        total += length + 1
        offset += length + 1
        if total > _NAME_MAX:
            raise FormatError("a name is too long")


def _plain_name(data: bytes, offset: int) -> tuple[Name, int]:
    """One without pointers, and where it ends."""
    labels: list[bytes] = []
    start = offset
    while True:
        if offset >= len(data):
            raise FormatError("a name is cut off")
        length = data[offset]
        if length == 0:
            return tuple(labels), offset + 1
        if length > 63 or offset + 1 + length > len(data) or offset + 2 + length - start > _NAME_MAX:
            raise FormatError("a name is too long, or no name")
        labels.append(data[offset + 1 : offset + 1 + length])
        offset += length + 1


def _skip_name(data: bytes, offset: int) -> int:
    while offset < len(data):
        length = data[offset]
        if length == 0:
            return offset + 1
        if length >= _POINTER:
            return offset + 2
        offset += length + 1
    raise FormatError("a name is cut off")


def _read_record(data: bytes, offset: int) -> RecordPlace:
    offset = _skip_name(data, offset)
    if offset + _RECORD.size > len(data):
        raise FormatError("a record is cut off")
    type_, class_, ttl, length = _RECORD.unpack_from(data, offset)
    start = offset + _RECORD.size
    if start + length > len(data):
        raise FormatError("a record is cut off")
    return RecordPlace(type_, class_, ttl, offset + 4, data[start : start + length], start + length)
