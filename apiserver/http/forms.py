"""How objects look on the wire: JSON copied from the store, another version, a Table, metadata alone, YAML.

Only the plain JSON of the stored version is on the hot path, where nothing is decoded. Every other form decodes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from apiserver.api.errors import NotAcceptable
from apiserver.api.meta import ListMeta
from apiserver.http import tables
from apiserver.http.negotiation import Accepted, Form
from apiserver.registry.resource import Resource
from apiserver.storage import PAGE_KEYS, Stored, decode, head_of, joined_items, served

ROWS_PER_STEP = 200  # of a Table made in one turn of the event loop

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
        if self.resource.conversion is None:
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
    def streams(self) -> bool:
        """Whether a long list can be written piece by piece."""
        return self.accepted.form in (Form.JSON, Form.TABLE)

    async def list_pieces(
        self, first: Sequence[Stored], more: AsyncIterator[Sequence[tuple[bytes, Stored]]], metadata: ListMeta
    ) -> AsyncIterator[bytes]:
        """A list in pieces, which together are what `list` gives."""
        if self.accepted.form is Form.TABLE:
            async for piece in self._table_pieces(first, more, metadata):
                yield piece
            return
        begin = self.view.list_begin(metadata)
        for at in range(0, len(first), PAGE_KEYS):
            yield self.view.items(first[at : at + PAGE_KEYS], begin)
            begin = b","
        async for items in more:
            if items:
                yield self.view.items([stored for _, stored in items], begin)
        yield b"]}"

    async def _table_pieces(
        self, first: Sequence[Stored], more: AsyncIterator[Sequence[tuple[bytes, Stored]]], metadata: ListMeta
    ) -> AsyncIterator[bytes]:
        writer = tables.TableWriter(
            self.view.resource,
            now_s=time.time(),
            version=self.accepted.version,
            include_object=self.include_object,
        )
        for begin in range(0, len(first), ROWS_PER_STEP):
            writer.add(decode(self.view.stored, stored) for stored in first[begin : begin + ROWS_PER_STEP])
            await asyncio.sleep(0)
        async for items in more:
            for begin in range(0, len(items), ROWS_PER_STEP):
                writer.add(decode(self.view.stored, stored) for _, stored in items[begin : begin + ROWS_PER_STEP])
                await asyncio.sleep(0)
        yield writer.finish(metadata)

    def _table(self, items: Sequence[Stored], metadata: ListMeta | None, *, headers: bool = True) -> bytes:
        return tables.table(
            self.view.resource,
            (decode(self.view.stored, stored) for stored in items),
            now_s=time.time(),
            version=self.accepted.version,
            include_object=self.include_object,
            list_metadata=metadata,
            headers=headers,
        )


def as_yaml(body: bytes) -> bytes:
    """JSON as YAML, for whoever asks for it."""
    import yaml

    values = msgspec.json.decode(body)
    return yaml.dump(values, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True).encode()


def value_bytes(value: Any, accepted: Accepted) -> bytes:
    """Something that is not stored: a Status, a review."""
    body = _encode(value)
    return as_yaml(body) if accepted.form is Form.YAML else body
