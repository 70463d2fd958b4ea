"""The encryption key ring: the keys under which objects are encrypted at rest, newest last.

The ring is one JSON file with a format version. The key marked active encrypts; every key in the ring
decrypts. Rotation is three steps that each reach every replica before the next: add a key, make it active,
drop the old one; a key id is never used twice.
"""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import NamedTuple

FILE_NAME = "encryption-keys.json"
FORMAT_VERSION = 1
SECRET_BYTES = 32  # AES-256
KEYS_MAX = 16


class PkiError(Exception):
    """A certificate, key or ring on disk is missing or bad; the message names the file."""


class RingKey(NamedTuple):
    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"RingKey({self.id!r})"  # secrets never reach a log line


class KeyRing(NamedTuple):
    active: str
    keys: tuple[RingKey, ...]

    def key(self, key_id: str) -> RingKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def encode(self) -> bytes:
        keys = [{"id": key.id, "secret": base64.b64encode(key.secret).decode()} for key in self.keys]
        return json.dumps({"format": FORMAT_VERSION, "active": self.active, "keys": keys}, indent=1).encode() + b"\n"


def new_key() -> RingKey:
    return RingKey(secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES))


def new_ring() -> KeyRing:
    key = new_key()
    return KeyRing(key.id, (key,))


def load(path: Path) -> KeyRing:
    """Raises PkiError naming the file."""
    try:
        return _decode(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PkiError(f"{path} is no encryption key ring: {error}") from error


def _decode(raw: bytes) -> KeyRing:
    fields = json.loads(raw)
    if fields["format"] != FORMAT_VERSION:
        raise ValueError(f"format {fields['format']!r}, this version reads {FORMAT_VERSION}")
    keys = tuple(RingKey(str(key["id"]), base64.b64decode(key["secret"], validate=True)) for key in fields["keys"])
    if not 1 <= len(keys) <= KEYS_MAX or len({key.id for key in keys}) != len(keys):
        raise ValueError(f"needs 1 to {KEYS_MAX} keys, each with an id of its own")
    if any(len(key.secret) != SECRET_BYTES for key in keys):
        raise ValueError(f"a key has not {SECRET_BYTES} bytes")
    ring = KeyRing(str(fields["active"]), keys)
    if ring.key(ring.active) is None:
        raise ValueError(f"active key {ring.active!r} is not in it")
    return ring
