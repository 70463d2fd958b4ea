"""The keys that replicas share, in one file beside a backup: without them what was encrypted stays so.

A JSON file of mode 0600 with a format version. Its content is sealed under a passphrase (scrypt, then AES-256-GCM),
for it holds the cluster's secrets; a backup never does. Files of format 1 were not sealed and are still read.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from apiserver.auth import pki
from apiserver.auth.keyring import PkiError

from .errors import CommandError

FORMAT_VERSION = 2
FORMAT_PLAIN = 1
FILE_BYTES_MAX = 1024 * 1024
PASSPHRASE_CHARACTERS_MIN = 8
#: scrypt: 128 MiB and some tenths of a second for each guess (OWASP's password storage cheat sheet).
COST, BLOCK, PARALLEL = 1 << 17, 8, 1
COST_MAX, BLOCK_MAX, PARALLEL_MAX = 1 << 20, 8, 4  # what a file may make us spend: 1 GiB
SALT_BYTES = 16
NONCE_BYTES = 12
_PURPOSE = b"kmini shared keys v2"

Passphrase = Callable[[], str]


def save(folder: Path, path: Path, passphrase: str) -> None:
    """Put the shared keys of a replica's pki folder into one file. Raises CommandError."""
    try:
        pki.check_shared(folder)
        files = {name: _text(folder / name) for name in pki.SHARED_FILES}
        pki.write_file(path, seal(files, passphrase), secret=True)
    except (PkiError, OSError) as error:
        raise CommandError(f"the keys were not saved: {error}") from error


def seal(files: dict[str, str], passphrase: str) -> bytes:
    """The file for `files` (name → base64). Raises CommandError for a passphrase that protects nothing."""
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise CommandError(f"the passphrase needs at least {PASSPHRASE_CHARACTERS_MIN} characters")
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    key = _derive(passphrase, salt, COST, BLOCK, PARALLEL)
    sealed = AESGCM(key).encrypt(nonce, json.dumps(files).encode(), _PURPOSE)
    content = {
        "format": FORMAT_VERSION,
        "scrypt": {"n": COST, "r": BLOCK, "p": PARALLEL, "salt": base64.b64encode(salt).decode()},
        "nonce": base64.b64encode(nonce).decode(),
        "sealed": base64.b64encode(sealed).decode(),
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def load(path: Path, passphrase: Passphrase) -> dict[str, bytes]:
    """Name → content. `passphrase` is asked when the file is sealed. Raises CommandError naming the file."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(FILE_BYTES_MAX))
        version = content["format"]
        if version == FORMAT_PLAIN:
            files = content["files"]
        elif version == FORMAT_VERSION:
            files = _open(content, passphrase())
        else:
            raise CommandError(f"{path} has format {version!r}, this version reads {FORMAT_VERSION}")
        return {name: base64.b64decode(files[name], validate=True) for name in pki.SHARED_FILES}
    except InvalidTag:
        raise CommandError(f"{path} does not open: the passphrase is another one, or the file is damaged") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CommandError(f"{path} is no file of shared keys: {error}") from error


def restore(path: Path, folder: Path, passphrase: Passphrase) -> None:
    """Write the keys of a file into a pki folder. Raises CommandError when it holds other ones."""
    files = load(path, passphrase)
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


def _open(content: dict[str, Any], passphrase: str) -> dict[str, Any]:
    """Raises InvalidTag, and ValueError, KeyError, TypeError for what is no file of ours."""
    costs = content["scrypt"]
    cost, block, parallel = int(costs["n"]), int(costs["r"]), int(costs["p"])
    if not (1 < cost <= COST_MAX and 1 <= block <= BLOCK_MAX and 1 <= parallel <= PARALLEL_MAX):
        raise ValueError("its scrypt costs are out of bounds")
    salt, nonce, sealed = (base64.b64decode(text, validate=True) for text in _texts(content))
    key = _derive(passphrase, salt, cost, block, parallel)
    files: dict[str, Any] = json.loads(AESGCM(key).decrypt(nonce, sealed, _PURPOSE))
    return files


def _texts(content: dict[str, Any]) -> tuple[str, str, str]:
    return content["scrypt"]["salt"], content["nonce"], content["sealed"]


def _derive(passphrase: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=block, p=parallel).derive(passphrase.encode())


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
