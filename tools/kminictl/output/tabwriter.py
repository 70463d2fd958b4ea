"""Elastic columns, as Go's text/tabwriter lays them out: what kubectl's tables and descriptions are written with.

A cell is text that a tab ends; a column is a run of adjacent lines that have such a cell at that place. Text after a
line's last tab belongs to no column.
"""

from __future__ import annotations

from collections.abc import Sequence

from .printable import printable


def aligned(text: str, *, width_min: int = 0, padding: int = 2) -> str:
    """Lines of tab-ended cells as columns of spaces."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _format(lines, 0, len(lines), [], out, (width_min, padding))
    return "\n".join(out)


def _format(
    lines: Sequence[list[str]], start: int, end: int, widths: list[int], out: list[str], sizes: tuple[int, int]
) -> None:
    column, line = len(widths), start
    width_min, padding = sizes
    while line < end:
        if column >= len(lines[line]) - 1:
            out.append(_written(lines[line], widths))
            line += 1
            continue
        block, width = line, width_min
        while line < end and column < len(lines[line]) - 1:
            width = max(width, len(lines[line][column]) + padding)
            line += 1
        _format(lines, block, line, [*widths, width], out, sizes)


def _written(cells: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(widths[index]) if index < len(widths) else cell for index, cell in enumerate(cells[:-1])]
    return "".join([*padded, cells[-1]])


class Columns:
    """Rows of a `get`: columns at least six wide, three apart, that never grow narrower (a watch)."""

    WIDTH_MIN, PADDING = 6, 3

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._rows: list[list[str]] = []

    def add(self, cells: list[str]) -> None:
        self._rows.append([printable(each) for each in cells])

    def flush(self) -> str:
        """The rows since the last flush; "" when there are none."""
        rows, self._rows = self._rows, []
        for row in rows:
            for index, cell in enumerate(row[:-1]):
                if index == len(self._widths):
                    self._widths.append(self.WIDTH_MIN)
                self._widths[index] = max(self._widths[index], len(cell) + self.PADDING)
        return "".join(f"{_written(row, self._widths)}\n" for row in rows)


class PaddedColumns(Columns):
    """Those of `top`: the last column is as wide as its widest cell too."""

    def add(self, cells: list[str]) -> None:
        super().add([*cells, ""])
