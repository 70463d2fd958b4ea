"""kminictl as a program that stands where tests expect a kubectl."""

from __future__ import annotations

import sys
from pathlib import Path

from kubectl_binaries import Kubectl

#: The version of kubectl whose words kminictl speaks.
NEWEST_MINOR = 37


def kminictl_program(folder: Path) -> Kubectl:
    path = folder / "kminictl"
    path.write_text(f"#!{sys.executable}\nfrom kminictl.cli import main\nmain()\n", encoding="utf-8")
    path.chmod(0o755)
    return Kubectl(NEWEST_MINOR, path)
