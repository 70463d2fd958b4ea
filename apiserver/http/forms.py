"""How objects look on the wire: JSON copied from the store, another version, a Table, metadata alone, YAML.

Only the plain JSON of the stored version is on the hot path, where nothing is decoded. Every other form decodes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgspec

from apiserver.api.errors import NotAcceptable
from apiserver.api.meta import ListMeta
from apiserver.http import tables
from apiserver.http.negotiation import Accepted, Form
from apiserver.registry.resource import Resource
from apiserver.storage import PAGE_KEYS, Stored, decode, head_of, joined_items, served

#: Objects shown in one turn of the event loop, by form: those that are decoded and made anew cost most.
_PER_STEP = {Form.TABLE: 100, Form.YAML: 4, Form.PARTIAL: 250, Form.PARTIAL_LIST: 250}
CONVERTED_PER_STEP = 100
THREAD_FROM_BYTES = 16 * 1024  # of one object in YAML

#: Some objects of a list as bytes, with what stands before them.
Show = Callable[[Sequence[Stored], bytes], bytes]

_encode = msgspec.json.Encoder().encode


class ResourceView:
    """The bytes of one resource's objects, as its version shows them."""

    def __init__(self, resource: Resource, stored: Resource) -> None:
        self.resource = resource
        self.stored = stored
        self.head = head_of(stored)
        self._list_head = b'{"kind":"%sList","apiVersion":"%s","metadata":' % (
            resource.kind.encode(),
            resource.api_version.encode(),
        )

    def object(self, stored: Stored) -> bytes:
        if self.resource.conversion is None:
            return served(self.head, stored)
        return _encode(self.converted(stored))

    def converted(self, stored: Stored) -> Any:
        """The typed object in the version that is shown."""
        obj = decode(self.stored, stored)
        return obj if self.resource.conversion is None else self.resource.conversion.from_stored(obj)

    def items(self, items: Sequence[Stored], begin: bytes = b"", end: bytes = b"") -> bytes:
        """`begin`, the items with commas between, `end`."""
        if self.resource.conversion is None and not self.resource.computed:  # what is not stored has no version
            return joined_items(self.head, items, begin, end)
        return begin + b",".join([self.object(stored) for stored in items]) + end

    def list(self, items: Sequence[Stored], metadata: ListMeta) -> bytes:
        return self.items(items, self.list_begin(metadata), b"]}")

    def list_begin(self, metadata: ListMeta) -> bytes:
        """Everything before the first item."""
        return b'%s%s,"items":[' % (self._list_head, _encode(metadata))


