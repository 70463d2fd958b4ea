"""Bodies to typed objects, in one pass when they are clean, and with plain words when they are not.

A body that holds only known fields and no nulls decodes straight into its struct. Anything else takes the slow way:
decode to plain values, drop nulls (in Kubernetes null means absent), drop and name unknown fields, convert. What
happens with unknown and repeated fields is the request's `fieldValidation`: Strict refuses them, Warn tells, Ignore is
silent. Warn looks for repeated ones only where the body takes the slow way: looking costs as much as decoding. In
protobuf unknown fields have no names and are always dropped. Depth, size and aliases are bounded before anything is
built from them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, NoReturn, TypeVar

import msgspec

from apiserver.api.errors import BadRequest, UnsupportedMediaType
from apiserver.api.pruning import cleaner
from apiserver.protobuf import MEDIA_TYPE as PROTOBUF_TYPE

T = TypeVar("T")

DEPTH_MAX = 64
#: Of one body, with YAML aliases expanded. Rules look at every value: what they may cost has its bound here.
VALUES_MAX = 50_000
YAML_EVENTS_MAX = 2 * VALUES_MAX  # what the parser may tell: keys and ends beside values
PROTOBUF_FIELDS_MAX = 3 * VALUES_MAX  # an entry of a map is three of them
NUMBER_CHARACTERS_MAX = 400  # of YAML, which knows slow ways to write one; a float's own range ends before
NAMED_FIELDS_MAX = 20  # unknown fields that an error or warning names
NAME_CHARACTERS_SHOWN = 64
_YAML_TYPES = {"application/yaml", "application/x-yaml", "text/yaml"}
_JSON_TYPES = {"", "application/json", "text/json"}
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: Sent by curl when nobody says what the body is.
_FORM = "application/x-www-form-urlencoded"


class Decoded(NamedTuple):
    obj: Any
    warnings: tuple[str, ...] = ()


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_values(raw: bytes, content_type: str) -> Any:
    """A JSON or YAML body as plain values. Raises BadRequest, UnsupportedMediaType."""
    kind = media_type(content_type)
    if kind in _YAML_TYPES:
        return _read_yaml(raw)
    if kind not in _JSON_TYPES and kind != _FORM:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: "
            f"application/json, application/yaml, {PROTOBUF_TYPE} (got {kind!r})"
        )
    try:
        values = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {_reason(error)}") from None
    check_shape(values)
    return values


def decode_object(raw: bytes, content_type: str, type_: type[T], *, strictness: str = "Warn") -> Decoded:
    """A body as a struct. `strictness` is fieldValidation: Strict, Warn or Ignore.

    Raises BadRequest naming the field, UnsupportedMediaType.
    """
    kind = media_type(content_type)
    if kind in _JSON_TYPES and strictness != "Strict" and not _is_crowded(raw):
        try:
            return Decoded(decoder(type_).decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # the slow way says what is wrong, or mends it
    if kind == PROTOBUF_TYPE:
        return convert_object(_read_protobuf(raw, type_), type_, strictness="Ignore")
    values = read_values(raw, content_type)
    handled = f"{_unhandled(values, type_)}: "
    decoded = convert_object(values, type_, strictness=strictness, context=handled)
    if strictness == "Ignore" or kind in _YAML_TYPES:
        return decoded
    repeated = repeated_fields(raw)
    if repeated and strictness == "Strict":
        raise _strict_error(repeated, handled)
    return Decoded(decoded.obj, (*decoded.warnings, *repeated)[:NAMED_FIELDS_MAX])


def convert_object(values: Any, type_: type[T], *, strictness: str = "Warn", context: str = "") -> Decoded:
    """Plain values as a struct, by the same rules. `context` stands before the words about unknown fields."""
    if not isinstance(values, dict):
        raise BadRequest(f"the body must be an object, not {_json_kind(values)}")
    unknown: list[str] = []
    hashable: Any = type_  # the cache asks for a Hashable, which mypy does not see in a type
    cleaned = cleaner(hashable)(values, "", unknown)
    found = tuple(f'unknown field "{name}"' for name in unknown[:NAMED_FIELDS_MAX])
    if found and strictness == "Strict":
        raise _strict_error(found, context)
    try:
        obj = msgspec.convert(cleaned, type_)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadRequest(f"{_unhandled(values, type_)}: {_reason(error)}") from None
    return Decoded(obj, () if strictness == "Ignore" else found)


def _strict_error(found: tuple[str, ...], context: str) -> BadRequest:
    return BadRequest(f"{context}strict decoding error: {', '.join(found)}")


def _unhandled(values: Any, type_: type) -> str:
    """Kubernetes' words for a body that is not what it says it is."""
    said = values if isinstance(values, dict) else {}
    kind, version = (text if isinstance(text := said.get(key), str) else "" for key in ("kind", "apiVersion"))
    name = kind[:NAME_CHARACTERS_SHOWN] or type_.__name__
    version = version[:NAME_CHARACTERS_SHOWN]
    return f'{name} in version "{version.rpartition("/")[2] or "v1"}" cannot be handled as a {name}'


