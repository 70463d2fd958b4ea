"""The finished documents, as bytes.

Building one costs tens to hundreds of milliseconds of pure computation: call these methods in a thread
(`asyncio.to_thread`), never on an event loop. Each is built when it is first asked for and then kept, compressed; the
trees it was made of are dropped. Safe to call from several threads: one builds, the others wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import msgspec

from apiserver.http.documents import Document
from apiserver.http.negotiation import PROTOBUF_OPENAPI_V2
from apiserver.registry.resource import Resource

from . import descriptions, v2, v3, wire
from .operations import operations
from .schemas import V2, V3, Definitions, Flavour, GroupVersionKind, without_status

TITLE = "kmini"


class OpenApi:
    """`version` is what documents carry as the version of the API: `v1.33.0+kmini.0.1.0`."""

    def __init__(self, rows: Iterable[Resource], *, version: str) -> None:
        self._rows = tuple(rows)
        self._version = version
        self._kinds = _kinds(self._rows)
        self._written: frozenset[type] | None = None
        self._built: dict[str, Document] = {}
        self._lock = threading.Lock()

    def paths(self) -> tuple[str, ...]:
        """`api/v1`, `apis/apps/v1`, ...: what follows `/openapi/v3/`."""
        return tuple(dict.fromkeys(_path_of(row) for row in self._rows))

    def known(self, name: str) -> Document | None:
        """What is built already, without computing anything: for the event loop. `name` as in `index`, `v3`, `v2`."""
        return self._built.get(name)

    def index(self) -> Document:
        """`/openapi/v3`: where the document of each group and version is; the address changes with the content."""
        return self._once("v3", self._index)

    def group_version(self, path: str) -> Document | None:
        """`/openapi/v3/<path>`; None: there is no such group and version."""
        if path not in self.paths():
            return None
        return self._once(f"v3/{path}", lambda: self._group_version(path))

    def swagger(self, *, protobuf: bool = False) -> Document:
        """`/openapi/v2`, as JSON or in the protobuf form."""
        if protobuf:
            return self._once("v2/protobuf", lambda: Document.of(wire.encode(self._swagger()), PROTOBUF_OPENAPI_V2))
        return self._once("v2", lambda: Document.of(msgspec.json.encode(self._swagger())))

    def _once(self, name: str, build: Callable[[], Document]) -> Document:
        with self._lock:
            if name not in self._built:
                self._built[name] = build()
                descriptions.forget()
            return self._built[name]

    def _definitions(self, flavour: Flavour) -> Definitions:
        if self._written is None:
            self._written = without_status(row.type for row in self._rows)
        return Definitions(flavour, kinds=self._kinds, written=self._written)

    def _index(self) -> Document:
        paths = {}
        for path in self.paths():
            name = f"v3/{path}"
            if name not in self._built:
                self._built[name] = self._group_version(path)
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._built[name].hash}"}
        return Document.of(msgspec.json.encode({"paths": paths}))

    def _group_version(self, path: str) -> Document:
        made = list(operations(row for row in self._rows if _path_of(row) == path))
        tree = v3.document(made, self._definitions(V3), title=TITLE, version=self._version)
        return Document.of(msgspec.json.encode(tree))

    def _swagger(self) -> dict[str, object]:
        made = list(operations(self._rows))
        return v2.document(made, self._definitions(V2), title=TITLE, version=self._version)


def _path_of(row: Resource) -> str:
    return f"apis/{row.group}/{row.version}" if row.group else f"api/{row.version}"


def _kinds(rows: tuple[Resource, ...]) -> dict[type, tuple[GroupVersionKind, ...]]:
    found: dict[type, tuple[GroupVersionKind, ...]] = {}
    for row in rows:
        found[row.type] = (*found.get(row.type, ()), GroupVersionKind(row.group, row.version, row.kind))
    return found
