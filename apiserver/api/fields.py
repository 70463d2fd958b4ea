"""Collects what is wrong with an object, field by field, in Kubernetes' words.

A validator gets the object, the path it stands at and a `Causes`; it adds to it and goes on, so that a person sees
every mistake at once. Paths are what Kubernetes prints: `spec.containers[0].ports[1].name`,
`metadata.labels`, `data[key]`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from .errors import Invalid
from .meta import StatusCause

CAUSES_MAX = 200  # a person reads no more, and an answer has a bound
_VALUE_CHARACTERS_MAX = 1_000


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, bool | int | float) or value is None:
        text = "null" if value is None else msgspec.json.encode(value).decode()
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[:_VALUE_CHARACTERS_MAX] + "..."


class Causes:
    """Every broken rule, in the order they were found."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[StatusCause] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, reason: str, path: str, message: str) -> None:
        if len(self.found) < CAUSES_MAX:
            self.found.append(StatusCause(reason=reason, message=message, field=path))

    def required(self, path: str, detail: str = "") -> None:
        self.add("FieldValueRequired", path, f"Required value{': ' + detail if detail else ''}")

    def invalid(self, path: str, value: object, detail: str) -> None:
        self.add("FieldValueInvalid", path, f"Invalid value: {_shown(value)}: {detail}")

    def type_invalid(self, path: str, value: object, detail: str) -> None:
        self.add("FieldValueTypeInvalid", path, f"Invalid value: {_shown(value)}: {detail}")

    def not_supported(self, path: str, value: object, allowed: Iterable[str]) -> None:
        names = ", ".join(f'"{each}"' for each in sorted(allowed))
        self.add("FieldValueNotSupported", path, f"Unsupported value: {_shown(value)}: supported values: {names}")

    def duplicate(self, path: str, value: object, detail: str = "") -> None:
        self.add("FieldValueDuplicate", path, f"Duplicate value: {_shown(value)}{': ' + detail if detail else ''}")

    def forbidden(self, path: str, detail: str) -> None:
        self.add("FieldValueForbidden", path, f"Forbidden: {detail}")

    def not_found(self, path: str, value: object) -> None:
        self.add("FieldValueNotFound", path, f"Not found: {_shown(value)}")

    def too_long(self, path: str, limit: int, *, unit: str = "bytes") -> None:
        self.add("FieldValueTooLong", path, f"Too long: may not be more than {limit} {unit}")

    def too_many(self, path: str, count: int, limit: int) -> None:
        self.add("FieldValueTooMany", path, f"Too many: {count}: must have at most {limit} items")

    def error(self, *, kind: str, group: str, name: str) -> Invalid:
        """The error to raise: `Pod "x" is invalid: spec.y: Required value`."""
        parts = [f"{cause.field}: {cause.message}" for cause in self.found]
        text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
        shown_kind = f"{kind}.{group}" if group else kind
        name = name if len(name) <= _VALUE_CHARACTERS_MAX else name[:_VALUE_CHARACTERS_MAX] + "..."
        return Invalid(
            f'{shown_kind} "{name}" is invalid: {text}', kind=kind, group=group, name=name, causes=self.found
        )
