"""Reads the docstrings of the API's types: a paragraph for the type, then `python_name: text.` lines for its fields."""

from __future__ import annotations

import inspect
import re
from functools import cache

import msgspec

_FIELD = re.compile(r"([a-z][a-z0-9_]*): +(.*)")


class Descriptions(dict[str, str]):
    """Text by python field name; the type's own under ""."""

    def of(self, field: str) -> str:
        return self.get(field, "")


def _read(docstring: str, fields: frozenset[str]) -> dict[str, str]:
    paragraph, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    found = {"": " ".join(paragraph.split())}
    field = ""
    for line in rest.splitlines():
        match = _FIELD.match(line)
        if match:
            field, text = (match[1] if match[1] in fields else ""), match[2]
            if field:
                found[field] = text.strip()
        elif field and line.strip():
            found[field] += f" {line.strip()}"
        else:
            field = ""
    return found


@cache  # as many entries as there are types; emptied by `forget`
def describe(type_: type[msgspec.Struct]) -> Descriptions:
    """The text of a type and of all its fields, those it inherits too."""
    found = Descriptions()
    fields = frozenset(type_.__struct_fields__)
    for base in reversed(type_.__mro__):
        own = base.__dict__.get("__doc__")
        if own and base is not msgspec.Struct and base is not object:
            found.update(_read(own, fields))
    if not type_.__dict__.get("__doc__"):
        found.pop("", None)
    return found


def forget() -> None:
    """Give the memory back once the documents are built."""
    describe.cache_clear()
