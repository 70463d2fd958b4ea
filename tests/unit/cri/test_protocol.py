"""Our description of the CRI and of containerd's own services says what the installed containerd says of itself."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)
from google.protobuf.message import DecodeError

from nodeagent.runtime.gen import (
    content_pb2,
    cri_pb2,
    descriptor_pb2,
    events_pb2,
    image_pb2,
    leases_pb2,
    snapshots_pb2,
    task_pb2,
    tasks_service_pb2,
)

CONTAINERD = shutil.which("containerd")
GZIP = b"\x1f\x8b\x08"
DESCRIPTOR_BYTES_MAX = 1 << 20
OURS = (
    content_pb2,
    cri_pb2,
    descriptor_pb2,
    events_pb2,
    image_pb2,
    leases_pb2,
    snapshots_pb2,
    task_pb2,
    tasks_service_pb2,
)

pytestmark = pytest.mark.skipif(CONTAINERD is None, reason="containerd is not installed")


@cache
def embedded() -> dict[str, list[FileDescriptorProto]]:
    """The descriptors in the binary, by package."""
    assert CONTAINERD is not None
    found: dict[str, list[FileDescriptorProto]] = {}
    for content in unpacked(Path(CONTAINERD).read_bytes()):
        file = FileDescriptorProto()
        try:
            file.ParseFromString(content)
        except DecodeError:
            continue
        found.setdefault(file.package, []).append(file)
    return found


def unpacked(program: bytes) -> Iterator[bytes]:
    start = program.find(GZIP)
    while start >= 0:
        try:
            content = zlib.decompressobj(31).decompress(program[start : start + DESCRIPTOR_BYTES_MAX])
        except zlib.error:
            content = b""
        if content.startswith(b"\n") and b".proto" in content[:200]:
            yield content
        start = program.find(GZIP, start + 1)


def ours(module: object) -> FileDescriptorProto:
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)  # type: ignore[attr-defined]
    return file


def shape(field: FieldDescriptorProto) -> tuple[object, ...]:
    return field.name, field.type, field.label, field.type_name


def check_message(mine: DescriptorProto, theirs: DescriptorProto, where: str) -> None:
    numbers = {field.number: field for field in theirs.field}
    for field in mine.field:
        assert field.number in numbers, f"{where}.{field.name}"
        assert shape(field) == shape(numbers[field.number]), f"{where}.{field.name}"
    nested = {each.name: each for each in theirs.nested_type}
    for each in mine.nested_type:
        check_message(each, nested[each.name], f"{where}.{each.name}")
    check_enums(mine.enum_type, theirs.enum_type)


def check_enums(mine: object, theirs: object) -> None:
    def values(enum: EnumDescriptorProto) -> list[tuple[str, int]]:
        return [(value.name, value.number) for value in enum.value]

    known = {each.name: values(each) for each in theirs}  # type: ignore[attr-defined]
    for each in mine:  # type: ignore[attr-defined]
        assert set(values(each)) <= set(known[each.name]), each.name


def check_service(mine: ServiceDescriptorProto, theirs: ServiceDescriptorProto) -> None:
    known = {each.name: each for each in theirs.method}
    for method in mine.method:
        other = known[method.name]
        assert (method.input_type, method.output_type) == (other.input_type, other.output_type)
        assert (method.client_streaming, method.server_streaming) == (other.client_streaming, other.server_streaming)


@pytest.mark.parametrize("module", OURS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_names_and_numbers_are_those_of_containerd(module: object) -> None:
    mine = ours(module)
    theirs = FileDescriptorProto()
    for file in embedded()[mine.package]:
        theirs.MergeFrom(file)
    messages = {each.name: each for each in theirs.message_type}
    for message in mine.message_type:
        check_message(message, messages[message.name], message.name)
    check_enums(mine.enum_type, theirs.enum_type)
    services = {each.name: each for each in theirs.service}
    for service in mine.service:
        check_service(service, services[service.name])
