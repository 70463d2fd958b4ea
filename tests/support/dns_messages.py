"""DNS questions as a client sends them, and answers read back, record by record."""

from __future__ import annotations

import struct
from typing import NamedTuple

from nodeagent.network import dns_wire as wire


class Heard(NamedTuple):
    """Records as (type, text)."""

    rcode: int
    truncated: bool
    answers: list[tuple[int, str]]
    authority: list[tuple[int, str]]
    additional: list[tuple[int, str]]


def question(
    name: str, type_: int = wire.A, *, id_: int = 7, size_max: int | None = None, class_: int = wire.IN
) -> bytes:
    labels = wire.name_of(name)
    encoded = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    opt = b"" if size_max is None else b"\0" + struct.pack("!HHIH", wire.OPT, size_max, 0, 0)
    header = struct.pack("!HHHHHH", id_, 0x0100, 1, 0, 0, 1 if opt else 0)
    return header + encoded + struct.pack("!HH", type_, class_) + opt


def heard(message: bytes) -> Heard:
    _, flags, questions, *counts = struct.unpack_from("!HHHHHH", message)
    offset = 12
    for _ in range(questions):
        while message[offset]:
            offset += message[offset] + 1
        offset += 5
    sections: list[list[tuple[int, str]]] = []
    for count in counts:
        records = []
        for _ in range(count):
            while message[offset] and message[offset] < 0xC0:
                offset += message[offset] + 1
            offset += 2 if message[offset] else 1
            type_, _, _, length = struct.unpack_from("!HHIH", message, offset)
            offset += 10
            records.append((type_, _text(message, type_, offset, length)))
            offset += length
        sections.append(records)
    assert offset == len(message)
    return Heard(flags & 0xF, bool(flags & 0x0200), *sections)


def _text(message: bytes, type_: int, offset: int, length: int) -> str:
    data = message[offset : offset + length]
    if type_ == wire.A:
        return ".".join(map(str, data))
    if type_ in (wire.CNAME, wire.PTR, wire.NS):
        return dotted(wire.read_name(message, offset))
    if type_ == wire.SRV:
        priority, weight, port = struct.unpack_from("!HHH", data)
        return f"{priority} {weight} {port} {dotted(wire.read_name(message, offset + 6))}"
    return data.hex()


def dotted(name: wire.Name) -> str:
    return ".".join(label.decode() for label in name)
