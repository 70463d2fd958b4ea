"""Objects ↔ keys of the store: the bytes that are served are the bytes that are stored.

A value is the JSON of an object's stored form without its resourceVersion, which is known only once the write is
applied: it begins with `{"apiVersion":..,"kind":..,"metadata":{`, and the version is spliced in behind that when the
bytes are copied out. Kinds that are encrypted at rest keep the same bytes in an envelope bound to their key. Keys are
`/registry/<resource>/<namespace>/<name>`, without the namespace for kinds of cluster scope; what the server keeps for
itself lies under `/registry/kmini/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from apiserver.api.meta import TopObject
from apiserver.decode import decoder
from apiserver.failures import api_error
from apiserver.registry.resource import Resource
from apiserver.tracing import span
from raftstore import Compare, Delete, KeyValue, Put, Range, Store, TxnResult, prefix_end
from raftstore.errors import StoreError

REGISTRY = b"/registry/"
OWN = REGISTRY + b"kmini/"
REQUEST_TIMEOUT_S = 3.0  # how long a request waits for a leader
PAGE_KEYS = 500  # read in one turn of the event loop

_encoder = msgspec.json.Encoder()
Operation = Put | Delete


class Envelope(Protocol):
    """Encryption at rest (apiserver/encryption.py)."""

    def seal(self, key: bytes, plain: bytes) -> bytes: ...
    def open(self, key: bytes, stored: bytes) -> bytes: ...


class Stored(NamedTuple):
    """One object as it lies in the store, decrypted. `revision` is its resourceVersion; 0: it was never written."""

    plain: bytes
    revision: int


class Page(NamedTuple):
    """`following` is the key the next page starts at, None on the last one; `revision` is what all pages show."""

    items: list[tuple[bytes, Stored]]
    following: bytes | None
    revision: int


class Transaction:
    """What one write compares and does, all at one revision. Effects add to it (apiserver/effects)."""

    __slots__ = ("compare", "success")

    def __init__(self) -> None:
        self.compare: list[Compare] = []
        self.success: list[Operation] = []

    def expect(self, key: bytes, revision: int) -> None:
        """The key must have this mod revision; 0: must not be there."""
        self.compare.append(Compare.mod_revision(key) == revision)

    def put(self, key: bytes, value: bytes) -> None:
        self.success.append(Put(key, value))

    def delete(self, key: bytes) -> None:
        self.success.append(Delete(key))


def head_of(resource: Resource) -> bytes:
    """What every value of the resource begins with."""
    return b'{"apiVersion":"%s","kind":"%s","metadata":{' % (resource.api_version.encode(), resource.kind.encode())


def encode(obj: TopObject) -> bytes:
    """The stored bytes of an object: without resourceVersion."""
    obj.metadata.resource_version = ""
    return _encoder.encode(obj)


def decode(resource: Resource, stored: Stored) -> Any:
    """The typed object, with its resourceVersion."""
    obj: TopObject = decoder(resource.type).decode(stored.plain)
    obj.metadata.resource_version = str(stored.revision or "")
    return obj


def served(head: bytes, stored: Stored) -> bytes:
    """The bytes to serve: head, resourceVersion, rest."""
    if not stored.revision:
        return stored.plain
    return b'%s"resourceVersion":"%d",%s' % (head, stored.revision, stored.plain[len(head) :])


def joined_items(head: bytes, items: Sequence[Stored], begin: bytes = b"", end: bytes = b"") -> bytes:
    """The bytes to serve within a list, where kind and apiVersion are the list's, with commas between.

    They are copied once, into what is sent; so are `begin` and `end` around them.
    """
    behind = len(head)
    parts: list[bytes | memoryview] = [begin]
    before = b'{"metadata":{"resourceVersion":"%d",'
    for plain, revision in items:
        parts += (before % revision, memoryview(plain)[behind:])
        before = b',{"metadata":{"resourceVersion":"%d",'
    parts.append(end)
    return b"".join(parts)


def prefix_of(resource: Resource, namespace: str = "") -> bytes:
    prefix = REGISTRY + resource.key.encode() + b"/"
    return prefix + namespace.encode() + b"/" if namespace else prefix


def key_of(resource: Resource, namespace: str, name: str) -> bytes:
    place = f"{namespace}/{name}" if resource.namespaced and namespace else name
    return f"/registry/{resource.key}/{place}".encode()


def place_of(resource: Resource, key: bytes) -> tuple[str, str]:
    """(namespace, name) of a key."""
    rest = key[len(REGISTRY) + len(resource.key) + 1 :].decode()
    if not resource.namespaced:
        return "", rest
    namespace, _, name = rest.partition("/")
    return namespace, name


class Storage:
    """See the module. Raises ApiError only: what the store says is translated (apiserver/failures.py)."""

    def __init__(self, store: Store, envelope: Envelope) -> None:
        self.store = store
        self._envelope = envelope

    # --- reading ----------------------------------------------------------------------------------------

    async def linearize(self) -> None:
        """Return once whatever was acknowledged before can be read here. Raises ServiceUnavailable."""
        try:
            await self.store.linearize(timeout_s=REQUEST_TIMEOUT_S)
        except StoreError as error:
            raise api_error(error) from error

    def peek(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """The object as this replica has applied it."""
        key = key_of(resource, namespace, name)
        found = self.peek_key(key)
        return None if found is None else self.opened(key, found)

    def peek_key(self, key: bytes) -> KeyValue | None:
        try:
            return self.store.peek(key)
        except StoreError as error:
            raise api_error(error) from error

    async def read(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """The object, linearizable."""
        key = key_of(resource, namespace, name)
        try:
            await self.store.linearize(timeout_s=REQUEST_TIMEOUT_S)
            found = self.store.peek(key)
        except StoreError as error:
            raise api_error(error) from error
        return None if found is None else self.opened(key, found)

    def page(self, start: bytes, end: bytes, *, limit: int, revision: int = 0) -> Page:
        """Up to `limit` objects of a range of keys, at one revision (0: the newest here). Raises Gone."""
        try:
            found = self.store.page(start, end, limit=limit, revision=revision)
        except StoreError as error:
            raise api_error(error, revision=revision) from error
        items = [
            (kv.key, Stored(kv.value, kv.mod_revision) if kv.value[:1] == b"{" else self.opened(kv.key, kv))
            for kv in found.kvs
        ]
        following = found.kvs[-1].key + b"\0" if found.more else None
        return Page(items, following, revision or found.revision)

    async def count(self, start: bytes, end: bytes) -> int:
        """How many objects a range of keys holds, as this replica has applied it."""
        try:
            return (await self.store.range(Range(start, end, count_only=True), level="local")).count
        except StoreError as error:
            raise api_error(error) from error

    def opened(self, key: bytes, kv: KeyValue) -> Stored:
        """A value as plain bytes."""
        value = kv.value
        return Stored(value if value[:1] == b"{" else self._envelope.open(key, value), kv.mod_revision)

    def opened_bytes(self, key: bytes, value: bytes) -> bytes:
        return value if value[:1] == b"{" else self._envelope.open(key, value)

    # --- writing ----------------------------------------------------------------------------------------

    def sealed(self, resource: Resource, key: bytes, plain: bytes) -> bytes:
        """A value as it is stored."""
        return self._envelope.seal(key, plain) if resource.encrypted else plain

    async def commit(self, transaction: Transaction) -> int | None:
        """The revision of the write; None when a comparison did not hold and nothing was done.

        Raises ServiceUnavailable when it was not done, Timeout when it may have been.
        """
        result = await self.transact(transaction.compare, transaction.success)
        return result.revision if result.succeeded else None

    async def transact(self, compare: Iterable[Compare], success: Sequence[Operation]) -> TxnResult:
        try:
            with span("store.txn"):
                return await self.store.txn(compare, success, timeout_s=REQUEST_TIMEOUT_S)
        except StoreError as error:
            raise api_error(error) from error


def range_of(resource: Resource, namespace: str = "") -> tuple[bytes, bytes]:
    """First and exclusive last key of all objects (of a namespace)."""
    prefix = prefix_of(resource, namespace)
    return prefix, prefix_end(prefix)