_decoders: dict[type, msgspec.json.Decoder[Any]] = {}


def decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """The one decoder of a type, made when it is first needed."""
    known = _decoders.get(type_)
    if known is None:
        known = _decoders[type_] = msgspec.json.Decoder(type_)
    return known


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it is nested deeper than {DEPTH_MAX} levels"
    text = str(error)
    what, separator, where = text.rpartition(" - at `$")
    if not separator:
        return text
    return f"{where.rstrip('`').lstrip('.') or 'body'}: {what[:1].lower()}{what[1:]}"


def _json_kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), "an object")


# --- shape ------------------------------------------------------------------------------------------


def _is_crowded(raw: bytes) -> bool:
    """Whether a body may hold too many values; those are counted before structs, which are larger, are made of them."""
    return len(raw) > VALUES_MAX and sum(map(raw.count, (b",", b"{", b"["))) > VALUES_MAX


def check_shape(values: Any) -> None:
    """Bounds on depth and on the number of values, also where YAML aliases make a graph of the tree.

    Raises BadRequest.
    """
    count = 0
    stack = [(values, 1)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, dict | list):
            count += len(value)
            if count > VALUES_MAX:
                raise BadRequest(f"the body holds more than {VALUES_MAX} values")
            if depth > DEPTH_MAX:
                raise BadRequest(f"the body is nested deeper than {DEPTH_MAX} levels")
            children = value.values() if isinstance(value, dict) else value
            stack.extend((child, depth + 1) for child in children if isinstance(child, dict | list))


def is_yaml(content_type: str) -> bool:
    return media_type(content_type) in _YAML_TYPES


