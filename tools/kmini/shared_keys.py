"""The keys that replicas share, in one file beside a backup: without them what was encrypted stays so.

A JSON file of mode 0600 with a format version; it holds the cluster's secrets. A backup never does.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError

from .errors import CommandError

FORMAT_VERSION = 1
FILE_BYTES_MAX = 1024 * 1024


def save(folder: Path, path: Path) -> None:
    """Put the shared keys of a replica's pki folder into one file. Raises CommandError."""
    try:
        pki.check_shared(folder)
        files = {name: base64.b64encode((folder / name).read_bytes()).decode() for name in pki.SHARED_FILES}
        content = json.dumps({"format": FORMAT_VERSION, "files": files}, indent=1).encode() + b"\n"
        pki.write_file(path, content, secret=True)
    except (PkiError, OSError) as error:
        raise CommandError(f"the keys were not saved: {error}") from error


def load(path: Path) -> dict[str, bytes]:
    """Name → content. Raises CommandError naming the file."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(FILE_BYTES_MAX))
        if content["format"] != FORMAT_VERSION:
            raise CommandError(f"{path} has format {content['format']!r}, this version reads {FORMAT_VERSION}")
        files = {name: base64.b64decode(content["files"][name], validate=True) for name in pki.SHARED_FILES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{path} is no file of shared keys: {error}") from error
    return files


def restore(path: Path, folder: Path) -> None:
    """Write the keys of a file into a pki folder. Raises CommandError when it holds other ones."""
    files = load(path)
    for name, content in files.items():
        if (folder / name).exists() and (folder / name).read_bytes() != content:
            raise CommandError(f"{folder / name} is there and differs from the one in {path}")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in files.items():
            pki.write_file(folder / name, content, secret=not name.endswith(".crt"))
        pki.check_shared(folder)
    except (PkiError, OSError) as error:
        raise CommandError(str(error)) from error
