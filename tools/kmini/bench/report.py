"""What a run leaves behind: a table for people and a JSON file for programs, both from the same rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .figures import Row, Verdict, shown


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text columns: figures right, words left. Several peers are named beside their figures."""
    names = {row.peer_name for row in rows if row.peer}
    several = len(names) > 1
    header = ("", "ours", "beside" if several else "".join(names), "ratio", "aim", "")
    cells = [header, *(_cells(row, name_peer=several) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = []
    for line in cells:
        left = line[0].ljust(widths[0])
        figures = "  ".join(line[column].rjust(widths[column]) for column in range(1, 4))
        lines.append(f"{left}  {figures}  {line[4].ljust(widths[4])}  {line[5]}".rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines)


def _cells(row: Row, *, name_peer: bool) -> tuple[str, str, str, str, str, str]:
    ratio = f"{row.ratio:.2f}x" if math.isfinite(row.ratio) else "-"
    aim = "report" if row.aim is None else str(row.aim)
    verdict = "" if row.verdict is Verdict.REPORTED else row.verdict.value
    peer = shown(row.peer_median, row.unit) if row.peer else "-"
    if name_peer and row.peer:
        peer = f"{row.peer_name} {peer}"
    return row.title, shown(row.ours_median, row.unit), peer, ratio, aim, verdict


def notes(rows: Sequence[Row]) -> str:
    """How each row was taken, for rows that say so."""
    return "\n".join(f"- {row.title}: {row.note}" for row in rows if row.note)


def document(
    rows: Sequence[Row], *, machine: Mapping[str, Any], setup: Mapping[str, Any], benchmark: str = "store"
) -> dict[str, Any]:
    """The run as plain data; figures in seconds, per second or bytes as `unit` says, one per round."""
    return {
        "benchmark": benchmark,
        "format": 1,
        "machine": dict(machine),
        "setup": dict(setup),
        "rows": [
            {
                "key": row.key,
                "title": row.title,
                "unit": row.unit.value,
                "ours": row.ours_median,
                **({row.peer_name: row.peer_median, f"{row.peer_name}_rounds": list(row.peer)} if row.peer else {}),
                "ratio": row.ratio if math.isfinite(row.ratio) else None,
                "aim": None if row.aim is None else str(row.aim),
                "verdict": row.verdict.value,
                "ours_rounds": list(row.ours),
                "note": row.note,
            }
            for row in rows
        ],
    }


def write(data: Mapping[str, Any], folder: Path, *, at: datetime) -> Path:
    """Write the run under a name of its own; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data['benchmark']}-{at:%Y%m%dT%H%M%S}.json"
    path.write_text(json.dumps(data, indent=2) + "\n")
    return path
