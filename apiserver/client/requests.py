"""What to send for each verb: method, path, query, headers and body. No I/O, no clock, no chance.

Every part of a path is quoted whole, so that no name can lead elsewhere. Paths, parameters and media types are
Kubernetes' (API concepts: "Resource URIs", "Patch").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from apiserver.api.kinds import Kind
from apiserver.api.meta import DeleteOptions

JSON = "application/json"
#: Of every object only `metadata` (PartialObjectMetadata): for one object or event, and for a list.
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
Selector = str | Mapping[str, str]


class Patch(StrEnum):
    """How a patch is to be understood; the value is its media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`path` is quoted already; `query` holds only what was asked for."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    @property
    def target(self) -> str:
        """Path and query as they go into the request line."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path

    @property
    def is_write(self) -> bool:
        """Sent twice it may do something twice."""
        return self.method not in ("GET", "HEAD")

    def with_headers(self, *headers: tuple[str, str]) -> Request:
        return msgspec.structs.replace(self, headers=(*self.headers, *headers))


class WriteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a write can be told. `dry_run` runs every check and changes nothing; `field_validation` is Strict, Warn or
    Ignore, the server's default when empty; `timeout_s` is of the whole call, the client's when None."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""
    timeout_s: float | None = None

    def query(self) -> list[tuple[str, str]]:
        named = [("fieldManager", self.field_manager), ("fieldValidation", self.field_validation)]
        return [("dryRun", "All")] * self.dry_run + [(name, value) for name, value in named if value]


DEFAULT = WriteOptions()


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a list or a watch shows. Selectors are text as kubectl takes it, or a mapping of what must be equal."""

    labels: Selector = ""
    fields: Selector = ""
    limit: int = 0
    continue_: str = ""
    resource_version: str | None = None
    resource_version_match: str = ""

    def query(self) -> list[tuple[str, str]]:
        named = [
            ("labelSelector", selector_text(self.labels)),
            ("fieldSelector", selector_text(self.fields)),
            ("limit", str(self.limit or "")),
            ("continue", self.continue_),
            ("resourceVersionMatch", self.resource_version_match),
        ]
        found = [(name, value) for name, value in named if value]
        if self.resource_version is not None:
            found.append(("resourceVersion", self.resource_version))
        return found


def selector_text(selector: Selector) -> str:
    """`app=web,tier!=x` as it is; `{"app": "web"}` as `app=web`."""
    if isinstance(selector, str):
        return selector
    return ",".join(f"{key}={value}" for key, value in selector.items())


def path_of(kind: Kind, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
    """`/api/v1/namespaces/default/pods/web-1/status`. Raises ValueError for parts that cannot be."""
    parts = [kind.prefix]
    if namespace is not None and kind.namespaced:
        parts += ["namespaces", _part(namespace, "namespace")]
    parts.append(kind.plural)
    if name is not None:
        if kind.namespaced and namespace is None:
            raise ValueError(f"{kind.kind} {name!r} needs a namespace")
        parts.append(_part(name, "name"))
    if subresource:
        parts += [_part(each, "subresource") for each in subresource.split("/")]
    return "/".join(parts)


def _part(text: str, what: str) -> str:
    if text in ("", ".", ".."):
        raise ValueError(f"{what} is {text!r}, which names nothing")
    return quote(text, safe="")


def encode_body(body: Any) -> bytes:
    """Bytes as they are; anything else as JSON."""
    return bytes(body) if isinstance(body, bytes | bytearray | memoryview) else msgspec.json.encode(body)


# --- the verbs --------------------------------------------------------------------------------------


def get(path: str, *, resource_version: str | None = None, accept: str = JSON) -> Request:
    query = () if resource_version is None else (("resourceVersion", resource_version),)
    return Request(method="GET", path=path, query=query, headers=(("Accept", accept),))


def list_(path: str, options: ListOptions, *, accept: str = JSON) -> Request:
    return Request(method="GET", path=path, query=tuple(options.query()), headers=(("Accept", accept),))


def watch(path: str, options: ListOptions, *, timeout_s: int, bookmarks: bool = True, accept: str = JSON) -> Request:
    """Without a resource version: first what is there, ended by a bookmark that says so."""
    query = [("watch", "true"), ("timeoutSeconds", str(timeout_s)), *options.query()]
    if options.resource_version is None:
        query += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")]
        bookmarks = True
    if bookmarks:
        query.append(("allowWatchBookmarks", "true"))
    return Request(method="GET", path=path, query=tuple(query), headers=(("Accept", accept),))


def create(path: str, body: Any, options: WriteOptions = DEFAULT) -> Request:
    return _with_body("POST", path, body, JSON, options)


def update(path: str, body: Any, options: WriteOptions = DEFAULT) -> Request:
    return _with_body("PUT", path, body, JSON, options)


def patch(path: str, body: Any, how: Patch, options: WriteOptions = DEFAULT) -> Request:
    return _with_body("PATCH", path, body, how.value, options)


def delete(path: str, options: DeleteOptions | None = None, selection: ListOptions | None = None) -> Request:
    """Of an object, or with a selection of a collection."""
    query = tuple(selection.query()) if selection else ()
    headers: tuple[tuple[str, str], ...] = (("Accept", JSON),)
    if options is None:
        return Request(method="DELETE", path=path, query=query, headers=headers)
    body = msgspec.json.encode(msgspec.structs.replace(options, api_version="v1", kind="DeleteOptions"))
    return Request(method="DELETE", path=path, query=query, headers=(*headers, ("Content-Type", JSON)), body=body)


def _with_body(method: str, path: str, body: Any, media_type: str, options: WriteOptions) -> Request:
    headers = (("Accept", JSON), ("Content-Type", media_type))
    return Request(method=method, path=path, query=tuple(options.query()), headers=headers, body=encode_body(body))
