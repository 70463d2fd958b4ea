"""Objects as tables and as bare metadata: what `kubectl get` and metadata-only clients ask for (meta.k8s.io).

Pure functions from decoded objects (their resourceVersion filled in) to the bytes of the answer. One function serves
a single object, a list, a page of a list and the object of a watch event: a Table is a Table. In a watch only the
first event carries the column definitions (`headers=False` afterwards).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from apiserver.api.base import Object, always
from apiserver.api.errors import BadRequest
from apiserver.api.meta import ListMeta, ObjectMeta
from apiserver.registry.columns import DEFAULT
from apiserver.registry.columns.pods import ended
from apiserver.registry.resource import Column, Resource

from .negotiation import Form, negotiate_or_json

INCLUDE_OBJECT = ("", "None", "Metadata", "Object")  # values of the query parameter; "" is Metadata


class TableColumnDefinition(Object):
    name: str = always("")
    type: str = always("")
    format: str = always("")
    description: str = always("")
    priority: int = always(0)


class TableRowCondition(Object):
    type: str = always("")
    status: str = always("")
    reason: str = ""
    message: str = ""


class PartialObjectMetadata(Object):
    """An object of any kind, of which only the metadata is shown."""

    kind: str = always("PartialObjectMetadata")
    api_version: str = always("")
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class TableRow(Object):
    cells: list[Any] = always([])
    conditions: list[TableRowCondition] = msgspec.field(default_factory=list)
    object: Any = msgspec.field(default_factory=lambda: None)


class Table(Object):
    """All of a Table but its rows, which are put in as bytes."""

    kind: str = always("Table")
    api_version: str = always("")
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    column_definitions: list[TableColumnDefinition] | None = msgspec.field(default_factory=lambda: None)


_encode = msgspec.json.Encoder().encode

#: Reason and message of the `Completed` condition of rows whose object will not change any more, by Resource.key.
_ENDED: dict[str, Callable[[Any], tuple[str, str] | None]] = {"pods": ended}


def wants_table(accept: str | None) -> str | None:
    """`v1` or `v1beta1` when the header asks for a Table before anything else it accepts."""
    found = negotiate_or_json(accept, frozenset({Form.TABLE, Form.PARTIAL, Form.PARTIAL_LIST, Form.YAML}))
    return found.version if found.form is Form.TABLE else None


def check_include_object(value: str) -> str:
    """The query parameter `includeObject`. Raises BadRequest for what it cannot be."""
    if value not in INCLUDE_OBJECT:
        raise BadRequest(f'unrecognized includeObject value: "{value}": must be None, Metadata or Object')
    return value or "Metadata"


def definitions(columns: Iterable[Column]) -> list[TableColumnDefinition]:
    return [
        TableColumnDefinition(
            name=each.name,
            type=each.type,
            format=each.format,
            description=each.description,
            priority=each.priority,
        )
        for each in columns
    ]


def _conditions(resource: Resource, obj: Any) -> list[TableRowCondition]:
    rule = _ENDED.get(resource.stored_as or resource.key)
    found = rule(obj) if rule else None
    if found is None:
        return []
    reason, message = found
    return [TableRowCondition(type="Completed", status="True", reason=reason, message=message)]


def _shown(resource: Resource, obj: Any, *, include_object: str, version: str) -> Any:
    if include_object == "None":
        return None
    if include_object == "Object":
        return obj if resource.conversion is None else resource.conversion.from_stored(obj)
    return partial(obj.metadata, version=version)


class TableWriter:
    """Writes a Table piece by piece, so that a long list can be made in steps that do not hold up the event loop.

    `now_s` is wall-clock time, for ages. A pod's row costs some 15 microseconds, other kinds less.
    """

    def __init__(
        self, resource: Resource, *, now_s: float, version: str = "v1", include_object: str = "Metadata"
    ) -> None:
        self._resource = resource
        self._columns = resource.columns or DEFAULT
        self._cells = [each.cell for each in self._columns]
        self._now_s = now_s
        self._version = version
        self._include_object = include_object

    def row(self, obj: Any) -> bytes:
        """Of an object in stored form, even where the resource has a conversion; what is shown is converted here."""
        row = TableRow(
            cells=[cell(obj, self._now_s) for cell in self._cells],
            conditions=_conditions(self._resource, obj),
            object=_shown(self._resource, obj, include_object=self._include_object, version=self._version),
        )
        return _encode(row)

    def rows(self, objects: Iterable[Any], begin: bytes = b"") -> bytes:
        return begin + b",".join(map(self.row, objects))

    def begin(self, list_metadata: ListMeta, *, headers: bool = True) -> bytes:
        """Everything before the first row."""
        around = Table(
            api_version=f"meta.k8s.io/{self._version}",
            metadata=list_metadata,
            column_definitions=definitions(self._columns) if headers else None,
        )
        return b'%b,"rows":[' % _encode(around)[:-1]


def table(
    resource: Resource,
    objects: Iterable[Any],
    *,
    now_s: float,
    version: str = "v1",
    include_object: str = "Metadata",
    list_metadata: ListMeta | None = None,
    headers: bool = True,
) -> bytes:
    """The JSON of a Table, in one go: `TableWriter` says what the arguments are.

    `list_metadata` is that of the list; None: the resourceVersion of the one object.
    """
    shown = tuple(objects)
    if list_metadata is None:
        list_metadata = ListMeta(resource_version=shown[-1].metadata.resource_version if shown else "")
    writer = TableWriter(resource, now_s=now_s, version=version, include_object=include_object)
    return writer.rows(shown, writer.begin(list_metadata, headers=headers)) + b"]}"


def partial(metadata: ObjectMeta, *, version: str = "v1") -> PartialObjectMetadata:
    return PartialObjectMetadata(api_version=f"meta.k8s.io/{version}", metadata=metadata)


class _OnlyMetadata(msgspec.Struct):
    """Anything served; all but the metadata is skipped, and that is not looked into either."""

    metadata: msgspec.Raw = msgspec.Raw(b"{}")


_READ_METADATA = msgspec.json.Decoder(_OnlyMetadata)


def partial_object(served: bytes, *, version: str = "v1") -> bytes:
    """PartialObjectMetadata of an object, from the bytes that would be served for it. Copies, decodes nothing."""
    metadata = bytes(_READ_METADATA.decode(served).metadata)
    head = f'{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/{version}","metadata":'
    return b"%b%b}" % (head.encode(), metadata)


def partial_list(served: Iterable[bytes], *, list_metadata: ListMeta, version: str = "v1") -> bytes:
    """PartialObjectMetadataList of objects, from the bytes that would be served for each."""
    head = f'{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/{version}","metadata":'
    items = b",".join(partial_object(each, version=version) for each in served)
    return b'%b%b,"items":[%b]}' % (head.encode(), _encode(list_metadata), items)
