"""Golden files: the expected text lies beside the test; `KMINI_GOLDEN=1 pytest ...` writes it anew, for review."""

from __future__ import annotations

import os
from pathlib import Path

REWRITE = "KMINI_GOLDEN"


def check_golden(path: Path, text: str) -> None:
    """Compare with the file at `path`, or write it when asked to."""
    if os.environ.get(REWRITE) == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == expected, f"{path.name} differs; {REWRITE}=1 writes it anew"
