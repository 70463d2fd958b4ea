"""A whole body: four bytes that say what it is, then `runtime.Unknown`, in which the object lies.

Unknown{typeMeta=1{apiVersion=1, kind=2}, raw=2, contentEncoding=3, contentType=4}: kind and apiVersion stand out
here and not in the object's own message.
"""

from __future__ import annotations

from typing import Any

from apiserver.api.errors import BadRequest, UnsupportedMediaType

from . import MEDIA_TYPE
from .messages import message_of
from .wire import BYTES, Piece, Wire, WireError

MAGIC = b"k8s\x00"


def read_body(raw: bytes, type_: type, *, depth_max: int, fields_max: int) -> dict[str, Any]:
    """The body as the plain values that JSON would give for a `type_`.

    Raises BadRequest naming the field, UnsupportedMediaType for a type that has no protobuf form.
    """
    message = message_of(type_)
    if message is None:
        raise UnsupportedMediaType(f"this {type_.__name__} has no protobuf form: send it as application/json")
    if not raw.startswith(MAGIC):
        raise BadRequest("the body is not valid protobuf: it does not begin with the bytes that mark Kubernetes' form")
    wire = Wire(raw, depth_max=depth_max, fields_max=fields_max)
    try:
        values, content = _envelope(wire)
        kind = values.get("kind")
        if kind and kind != type_.__name__:  # the numbers of one kind mean nothing in another
            raise BadRequest(
                f"{kind} in version {values.get('apiVersion', '')!r} cannot be handled as a {type_.__name__}"
            )
        if content is not None:
            message.read(wire, content, values)
    except WireError as error:
        where = f"{error.path}: " if error.path else ""
        raise BadRequest(f"the body is not valid protobuf: {where}{error}") from None
    return values


def _envelope(wire: Wire) -> tuple[dict[str, Any], Piece | None]:
    """apiVersion and kind, and where the object lies; None when it is left out."""
    values: dict[str, Any] = {}
    content: Piece | None = None
    for field in wire.fields(len(MAGIC), len(wire.data)):
        if field.number == 1:
            _type_meta(wire, field, values)
        elif field.number == 2:
            content = field
        elif field.number == 3 and wire.text(field):
            raise WireError(f"contents encoded as {wire.text(field)!r} cannot be read")
        elif field.number == 4 and wire.text(field) not in ("", MEDIA_TYPE):
            raise WireError(f"contents of type {wire.text(field)!r} cannot be read")
    if content is not None and content.wire_type != BYTES:
        raise WireError("the object must be a message")
    return values, content


def _type_meta(wire: Wire, piece: Piece, values: dict[str, Any]) -> None:
    for field in wire.message(piece):
        if field.number == 1:
            values["apiVersion"] = wire.text(field)
        elif field.number == 2:
            values["kind"] = wire.text(field)
