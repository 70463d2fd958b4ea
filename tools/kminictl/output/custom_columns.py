"""`-o custom-columns=NAME:.metadata.name,...`: a table of what jsonpath expressions find."""

from __future__ import annotations

from typing import Any

from . import gojson
from .jsonpath import JsonPath, relaxed
from .tabwriter import Columns

NONE = "<none>"


class CustomColumns:
    """Raises ValueError for a specification that makes no sense."""

    def __init__(self, columns: list[tuple[str, str]], *, headers: bool = True) -> None:
        if not columns:
            raise ValueError("custom-columns format specified but no custom columns given")
        self._paths = [JsonPath(relaxed(path)) for _, path in columns]
        self._out = Columns()
        if headers:
            self._out.add([header for header, _ in columns])

    def add(self, document: Any) -> None:
        self._out.add([_cell(path.values(document)) for path in self._paths])

    def flush(self) -> str:
        return self._out.flush()


def from_spec(spec: str) -> list[tuple[str, str]]:
    """`HEADER:path,...`"""
    found = []
    for part in spec.split(","):
        header, colon, path = part.partition(":")
        if not colon or ":" in path:
            raise ValueError(f"unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        found.append((header, path))
    return found


def from_template(text: str) -> list[tuple[str, str]]:
    """Two lines: headers, and below them paths."""
    lines = text.splitlines()
    if len(lines) < 2:
        raise ValueError("custom-columns-file must have two lines: headers and paths")
    headers, paths = lines[0].split(), lines[1].split()
    if len(headers) != len(paths):
        raise ValueError(f"number of headers ({len(headers)}) and field specifications ({len(paths)}) don't match")
    return list(zip(headers, paths, strict=True))


def _cell(results: list[list[Any]]) -> str:
    values = [value for found in results for value in found]
    return ",".join(map(gojson.sprint, values)) if values else NONE