def yaml_as_json(raw: bytes) -> bytes:
    """A YAML body as JSON. Raises BadRequest."""
    try:
        return json.dumps(_read_yaml(raw), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # numbers that JSON does not know
        raise BadRequest(f"the body is not valid YAML: {error}") from None


def _read_yaml(raw: bytes) -> Any:
    import yaml

    try:
        text = raw.decode("utf-8")
        _check_events(text)
        values = yaml.load(text, Loader=_yaml_loader())  # noqa: S506 - a subclass of the safe loader
    except BadRequest:
        raise
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid YAML: {' '.join(str(error).split())}") from None
    check_shape(values)
    return values


def _check_events(text: str) -> None:
    """Depth and number of what a YAML text holds, before anything is built from it. Raises BadRequest."""
    import yaml

    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if count > YAML_EVENTS_MAX:
            raise BadRequest(f"the body holds more than {VALUES_MAX} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise BadRequest(f"the body is nested deeper than {DEPTH_MAX} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _read_protobuf(raw: bytes, type_: type) -> Any:
    from apiserver.protobuf.body import read_body  # the tables are for those who send it

    values = read_body(raw, type_, depth_max=DEPTH_MAX, fields_max=PROTOBUF_FIELDS_MAX)
    check_shape(values)
    return values


@cache
def _yaml_loader() -> Any:
    """Safe YAML whose values are JSON's: timestamps and binary stay text, keys are text."""
    import yaml

    class JsonValues(yaml.CSafeLoader):
        merged = 0

        def flatten_mapping(self, node: Any) -> None:
            """`<<` merges: one's own keys win, then earlier mappings. Merges of merges grow fast: they are counted."""
            own, merged = [], []
            for key, value in node.value:
                if key.tag != _MERGE:
                    own.append((key, value))
                    continue
                for part in reversed(value.value if isinstance(value, yaml.SequenceNode) else [value]):
                    if not isinstance(part, yaml.MappingNode):
                        raise BadRequest("the body is not valid YAML: << takes a mapping or a list of mappings")
                    self.flatten_mapping(part)
                    self.merged += len(part.value)
                    if self.merged > VALUES_MAX:
                        raise BadRequest(f"the body holds more than {VALUES_MAX} values")
                    merged += part.value
            if merged:
                node.value = merged + own

    JsonValues.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(loader: Any, node: Any) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            _refuse_tag(loader, node)
        loader.flatten_mapping(node)
        pairs = loader.construct_pairs(node, deep=True)
        return {key if isinstance(key, str) else json.dumps(key): value for key, value in pairs}

    def number(loader: Any, node: Any) -> int | float:
        if len(loader.construct_scalar(node)) > NUMBER_CHARACTERS_MAX:
            raise BadRequest(f"the body is not valid YAML: a number has more than {NUMBER_CHARACTERS_MAX} digits")
        try:
            value: int | float = numbers[node.tag](loader, node)
        except (ValueError, IndexError):  # a tag may say that anything is a number, even nothing
            _refuse_tag(loader, node)
        return value

    def boolean(loader: Any, node: Any) -> bool:
        value: bool | None = loader.bool_values.get(loader.construct_scalar(node).lower())
        return _refuse_tag(loader, node) if value is None else value

    JsonValues.add_constructor("tag:yaml.org,2002:map", mapping)
    JsonValues.add_constructor("tag:yaml.org,2002:bool", boolean)
    numbers: dict[str, Any] = {tag: JsonValues.yaml_constructors[tag] for tag in _NUMBERS}
    for tag in numbers:
        JsonValues.add_constructor(tag, number)
    for tag in ("binary", "set", "omap", "pairs", "timestamp"):
        JsonValues.add_constructor(f"tag:yaml.org,2002:{tag}", _refuse_tag)
    return JsonValues


def _refuse_tag(_loader: Any, node: Any) -> NoReturn:
    raise BadRequest(f"the body is not valid YAML: what is tagged {node.tag} has no meaning in JSON as such")


class _Repeating(dict[str, Any]):
    """An object of a body that holds some keys twice."""

    keys_twice: list[str]


def repeated_fields(raw: bytes) -> tuple[str, ...]:
    """Every key that one object of the JSON body holds twice, by its path."""
    found: list[_Repeating] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(items)
        if len(fields) == len(items):
            return fields
        repeating = _Repeating(fields)
        counted = Counter(key for key, _ in items)
        repeating.keys_twice = [key for key, count in counted.items() if count > 1]
        found.append(repeating)
        return repeating

    try:
        values = json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return ()  # read_values took it: whatever json finds odd is no repetition
    return tuple(f'duplicate field "{path}"' for path in _repeated_in(values, "")) if found else ()


def _repeated_in(value: Any, path: str) -> Iterator[str]:
    """`value` is no deeper than a body may be."""
    if isinstance(value, dict):
        if isinstance(value, _Repeating):
            yield from (f"{path}.{key}".lstrip(".") for key in value.keys_twice)
        for key, child in value.items():
            yield from _repeated_in(child, f"{path}.{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _repeated_in(child, f"{path}[{index}]")