class Look:
    """An accepted form of a resource: objects and lists to bytes. `key` names it for sharing rendered events."""

    def __init__(self, view: ResourceView, accepted: Accepted, include_object: str = "Metadata") -> None:
        self.view = view
        self.accepted = accepted
        self.include_object = include_object
        self.key = f"{view.resource.api_version}/{accepted.form.value}/{accepted.version}/{include_object}"

    def object(self, stored: Stored, *, headers: bool = True) -> bytes:
        """One object. `headers`: a Table tells its columns."""
        match self.accepted.form:
            case Form.TABLE:
                return self._table([stored], None, headers=headers)
            case Form.PARTIAL:
                return tables.partial_object(self.view.object(stored), version=self.accepted.version)
            case Form.PARTIAL_LIST:
                raise NotAcceptable("one object has no PartialObjectMetadataList")
            case Form.YAML:
                return as_yaml(self.view.object(stored))
        return self.view.object(stored)

    def list(self, items: Sequence[Stored], metadata: ListMeta) -> bytes:
        match self.accepted.form:
            case Form.TABLE:
                return self._table(items, metadata)
            case Form.PARTIAL | Form.PARTIAL_LIST:
                shown = map(self.view.object, items)
                return tables.partial_list(shown, list_metadata=metadata, version=self.accepted.version)
            case Form.YAML:
                return as_yaml(self.view.list(items, metadata))
        return self.view.list(items, metadata)

    @property
    def per_step(self) -> int:
        """How many objects may be shown without giving the event loop its turn."""
        converted = CONVERTED_PER_STEP if self.view.resource.conversion is not None else PAGE_KEYS
        return min(converted, _PER_STEP.get(self.accepted.form, PAGE_KEYS))

    async def one(self, stored: Stored) -> bytes:
        """`object`, not on the event loop where that would hold it up."""
        if self.accepted.form is Form.YAML and len(stored.plain) > THREAD_FROM_BYTES:
            return await asyncio.to_thread(self.object, stored)
        return self.object(stored)

    async def list_pieces(
        self, first: Sequence[Stored], more: AsyncIterator[Sequence[tuple[bytes, Stored]]], metadata: ListMeta
    ) -> AsyncIterator[bytes]:
        """A list in pieces of `per_step` objects, which together are what `list` gives."""
        begin, between, end, show = self._around(metadata)
        async for items in _steps(first, more, self.per_step):
            yield show(items, begin)
            begin = between
        if end:  # an empty piece would end the answer (RFC 9112, section 7.1)
            yield end

    def _around(self, metadata: ListMeta) -> tuple[bytes, bytes, bytes, Show]:
        """What stands before, between and behind the items of a list that has some, and how they are shown."""
        match self.accepted.form:
            case Form.TABLE:
                writer = self._table_writer()
                begin = writer.begin(metadata)
                return begin, b",", b"]}", lambda items, before: writer.rows(self._decoded(items), before)
            case Form.PARTIAL | Form.PARTIAL_LIST:
                whole = tables.partial_list((), list_metadata=metadata, version=self.accepted.version)
                return whole.removesuffix(b"]}"), b",", b"]}", self._partial_items
            case Form.YAML:
                empty = as_yaml(self.view.list_begin(metadata) + b"]}")
                return empty.removesuffix(b" []\n") + b"\n", b"", b"", self._yaml_items
        return self.view.list_begin(metadata), b",", b"]}", self.view.items

    def _partial_items(self, items: Sequence[Stored], begin: bytes) -> bytes:
        shown = (tables.partial_object(self.view.object(each), version=self.accepted.version) for each in items)
        return begin + b",".join(shown)

    def _yaml_items(self, items: Sequence[Stored], begin: bytes) -> bytes:
        return begin + as_yaml(self.view.items(items, b"[") + b"]")

    def _table_writer(self) -> tables.TableWriter:
        return tables.TableWriter(
            self.view.resource,
            now_s=time.time(),
            version=self.accepted.version,
            include_object=self.include_object,
        )

    def _decoded(self, items: Sequence[Stored]) -> Iterator[Any]:
        return (decode(self.view.stored, stored) for stored in items)

    def _table(self, items: Sequence[Stored], metadata: ListMeta | None, *, headers: bool = True) -> bytes:
        return tables.table(
            self.view.resource,
            self._decoded(items),
            now_s=time.time(),
            version=self.accepted.version,
            include_object=self.include_object,
            list_metadata=metadata,
            headers=headers,
        )


async def _steps(
    first: Sequence[Stored], more: AsyncIterator[Sequence[tuple[bytes, Stored]]], size: int
) -> AsyncIterator[Sequence[Stored]]:
    for at in range(0, len(first), size):
        yield first[at : at + size]
    async for piece in more:
        items = [stored for _, stored in piece]
        for at in range(0, len(items), size):
            yield items[at : at + size]


def as_yaml(body: bytes) -> bytes:
    """JSON as YAML, for whoever asks for it."""
    import yaml

    values = msgspec.json.decode(body)
    return yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True).encode()


def value_bytes(value: Any, accepted: Accepted) -> bytes:
    """Something that is not stored: a Status, a review."""
    body = _encode(value)
    return as_yaml(body) if accepted.form is Form.YAML else body
