"""Lines of a description: cells with tabs between, indented by level, in columns as Go's tabwriter lays them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..output.printable import printable
from ..output.tabwriter import aligned

JsonObject = dict[str, Any]
INDENT = "  "
NONE = "<none>"
UNSET = "<unset>"
ANNOTATION_CHARACTERS_MAX = 140
#: Annotations that are never shown.
HIDDEN = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})


class Writer:
    """`events`: whether they are wanted at the end."""

    def __init__(self, *, events: bool = True) -> None:
        self.events = events
        self._done: list[str] = []
        self._open: list[str] = []

    def line(self, level: int, *cells: object) -> None:
        """One line; its cells are columns."""
        self._open.append(INDENT * level + "\t".join(printable(str(each)) for each in cells))

    def blank(self) -> None:
        self._open.append("")

    def flush(self) -> None:
        """What follows has columns of its own."""
        self._done.append(aligned("".join(f"{line}\n" for line in self._open)))
        self._open = []

    def text(self) -> str:
        """All of it, aligned."""
        self.flush()
        return "".join(self._done)

    def raw(self) -> str:
        """All of it with its tabs, where kubectl does not align either."""
        return "".join(f"{line}\n" for line in self._open)

    # --- what many kinds have -------------------------------------------------------------------------

    def begin(self, obj: JsonObject, *, namespaced: bool = True) -> None:
        metadata = obj["metadata"]
        self.line(0, "Name:", metadata["name"])
        if namespaced:
            self.line(0, "Namespace:", metadata.get("namespace", ""))

    def marks(self, obj: JsonObject) -> None:
        """Labels and annotations."""
        metadata = obj["metadata"]
        self.labels("Labels", metadata.get("labels"))
        self.annotations("Annotations", metadata.get("annotations"))

    def labels(self, title: str, labels: Mapping[str, str] | None) -> None:
        """`key=value`, one a line."""
        self.several(title, [f"{key}={labels[key]}" for key in sorted(labels)] if labels else [])

    def several(self, title: str, values: list[str]) -> None:
        """The first beside the title, the others below it."""
        first, *others = values or [NONE]
        self.line(0, f"{title}:", first)
        for each in others:
            self.line(0, "", each)

    def annotations(self, title: str, annotations: Mapping[str, str] | None) -> None:
        """Long ones on lines of their own; what apply keeps is not shown."""
        shown: list[str] = []
        for key in sorted(annotations or {}):
            if key in HIDDEN or annotations is None:
                continue
            value = annotations[key].removesuffix("\n")
            if len(value) + len(key) + 2 > ANNOTATION_CHARACTERS_MAX or "\n" in value:
                shown.append(f"{key}:")
                shown += [f"  {_shortened(line)}" for line in value.split("\n")]
            else:
                shown.append(f"{key}: {value}")
        self.several(title, shown)

    def controller(self, obj: JsonObject) -> None:
        for owner in obj["metadata"].get("ownerReferences") or []:
            if owner.get("controller"):
                self.line(0, "Controlled By:", f"{owner['kind']}/{owner['name']}")
                return


def _shortened(text: str) -> str:
    limit = ANNOTATION_CHARACTERS_MAX - 2
    return text if len(text) <= limit else f"{text[:limit]}..."


def formatted_labels(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d` on one line, or <none>."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def truth(value: object) -> str:
    return "True" if value else "False"
