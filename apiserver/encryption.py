"""Encryption at rest: how an object of an encrypted kind lies in the store, and so in journal and snapshots.

A stored value is an envelope:

    0x01 | key id length (1 byte) | key id | length of the wrapped data key (2 bytes) | wrapped data key
         | nonce (12 bytes) | AES-256-GCM ciphertext and tag

The data key is wrapped by a key that never leaves its provider (`KeyProvider`): here the local key ring, one day a
KMS. A process draws a data key of its own and seals many values under it, each with a random nonce, until
SEALS_PER_DATA_KEY of them or another wrapping key: so opening ten thousand objects unwraps a few keys, and the chance
that a nonce comes twice stays below 2**-50 (NIST SP 800-38D asks for 2**-32). The head and the store key
are additional data: a value that is moved to another key, or has its head changed, does not open.

What must hold: no key and no plaintext in an error, a log line or a repr; a value sealed under a key that this replica
lacks is an error that names the key's id. Everything here takes microseconds and may run on the event loop; a
provider that waits for another machine must unwrap ahead.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apiserver.api.errors import InternalError
from apiserver.auth.keyring import KeyRing

SEALED = b"\x01"
PLAIN = b"{"
DATA_KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SEALS_PER_DATA_KEY = 1 << 22
DATA_KEYS_CACHED_MAX = 1024
WRAPPED_BYTES_MAX = 4096
_WRAP_PURPOSE = b"kmini data key v1\0"
_LENGTH = struct.Struct(">H")


class CannotOpen(InternalError):
    """A stored value that cannot be read here; the message names its store key and the id of its wrapping key."""


class KeyUnknown(Exception):
    """The provider has no wrapping key of this id."""


class WrappedKey(NamedTuple):
    key_id: str
    wrapped: bytes


class KeyProvider(Protocol):
    """Who holds the wrapping keys. Neither method may block for long: both run on the event loop."""

    @property
    def active_id(self) -> str:
        """Id of the key that `wrap` uses now: 1 to 255 bytes of ASCII."""

    def wrap(self, data_key: bytes) -> WrappedKey: ...

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        """Raises KeyUnknown; ValueError for what was not wrapped under that key."""


class LocalRing:
    """The provider over the key ring in DIR/pki."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._ciphers = {key.id: AESGCM(key.secret) for key in ring.keys}

    def __repr__(self) -> str:
        return f"LocalRing(active={self.ring.active!r})"

    @property
    def active_id(self) -> str:
        return self.ring.active

    def wrap(self, data_key: bytes) -> WrappedKey:
        key_id, nonce = self.ring.active, os.urandom(NONCE_BYTES)
        sealed = self._ciphers[key_id].encrypt(nonce, data_key, _WRAP_PURPOSE + key_id.encode())
        return WrappedKey(key_id, nonce + sealed)

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        cipher = self._ciphers.get(wrapped.key_id)
        if cipher is None:
            raise KeyUnknown(wrapped.key_id)
        nonce, sealed = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, sealed, _WRAP_PURPOSE + wrapped.key_id.encode())
        except (InvalidTag, ValueError):
            raise ValueError("the data key does not unwrap") from None


class Envelope(NamedTuple):
    """A stored value taken apart; `head` is everything before the nonce."""

    head: bytes
    data_key: WrappedKey
    nonce: bytes
    ciphertext: bytes


class _DataKey(NamedTuple):
    """The one in use: `head` begins every value that is sealed with it."""

    head: bytes
    key_id: str
    cipher: AESGCM


