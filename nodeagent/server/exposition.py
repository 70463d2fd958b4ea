"""Numbers in Prometheus' text form (version 0.0.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from nodeagent.timings import BOUNDS_S, Timing

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Labels = Mapping[str, str]


class Exposition:
    """Families are added one after another; `text` is all of them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> bytes:
        return "".join(f"{line}\n" for line in self._lines).encode()

    def gauge(self, name: str, about: str, rows: Iterable[tuple[Labels, float]]) -> None:
        self._family(name, about, "gauge")
        self._lines += [_row(name, labels, number) for labels, number in rows]

    def counter(self, name: str, about: str, rows: Iterable[tuple[Labels, float]]) -> None:
        self._family(name, about, "counter")
        self._lines += [_row(name, labels, number) for labels, number in rows]

    def histogram(self, name: str, about: str, rows: Iterable[tuple[Labels, Timing]]) -> None:
        self._family(name, about, "histogram")
        bounds = [*map(_number, BOUNDS_S), "+Inf"]
        for labels, timing in rows:
            totals = list(accumulate(timing.counts))
            for bound, total in zip(bounds, totals, strict=True):
                self._lines.append(_row(f"{name}_bucket", {**labels, "le": bound}, total))
            self._lines.append(_row(f"{name}_sum", labels, timing.seconds))
            self._lines.append(_row(f"{name}_count", labels, totals[-1]))

    def _family(self, name: str, about: str, kind: str) -> None:
        self._lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _row(name: str, labels: Labels, number: float) -> str:
    shown = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels.items())
    return f"{name}{{{shown}}} {_number(number)}" if shown else f"{name} {_number(number)}"


def _number(number: float) -> str:
    return repr(int(number)) if number == int(number) else repr(number)
