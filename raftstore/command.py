"""What a log entry says: a batch of commands, each under its session's sequence number.

An entry's bytes are `kind, format version, body`. The kind byte is the core's own command type, so that
the core hands our entries through untouched: 0x01 is its no-op, everything of ours is 0x10 and up (0x00,
0x02 and 0x03 would reach the core's pickle and are refused by the guard before they get there).

A batch holds requests of several origins. `(session, sequence)` names one request for ever: the state
machine applies it at most once. `lowest` says that the origin still waits for no sequence below it, so
the replicated session table may forget those.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import UnknownFormat
from .model import Alarm, Delete, Put, Txn

KIND_NOOP = 0x01
KIND_BATCH = 0x10
KIND_CONFIGURATION = 0x11
KINDS = frozenset({KIND_NOOP, KIND_BATCH, KIND_CONFIGURATION})

FORMAT_VERSION = 1


class RegisterSession(msgspec.Struct, frozen=True, array_like=True, tag="sr"):
    """Make `session` (a random 63-bit number, never used again once forgotten) known to the table."""

    session: int


class GrantLease(msgspec.Struct, frozen=True, array_like=True, tag="lg"):
    """`id` is never 0 here: the origin draws one when the caller gave none."""

    id: int
    ttl: int


class RevokeLease(msgspec.Struct, frozen=True, array_like=True, tag="lr"):
    """Delete the lease and all its keys in one revision. `expired` marks the leader's own revokes."""

    id: int
    expired: bool = False


class Compact(msgspec.Struct, frozen=True, array_like=True, tag="co"):
    """Raise the compacted revision; the pages are freed later, in steps, by each replica for itself."""

    revision: int


class SetAlarm(msgspec.Struct, frozen=True, array_like=True, tag="al"):
    alarm: Alarm
    raised: bool


Command = Put | Delete | Txn | RegisterSession | GrantLease | RevokeLease | Compact | SetAlarm

#: Kinds every version knows. A kind that is not here is proposed only when all members announce it.
COMMAND_TAGS_V1 = frozenset({"p", "d", "t", "sr", "lg", "lr", "co", "al"})


class Request(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One command of one origin."""

    session: int
    sequence: int
    lowest: int
    command: Command


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Request])
_request_decoder = msgspec.msgpack.Decoder(Request)
_BATCH_PREFIX = bytes((KIND_BATCH, FORMAT_VERSION))


def encode_request(request: Request) -> bytes:
    """One request as it stands in a batch; what forwarding sends and a leader joins."""
    return _encoder.encode(request)


def encode_command(command: Command) -> bytes:
    """A command alone: what is measured and kept until the request has its name."""
    return _encoder.encode(command)


def name_request(session: int, sequence: int, lowest: int, command: bytes) -> bytes:
    """The same bytes as `encode_request`, from a command that is encoded already."""
    return _encoder.encode((session, sequence, lowest, msgspec.Raw(command)))


def is_request(encoded: object) -> bool:
    """Whether bytes from a peer are one well-formed request of this version."""
    if not isinstance(encoded, bytes):
        return False
    try:
        _request_decoder.decode(encoded)
    except msgspec.DecodeError:  # validation errors are DecodeErrors too
        return False
    return True


def join_batch(requests: list[bytes]) -> bytes:
    """An entry from encoded requests, without decoding any of them."""
    count = len(requests)
    if count < 16:
        header = bytes((0x90 | count,))
    elif count < 1 << 16:
        header = b"\xdc" + count.to_bytes(2, "big")
    else:
        header = b"\xdd" + count.to_bytes(4, "big")
    return b"".join((_BATCH_PREFIX, header, *requests))


def decode_batch(entry: bytes) -> list[Request]:
    """The requests of a batch entry.

    Raises UnknownFormat when the version is not ours. A body that does not decode cannot come from a
    member of this version: the caller stops the replica rather than guess (msgspec.DecodeError).
    """
    if entry[1] != FORMAT_VERSION:
        raise UnknownFormat(
            f"log entry of format {entry[1]}, this version reads {FORMAT_VERSION}: upgrade this replica first"
        )
    return _decoder.decode(memoryview(entry)[2:])


def tag_of(command: Command) -> str:
    """The kind of a command as members announce it."""
    tag: Any = type(command).__struct_config__.tag
    return str(tag)
