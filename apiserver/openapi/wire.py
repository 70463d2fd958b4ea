"""Encodes an OpenAPI v2 document as protobuf: `openapi.v2.Document` of gnostic, which kubectl asks for.

Each message is a table from a JSON key to its field number and how the value is written (field numbers from gnostic's
public OpenAPIv2.proto). Only what our documents contain has a row; a key without one is a KeyError in a test, not a
gap in silence.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Write = Callable[[Any], bytes]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field: text or a message."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def text(value: str) -> bytes:
    return value.encode()


def _any(value: Any) -> bytes:
    """`Any.yaml`: JSON is YAML."""
    return _field(2, msgspec.json.encode(value))


def _named(name: str, payload: bytes) -> bytes:
    return _field(1, name.encode()) + _field(2, payload)


class Message:
    """`extensions` is the number of the field for keys that begin with `x-`; 0: there are none."""

    def __init__(self, extensions: int = 0) -> None:
        self._extensions = extensions
        self._rows: dict[str, Callable[[Any], bytes]] = {}

    def one(self, key: str, number: int, write: Write) -> Message:
        self._rows[key] = lambda value: _field(number, write(value))
        return self

    def many(self, key: str, number: int, write: Write) -> Message:
        self._rows[key] = lambda values: b"".join(_field(number, write(value)) for value in values)
        return self

    def boolean(self, key: str, number: int) -> Message:
        self._rows[key] = lambda value: _varint(number << 3) + _varint(1) if value else b""
        return self

    def integer(self, key: str, number: int) -> Message:
        self._rows[key] = lambda value: _varint(number << 3) + _varint(value)
        return self

    def double(self, key: str, number: int) -> Message:
        """Zero is not sent: proto3 cannot tell it from absence."""
        self._rows[key] = lambda value: _varint(number << 3 | 1) + struct.pack("<d", value) if value else b""
        return self

    def encode(self, value: Mapping[str, Any]) -> bytes:
        parts = []
        for key, each in value.items():
            if key.startswith("x-") and self._extensions:
                parts.append(_field(self._extensions, _named(key, _any(each))))
            else:
                parts.append(self._rows[key](each))
        return b"".join(parts)


def _map(write: Write, *, number: int = 1) -> Write:
    """A map as a repeated field of (name, value) messages."""

    def encode(value: Mapping[str, Any]) -> bytes:
        return b"".join(_field(number, _named(key, write(each))) for key, each in value.items())

    return encode


def _type_item(value: str) -> bytes:
    return _field(1, value.encode())


def _schema_in(number: int) -> Write:
    """A message whose only field is a schema: ItemsItem, AdditionalPropertiesItem, SchemaItem."""
    return lambda value: _field(number, SCHEMA.encode(value))


SCHEMA = Message(extensions=31)
(
    SCHEMA.one("$ref", 1, text)
    .one("format", 2, text)
    .one("description", 4, text)
    .many("required", 19, text)
    .many("enum", 20, _any)
    .one("additionalProperties", 21, _schema_in(1))
    .one("type", 22, _type_item)
    .one("items", 23, _schema_in(1))
    .one("properties", 25, _map(SCHEMA.encode))
)


def _parameter_message(first: int) -> Message:
    """PathParameterSubSchema; QueryParameterSubSchema has one field more before `type`, so `first` is one higher."""
    return (
        Message(extensions=first + 17)
        .boolean("required", 1)
        .one("in", 2, text)
        .one("description", 3, text)
        .one("name", 4, text)
        .one("type", first, text)
        .one("format", first + 1, text)
        .double("minimum", first + 7)
        .integer("maxLength", first + 9)
        .boolean("uniqueItems", first + 14)
        .many("enum", first + 15, _any)
    )


PATH_PARAMETER = _parameter_message(5)
QUERY_PARAMETER = _parameter_message(6)
BODY_PARAMETER = (
    Message(extensions=6)
    .one("description", 1, text)
    .one("name", 2, text)
    .one("in", 3, text)
    .boolean("required", 4)
    .one("schema", 5, SCHEMA.encode)
)
RESPONSE = Message(extensions=5).one("description", 1, text).one("schema", 2, _schema_in(1))
INFO = Message(extensions=7).one("title", 1, text).one("version", 2, text)


def _parameter(value: Mapping[str, Any]) -> bytes:
    """ParametersItem.parameter."""
    if value["in"] == "body":
        return _field(1, _field(1, BODY_PARAMETER.encode(value)))
    number, message = (3, QUERY_PARAMETER) if value["in"] == "query" else (4, PATH_PARAMETER)
    return _field(1, _field(2, _field(number, message.encode(value))))


class _Parameters:
    """Parameters are shared between operations: each is encoded once per document."""

    def __init__(self) -> None:
        self._encoded: dict[int, bytes] = {}

    def encode(self, value: Mapping[str, Any]) -> bytes:
        if value["in"] == "body":
            return _parameter(value)
        found = self._encoded.get(id(value))
        if found is None:
            found = self._encoded[id(value)] = _parameter(value)
        return found


def _response(value: Mapping[str, Any]) -> bytes:
    """ResponseValue.response."""
    return _field(1, RESPONSE.encode(value))


def encode(document: Mapping[str, Any]) -> bytes:
    """The bytes of `openapi.v2.Document`. The document must stay as it is meanwhile."""
    operation = (
        Message(extensions=13)
        .many("tags", 1, text)
        .one("description", 3, text)
        .one("operationId", 5, text)
        .many("produces", 6, text)
        .many("consumes", 7, text)
        .many("parameters", 8, _Parameters().encode)
        .one("responses", 9, _map(_response))
        .many("schemes", 10, text)
    )
    path = Message(extensions=10)
    for method, number in (("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)):
        path.one(method, number, operation.encode)
    return (
        Message(extensions=16)
        .one("swagger", 1, text)
        .one("info", 2, INFO.encode)
        .one("paths", 8, _map(path.encode, number=2))
        .one("definitions", 9, _map(SCHEMA.encode))
        .encode(document)
    )
