"""Reads an Accept header: in which form does the client want its answer?

Media ranges are tried from the best to the worst (q-value, then how exact they are, then their order); the first one
this server can give wins. Protobuf and CBOR are never given, so a client that lists JSON behind them gets JSON.
The header is bounded: what lies beyond `RANGES_MAX` ranges is not looked at.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from apiserver.api.errors import NotAcceptable

HEADER_CHARACTERS_MAX = 4_096
RANGES_MAX = 32

JSON = "application/json"
YAML = "application/yaml"
EVENT_STREAM = "text/event-stream"
#: As clients ask for it, and as they can read it in an answer: Go's parser of media types takes no `@`.
PROTOBUF_OPENAPI_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PROTOBUF_OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_META_GROUP = "meta.k8s.io"
_DISCOVERY_GROUP = "apidiscovery.k8s.io"


class Form(Enum):
    """The forms an answer can have."""

    JSON = "json"
    YAML = "yaml"
    TABLE = "table"
    PARTIAL = "partial"  # PartialObjectMetadata
    PARTIAL_LIST = "partial-list"  # PartialObjectMetadataList
    EVENT_STREAM = "event-stream"
    DISCOVERY = "discovery"  # APIGroupDiscoveryList
    PROTOBUF_OPENAPI = "protobuf-openapi"


class Accepted(NamedTuple):
    """`version` is that of a Table, PartialObjectMetadata or APIGroupDiscoveryList; `content_type` says it all."""

    form: Form
    version: str
    content_type: str


PLAIN = Accepted(Form.JSON, "", JSON)

#: What each kind of request can be answered with, beside JSON.
OBJECTS = frozenset({Form.YAML, Form.TABLE, Form.PARTIAL, Form.PARTIAL_LIST})
WATCHES = frozenset({Form.TABLE, Form.PARTIAL, Form.EVENT_STREAM})  # an event holds one object, never a list
DISCOVERY = frozenset({Form.DISCOVERY})
OPENAPI_V2 = frozenset({Form.PROTOBUF_OPENAPI})
ONLY_JSON: frozenset[Form] = frozenset()
#: Errors and everything that has no other form.
STATUS = frozenset({Form.YAML})

_TRANSFORMS = {
    ("Table", _META_GROUP): (Form.TABLE, ("v1", "v1beta1")),
    ("PartialObjectMetadata", _META_GROUP): (Form.PARTIAL, ("v1", "v1beta1")),
    ("PartialObjectMetadataList", _META_GROUP): (Form.PARTIAL_LIST, ("v1", "v1beta1")),
    ("APIGroupDiscoveryList", _DISCOVERY_GROUP): (Form.DISCOVERY, ("v2", "v2beta1")),
}
_PLAIN_TYPES = {
    YAML: Form.YAML,
    EVENT_STREAM: Form.EVENT_STREAM,
    PROTOBUF_OPENAPI_V2: Form.PROTOBUF_OPENAPI,
    PROTOBUF_OPENAPI_V2_ASKED: Form.PROTOBUF_OPENAPI,
}
_NAMES = {Form.YAML: YAML, Form.EVENT_STREAM: EVENT_STREAM, Form.PROTOBUF_OPENAPI: PROTOBUF_OPENAPI_V2}


class _Range(NamedTuple):
    type: str  # `application/json`, `application/*`, `*/*`
    parameters: dict[str, str]
    quality: float


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0
    return value if 0.0 <= value <= 1.0 else 1.0  # neither NaN nor nonsense


def _range(text: str) -> _Range | None:
    type_, *pairs = (part.strip() for part in text.split(";"))
    if not type_:
        return None
    parameters = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        parameters[key.strip().lower()] = value.strip().strip('"')
    return _Range(type_.lower(), parameters, _quality(parameters.pop("q", "1")))


def _ranges(header: str) -> list[_Range]:
    texts = header[:HEADER_CHARACTERS_MAX].split(",")[:RANGES_MAX]
    found = [each for each in map(_range, texts) if each is not None and each.quality > 0]
    return sorted(found, key=lambda each: (-each.quality, each.type.count("*")))


def _transformed(parameters: dict[str, str], forms: frozenset[Form]) -> Accepted | None:
    """`application/json;as=Table;v=v1;g=meta.k8s.io`."""
    as_, version, group = parameters["as"], parameters.get("v", ""), parameters.get("g", "")
    form, versions = _TRANSFORMS.get((as_, group), (Form.JSON, ()))
    if version not in versions or form not in forms:
        return None
    if form is Form.DISCOVERY:  # clients compare this text with what they asked for
        return Accepted(form, version, f"{JSON};g={group};v={version};as={as_}")
    return Accepted(form, version, JSON)


def _accepted(wanted: _Range, forms: frozenset[Form]) -> Accepted | None:
    if wanted.type in (JSON, "application/*", "*/*", "*"):
        return _transformed(wanted.parameters, forms) if wanted.parameters.get("as") else PLAIN
    form = _PLAIN_TYPES.get(wanted.type)
    if form is None or form not in forms or wanted.parameters.get("as"):
        return None
    return Accepted(form, "", _NAMES[form])


@lru_cache(maxsize=256)  # clients send few different ones; keys are bounded by HEADER_CHARACTERS_MAX
def _negotiate(header: str, forms: frozenset[Form]) -> Accepted | None:
    for wanted in _ranges(header):
        found = _accepted(wanted, forms)
        if found is not None:
            return found
    return None


def negotiate(accept: str | None, forms: frozenset[Form] = OBJECTS) -> Accepted:
    """The form to answer in, out of JSON and `forms` (one of the sets above). No header means JSON.

    Raises NotAcceptable (406) when nothing the client lists can be given.
    """
    if not accept or not accept.strip():
        return PLAIN
    found = _negotiate(accept[:HEADER_CHARACTERS_MAX], forms)
    if found is None:
        names = [JSON, *sorted(_NAMES[form] for form in forms if form in _NAMES)]
        raise NotAcceptable(f"only the following media types are accepted: {', '.join(names)}")
    return found


def negotiate_or_json(accept: str | None, forms: frozenset[Form] = STATUS) -> Accepted:
    """The same for answers that must be given in any case, such as errors."""
    try:
        return negotiate(accept, forms)
    except NotAcceptable:
        return PLAIN
