"""Which kubectl binaries tests run: those `tools/bootstrap --with kubectl` installs, and the oldest that is about.

Others are looked for as `kubectl.1.NN` on PATH and beside the `kubectl` of PATH; `KMINI_KUBECTL=all` runs every one,
`KMINI_KUBECTL=27,36` these.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHOICE = "KMINI_KUBECTL"
OLDEST_MINOR = 27
MISSING = "no kubectl to test with: run tools/bootstrap --with kubectl"


class Kubectl(NamedTuple):
    """`minor` of 1.NN is 1NN's NN."""

    minor: int
    path: Path

    def __str__(self) -> str:
        return f"1.{self.minor}"


def installed() -> dict[int, Path]:
    """By minor version."""
    return {
        int(path.parent.parent.name.split(".")[1]): path
        for path in sorted((ROOT / ".venv" / "kubectl").glob("*/bin/kubectl"))
    }


def found_elsewhere() -> dict[int, Path]:
    """By minor version."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    plain = shutil.which("kubectl")
    if plain is not None:
        folders.append(Path(plain).resolve().parent)
    found: dict[int, Path] = {}
    for folder in folders:
        for path in folder.glob("kubectl.1.*"):
            match = re.fullmatch(r"kubectl\.1\.(\d+)", path.name)
            if match and int(match[1]) >= OLDEST_MINOR and os.access(path, os.X_OK):
                found.setdefault(int(match[1]), path)
    return found


def binaries() -> list[Kubectl]:
    """Newest first."""
    ours, others = installed(), found_elsewhere()
    every, choice = others | ours, os.environ.get(CHOICE, "")
    wanted = set(every)
    if choice and choice != "all":
        wanted = {int(minor) for minor in choice.split(",")}
    elif not choice:
        wanted = {*ours, *([min(others)] if others else [])}
    return [Kubectl(minor, path) for minor, path in sorted(every.items(), reverse=True) if minor in wanted]
