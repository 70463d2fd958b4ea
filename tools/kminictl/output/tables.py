"""Tables as the server renders them, in kubectl's columns."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from . import gojson
from .printable import printable
from .tabwriter import Columns

_BREAK = re.compile(r"[\f\n\r]")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for beyond the server's columns. `kind` is put before names; `namespaces`: a column of its own."""

    wide: bool = False
    headers: bool = True
    namespaces: bool = False
    show_labels: bool = False
    label_columns: tuple[str, ...] = ()
    kind: str = ""
    events: bool = False


class TablePrinter:
    """Rows of one kind; headers come once. Widths only grow, so that a watch stays in its columns."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._columns = Columns()
        self._definitions: list[dict[str, Any]] = []
        self._headers_due = layout.headers

    def add(self, table: dict[str, Any], event: str = "") -> None:
        self._definitions = table.get("columnDefinitions") or self._definitions
        rows = table.get("rows") or []
        if self._headers_due and rows:
            self._headers_due = False
            self._columns.add(self._header())
        for row in rows:
            self._columns.add(self._row(row, event))

    def flush(self) -> str:
        return self._columns.flush()

    def _header(self) -> list[str]:
        layout = self._layout
        shown = [str(each["name"]).upper() for each in self._definitions if self._is_shown(each)]
        labels = [name.rpartition("/")[2].upper() for name in layout.label_columns]
        before = ["EVENT".ljust(len("MODIFIED"))] * layout.events + ["NAMESPACE"] * layout.namespaces
        return [*before, *shown, *labels, *(["LABELS"] * layout.show_labels)]

    def _row(self, row: dict[str, Any], event: str) -> list[str]:
        layout = self._layout
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        found = [event] * layout.events + [metadata.get("namespace", "")] * layout.namespaces
        for index, cell in enumerate(row.get("cells") or []):
            if index < len(self._definitions) and self._is_shown(self._definitions[index]):
                text = cell_text(cell)
                found.append(f"{layout.kind}/{text}" if layout.kind and index == 0 else text)
        found += [labels.get(name, "") for name in layout.label_columns]
        if layout.show_labels:
            found.append(labels_text(labels))
        return found

    def _is_shown(self, definition: dict[str, Any]) -> bool:
        return self._layout.wide or not definition.get("priority")


def cell_text(cell: Any) -> str:
    """A cell on one line, with nothing in it that moves a terminal's cursor."""
    if cell is None:
        return ""
    text = cell if isinstance(cell, str) else gojson.sprint(cell)
    if match := _BREAK.search(text):
        text = text[: match.start()] + "..."
    return printable(text)


def labels_text(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>"


def is_table(found: dict[str, Any]) -> bool:
    return found.get("kind") == "Table" and str(found.get("apiVersion", "")).startswith("meta.k8s.io/")
