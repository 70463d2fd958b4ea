"""Objects of any kind by their metadata alone: what a program needs that looks after objects whatever they are.

The server sends nothing but the metadata (PartialObjectMetadata) and of that only what is named here is decoded, so
that ten thousand pods cost no more than their names. A server that sends whole objects is understood too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.base import json_name
from apiserver.api.errors import InternalError
from apiserver.api.kinds import Kind
from apiserver.api.meta import DeleteOptions, OwnerReference

from . import requests
from .client import PAGE_SIZE, Client
from .requests import ListOptions, Patch, path_of
from .responses import Event, Page, RawEvent, decode_raw_page
from .watching import Watch, Watched


class Metadata(msgspec.Struct, rename=json_name, kw_only=True, gc=False):
    """What is kept of `metadata`; a subset of apiserver.api.meta.ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []


class _Described(msgspec.Struct):
    metadata: Metadata = msgspec.field(default_factory=Metadata)


_decoder = msgspec.json.Decoder(_Described)


def decode(raw: bytes | msgspec.Raw) -> Metadata:
    """Raises InternalError when it is no object: the server speaks another language."""
    try:
        return _decoder.decode(raw).metadata
    except msgspec.DecodeError as error:
        raise InternalError(f"the server's answer is no object with metadata: {error}") from error


async def get(client: Client, kind: Kind, name: str, *, namespace: str | None = None) -> Metadata:
    path = path_of(kind, namespace or client.namespace, name)
    return decode((await client.send(requests.get(path, accept=requests.METADATA))).body)


async def list_page(
    client: Client, kind: Kind, *, namespace: str | None = None, options: ListOptions | None = None
) -> Page[Metadata]:
    """Some of all; `metadata.continue_` of the page leads to the next."""
    request = requests.list_(
        path_of(kind, namespace), options or ListOptions(limit=PAGE_SIZE), accept=requests.METADATA_LIST
    )
    page = decode_raw_page((await client.send(request)).body)
    return Page([decode(item) for item in page.items], page.metadata)


def open_watch(client: Client, kind: Kind, *, namespace: str | None = None, options: ListOptions) -> Watch[Metadata]:
    return Watch(client.caller, path_of(kind, namespace), options, _watched, accept=requests.METADATA)


async def patch(client: Client, kind: Kind, name: str, metadata: Any, *, namespace: str | None = None) -> Metadata:
    """A merge patch of the metadata. With `uid` and `resourceVersion` in it only if they are still so: else raises
    Conflict."""
    path = path_of(kind, namespace or client.namespace, name)
    request = requests.patch(path, {"metadata": metadata}, Patch.MERGE)
    return decode((await client.send(request)).body)


async def delete(
    client: Client, kind: Kind, name: str, *, namespace: str | None = None, options: DeleteOptions | None = None
) -> None:
    await client.send(requests.delete(path_of(kind, namespace or client.namespace, name), options))


def _watched(event: RawEvent) -> Watched[Metadata]:
    found = decode(event.object)
    return Watched(Event(event.type, found), found.resource_version)
