"""Reads the protobuf form of an OpenAPI v2 document back, with the protobuf library and gnostic's messages.

The messages are declared here apart from those of the server, so that a wrong field number on one side shows.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

_SCALARS = {"string": 9, "bool": 8, "double": 1, "int64": 3}
_SUB_SCHEMA = "type:string format:string items:Any collectionFormat:string default:Any maximum:double"
_LIMITS = (
    "exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int64 minLength:int64 pattern:string "
    "maxItems:int64 minItems:int64 uniqueItems:bool enum:Any* multipleOf:double x:NamedAny*"
)

#: Message -> its fields in the order of their numbers, from 1; `*` is repeated, `_` a number of no interest.
_MESSAGES = {
    "Any": "_ yaml:string",
    "NamedAny": "name:string value:Any",
    "NamedSchema": "name:string value:Schema",
    "NamedPathItem": "name:string value:PathItem",
    "NamedResponseValue": "name:string value:ResponseValue",
    "Document": (
        "swagger:string info:Info host:string basePath:string schemes:string* consumes:string* produces:string* "
        "paths:Paths definitions:Definitions"
    ),
    "Info": "title:string version:string",
    "Paths": "x:NamedAny* path:NamedPathItem*",
    "Definitions": "entries:NamedSchema*",
    "Properties": "entries:NamedSchema*",
    "PathItem": (
        "ref:string get:Operation put:Operation post:Operation delete:Operation options:Operation head:Operation "
        "patch:Operation"
    ),
    "Operation": (
        "tags:string* summary:string description:string _ operationId:string produces:string* consumes:string* "
        "parameters:ParametersItem* responses:Responses schemes:string* deprecated:bool _ x:NamedAny*"
    ),
    "ParametersItem": "parameter:Parameter",
    "Parameter": "body:BodyParameter other:NonBodyParameter",
    "NonBodyParameter": "_ _ query:QueryParameter path:PathParameter",
    "BodyParameter": "description:string name:string in:string required:bool schema:Schema x:NamedAny*",
    "QueryParameter": (
        f"required:bool in:string description:string name:string allowEmptyValue:bool {_SUB_SCHEMA} {_LIMITS}"
    ),
    "PathParameter": f"required:bool in:string description:string name:string {_SUB_SCHEMA} {_LIMITS}",
    "Responses": "entries:NamedResponseValue*",
    "ResponseValue": "response:Response",
    "Response": "description:string schema:SchemaItem",
    "SchemaItem": "schema:Schema",
    "AdditionalPropertiesItem": "schema:Schema boolean:bool",
    "TypeItem": "value:string*",
    "ItemsItem": "schema:Schema*",
    "Schema": (
        "ref:string format:string title:string description:string default:Any multipleOf:double maximum:double "
        "exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int64 minLength:int64 pattern:string "
        "maxItems:int64 minItems:int64 uniqueItems:bool maxProperties:int64 minProperties:int64 required:string* "
        "enum:Any* additionalProperties:AdditionalPropertiesItem type:TypeItem items:ItemsItem allOf:Schema* "
        "properties:Properties _ _ _ _ _ x:NamedAny*"
    ),
}


def _document_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="gnostic_for_tests.proto", package="t", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields.split(), 1):
            key, _, kind = field.partition(":")
            if key == "_":
                continue
            repeated = kind.endswith("*")
            kind = kind.rstrip("*")
            added = message.field.add(name=key, number=number, label=3 if repeated else 1)
            added.type = _SCALARS.get(kind, 11)  # type: ignore[assignment]
            if kind not in _SCALARS:
                added.type_name = f".t.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Document"))
    return found


DOCUMENT = _document_class()


def _plain(message: Any) -> dict[str, Any]:
    """A message as the JSON it came from, as far as the names are the same."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        many = list(value) if field.is_repeated else [value]
        match field.message_type.name if field.message_type else "":
            case "":
                found[field.name] = many if field.is_repeated else value
            case "NamedAny":
                found.update({each.name: json.loads(each.value.yaml) for each in many})
            case "Any":
                found[field.name] = [json.loads(each.yaml) for each in many]
            case "TypeItem":
                (found[field.name],) = value.value
            case "ItemsItem":
                (found[field.name],) = map(_plain, value.schema)
            case "AdditionalPropertiesItem" | "SchemaItem":
                found[field.name] = _plain(value.schema)
            case "Properties" | "Definitions":
                found[field.name] = {each.name: _plain(each.value) for each in value.entries}
            case "Responses":
                found[field.name] = {each.name: _plain(each.value.response) for each in value.entries}
            case "Paths":
                found[field.name] = {each.name: _plain(each.value) for each in value.path}
            case "ParametersItem":
                found[field.name] = [_parameter(each.parameter) for each in many]
            case _:
                found[field.name] = _plain(value)
    if "ref" in found:
        found["$ref"] = found.pop("ref")
    return found


def _parameter(parameter: Any) -> dict[str, Any]:
    if parameter.HasField("body"):
        return _plain(parameter.body)
    other = parameter.other
    return _plain(other.query if other.HasField("query") else other.path)


def read(body: bytes) -> dict[str, Any]:
    """The swagger document, or a DecodeError. Unknown fields are an error: no number may be wrong."""
    document: Any = DOCUMENT()
    document.ParseFromString(body)
    assert document.ByteSize() == len(body)
    return _plain(document)
