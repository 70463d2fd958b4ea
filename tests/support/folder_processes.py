"""Which processes belong to a folder, to see that none is left behind."""

from __future__ import annotations

from pathlib import Path


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            if str(folder).encode() in command:
                found.append(int(entry.name))
    return found