class Encryption:
    """Seals and opens stored values. One per replica; swapping the ring needs no restart (`reload`)."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._sealing: _DataKey | None = None
        self._seals_left = 0
        self._opened: dict[bytes, AESGCM] = {}  # head → cipher, oldest first

    @classmethod
    def with_ring(cls, ring: KeyRing) -> Encryption:
        return cls(LocalRing(ring))

    def reload(self, ring: KeyRing) -> None:
        """Use this ring from now on. Data keys that are in use under a key it does not have are forgotten."""
        self.use(LocalRing(ring))

    def use(self, provider: KeyProvider) -> None:
        self._provider, self._sealing = provider, None
        self._opened.clear()

    @property
    def active_id(self) -> str:
        """Id of the wrapping key new values are sealed under."""
        return self._provider.active_id

    def seal(self, key: bytes, plain: bytes) -> bytes:
        """The value to store under the store key `key`. Sealing the same value twice gives different bytes."""
        data_key = self._sealing
        if data_key is None or self._seals_left <= 0 or data_key.key_id != self._provider.active_id:
            data_key = self._draw()
        self._seals_left -= 1
        nonce = os.urandom(NONCE_BYTES)
        return data_key.head + nonce + data_key.cipher.encrypt(nonce, plain, data_key.head + key)

    def open(self, key: bytes, stored: bytes, *, sealed_only: bool = False) -> bytes:
        """The plaintext of what is stored under `key`. Raises CannotOpen.

        A value that begins with `{` is plain and returned as it is, for kinds may become encrypted while they have
        objects; with `sealed_only` it is refused.
        """
        if stored[:1] == PLAIN and not sealed_only:
            return stored
        envelope = split(key, stored)
        cipher = self._opened.get(envelope.head) or self._unwrap(key, envelope)
        try:
            return cipher.decrypt(envelope.nonce, envelope.ciphertext, envelope.head + key)
        except InvalidTag:
            raise _cannot_open(key, envelope, "is damaged, or was written for another object") from None

    def needs_reseal(self, stored: bytes) -> bool:
        """Whether a value of an encrypted kind is plain or sealed under another than the active key."""
        return key_id_of(stored) != self._provider.active_id

    def _draw(self) -> _DataKey:
        secret = os.urandom(DATA_KEY_BYTES)
        wrapped = self._provider.wrap(secret)
        key_id = wrapped.key_id.encode("ascii")
        head = SEALED + bytes([len(key_id)]) + key_id + _LENGTH.pack(len(wrapped.wrapped)) + wrapped.wrapped
        self._sealing = _DataKey(head, wrapped.key_id, AESGCM(secret))
        self._seals_left = SEALS_PER_DATA_KEY
        self._remember(head, self._sealing.cipher)
        return self._sealing

    def _unwrap(self, key: bytes, envelope: Envelope) -> AESGCM:
        try:
            cipher = AESGCM(self._provider.unwrap(envelope.data_key))
        except KeyUnknown:
            raise _cannot_open(key, envelope, "this replica's key ring does not hold that key") from None
        except ValueError:
            raise _cannot_open(key, envelope, "its data key does not unwrap: another cluster's ring?") from None
        self._remember(envelope.head, cipher)
        return cipher

    def _remember(self, head: bytes, cipher: AESGCM) -> None:
        if len(self._opened) >= DATA_KEYS_CACHED_MAX:
            del self._opened[next(iter(self._opened))]
        self._opened[head] = cipher


def is_sealed(stored: bytes) -> bool:
    return stored[:1] == SEALED


def key_id_of(stored: bytes) -> str:
    """Id of the wrapping key; empty for what is no envelope."""
    if not is_sealed(stored) or len(stored) < 2:
        return ""
    return stored[2 : 2 + stored[1]].decode("ascii", "replace")


def split(key: bytes, stored: bytes) -> Envelope:
    """Take a stored value apart. Raises CannotOpen for what is no envelope."""
    if not is_sealed(stored):
        raise CannotOpen(
            f"{_shown(key)} is not encrypted as its kind demands, or of a format this version does not know"
        )
    try:
        id_end = 2 + stored[1]
        (wrapped_bytes,) = _LENGTH.unpack_from(stored, id_end)
        key_id = stored[2:id_end].decode("ascii")
    except (IndexError, struct.error, UnicodeDecodeError):
        raise CannotOpen(f"{_shown(key)} is cut short or damaged") from None
    head_end = id_end + _LENGTH.size + wrapped_bytes
    body = head_end + NONCE_BYTES
    if wrapped_bytes > WRAPPED_BYTES_MAX or len(stored) < body + TAG_BYTES:
        raise CannotOpen(f"{_shown(key)} is cut short or damaged")
    wrapped = WrappedKey(key_id, stored[id_end + _LENGTH.size : head_end])
    return Envelope(stored[:head_end], wrapped, stored[head_end:body], stored[body:])


def _cannot_open(key: bytes, envelope: Envelope, why: str) -> CannotOpen:
    return CannotOpen(f"{_shown(key)} is encrypted under key {envelope.data_key.key_id!r}: {why}")


def _shown(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")
