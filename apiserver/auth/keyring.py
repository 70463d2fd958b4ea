"""The encryption key ring: the keys under which objects are encrypted at rest, newest last.

The ring is one JSON file with a format version. The key marked active encrypts; every key in the ring
decrypts. Rotation is three steps that each reach every replica before the next: add a key (`with_new_key`),
make it active (`with_newest_active`), drop the old ones (`with_only_active`); a key id is never used twice.
Each step makes a ring of the next generation, and of two rings the one of the higher `order` is the newer:
that is how replicas settle on one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple

FILE_NAME = "encryption-keys.json"
FORMAT_VERSION = 1
SECRET_BYTES = 32  # AES-256
KEYS_MAX = 16
_KEY_ID = re.compile(r"[a-z0-9]{1,32}")


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
    generation: int = 1  # a file that has none is of the first

    def key(self, key_id: str) -> RingKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def encode(self) -> bytes:
        keys = [{"id": key.id, "secret": base64.b64encode(key.secret).decode()} for key in self.keys]
        fields = {"format": FORMAT_VERSION, "generation": self.generation, "active": self.active, "keys": keys}
        return json.dumps(fields, indent=1).encode() + b"\n"

    @property
    def digest(self) -> str:
        """Tells rings apart and gives nothing away: its keys have 256 random bits each."""
        return hashlib.sha256(self.encode()).hexdigest()[:32]

    @property
    def order(self) -> tuple[int, str]:
        """Of two rings the higher is the newer; the digest decides between two of one generation."""
        return self.generation, self.digest

    def with_new_key(self) -> KeyRing:
        """The first step: a key that decrypts and does not encrypt yet. Raises ValueError when the ring is full."""
        if len(self.keys) >= KEYS_MAX:
            raise ValueError(f"the ring holds {KEYS_MAX} keys already: drop the old ones first")
        return KeyRing(self.active, (*self.keys, new_key()), self.generation + 1)

    def with_newest_active(self) -> KeyRing:
        """The second step; the ring itself when it is done already."""
        newest = self.keys[-1].id
        return self if newest == self.active else KeyRing(newest, self.keys, self.generation + 1)

    def with_only_active(self) -> KeyRing:
        """The last step: nothing may be encrypted under another key any more. The ring itself when it is done."""
        kept = tuple(key for key in self.keys if key.id == self.active)
        return self if kept == self.keys else KeyRing(self.active, kept, self.generation + 1)


def new_key() -> RingKey:
    return RingKey(secrets.token_hex(8), secrets.token_bytes(SECRET_BYTES))


def new_ring() -> KeyRing:
    key = new_key()
    return KeyRing(key.id, (key,))


def load(path: Path) -> KeyRing:
    """Raises PkiError naming the file."""
    try:
        return decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{path} is no encryption key ring: {error}") from error


def decode(raw: bytes) -> KeyRing:
    """Raises ValueError, which never shows a secret."""
    try:
        return _decode(json.loads(raw))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a field is missing or of a wrong type: {error}") from error


def _decode(fields: dict[str, Any]) -> KeyRing:
    if fields["format"] != FORMAT_VERSION:
        raise ValueError(f"format {fields['format']!r}, this version reads {FORMAT_VERSION}")
    keys = tuple(RingKey(str(key["id"]), base64.b64decode(key["secret"], validate=True)) for key in fields["keys"])
    if not 1 <= len(keys) <= KEYS_MAX or len({key.id for key in keys}) != len(keys):
        raise ValueError(f"needs 1 to {KEYS_MAX} keys, each with an id of its own")
    if any(len(key.secret) != SECRET_BYTES for key in keys):
        raise ValueError(f"a key has not {SECRET_BYTES} bytes")
    if any(not _KEY_ID.fullmatch(key.id) for key in keys):
        raise ValueError("a key id is 1 to 32 lower-case letters and digits")
    generation = fields.get("generation", 1)
    if type(generation) is not int or not 0 < generation < 1 << 53:
        raise ValueError("generation must be a positive whole number")
    ring = KeyRing(str(fields["active"]), keys, generation)
    if ring.key(ring.active) is None:
        raise ValueError(f"active key {ring.active!r} is not in it")
    return ring
