"""The API as verbs use it: objects of any kind as plain JSON, what the server warns of, and what it answers as a table.

Everything goes through `apiserver.client`, which knows servers, retries and errors.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.errors import BadRequest, NotFound
from apiserver.client import requests
from apiserver.client.requests import ListOptions, Patch, Request, WriteOptions, path_of
from apiserver.client.responses import Event, Response

from ..failures import about
from ..output import gojson

if TYPE_CHECKING:
    from apiserver.api.kinds import Kind
    from apiserver.client import Client

JsonObject = dict[str, Any]
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
CHUNK_SIZE = 500
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class Api:
    """`warn` gets every warning of the server, each once."""

    def __init__(self, client: Client, warn: Callable[[str], None]) -> None:
        self.client = client
        self._warn = warn
        self._warned: set[str] = set()

    async def send(self, request: Request, *, timeout_s: float | None = None) -> Response:
        """Raises ApiError for answers of 400 and above."""
        answer = await self.client.send(request, timeout_s=timeout_s)
        self._heed(answer)
        return answer

    def _heed(self, answer: Response) -> None:
        for text in _WARNING.findall(answer.headers.get("warning", "")):
            warning = text.replace('\\"', '"').replace("\\\\", "\\")
            if warning not in self._warned:
                self._warned.add(warning)
                self._warn(warning)

    async def json(self, request: Request) -> JsonObject:
        return decoded((await self.send(request)).body)

    # --- reads ----------------------------------------------------------------------------------------

    async def get(self, kind: Kind, name: str, namespace: str | None, *, subresource: str = "") -> JsonObject:
        return await self.json(requests.get(path_of(kind, namespace, name, subresource)))

    async def list_(
        self, kind: Kind, namespace: str | None, *, labels: str = "", fields: str = "", limit: int = CHUNK_SIZE
    ) -> list[JsonObject]:
        """All of them, page by page; `namespace` None is everywhere."""
        items: list[JsonObject] = []
        async for page in self.pages(kind, namespace, ListOptions(labels=labels, fields=fields, limit=limit)):
            kind_name = kind.kind
            for item in page.get("items") or []:
                items.append({"apiVersion": kind.api_version, "kind": kind_name} | item)
        return items

    async def pages(
        self, kind: Kind, namespace: str | None, options: ListOptions, *, accept: str = requests.JSON, more: str = ""
    ) -> AsyncGenerator[JsonObject, None]:
        """Lists as the server sends them. `more` is added to the query: `includeObject=Object`."""
        name, _, value = more.partition("=")
        while True:
            request = requests.list_(path_of(kind, namespace), options, accept=accept)
            if more:
                request = msgspec.structs.replace(request, query=(*request.query, (name, value)))
            try:
                page = await self.json(request)
            except (BadRequest, NotFound) as error:
                raise about(error, _sought(kind, options)) from None
            yield page
            continued = (page.get("metadata") or {}).get("continue") or ""
            if not continued:
                return
            options = msgspec.structs.replace(options, continue_=continued)

    async def watch(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        fields: str = "",
        labels: str = "",
        resource_version: str | None = None,
        accept: str = requests.JSON,
    ) -> AsyncGenerator[tuple[str, JsonObject], None]:
        """Type and object of every event after a resource version, or first what is there. Close it when done with."""
        from apiserver.client.watching import Watch

        path = path_of(kind, namespace)
        options = ListOptions(labels=labels, fields=fields, resource_version=resource_version)
        watch = Watch(self.client.caller, path, options, _watched, accept=accept)
        async with aclosing(watch.events()) as events:
            async for event in events:
                if event.type != "BOOKMARK":
                    yield event.type, event.object

    # --- writes ---------------------------------------------------------------------------------------

    async def create(
        self, kind: Kind, namespace: str | None, body: Any, options: WriteOptions = requests.DEFAULT
    ) -> JsonObject:
        return await self.json(requests.create(path_of(kind, namespace), body, options))

    async def replace(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Any,
        options: WriteOptions = requests.DEFAULT,
        *,
        subresource: str = "",
    ) -> JsonObject:
        return await self.json(requests.update(path_of(kind, namespace, name, subresource), body, options))

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Any,
        how: Patch = Patch.MERGE,
        options: WriteOptions = requests.DEFAULT,
        *,
        subresource: str = "",
    ) -> JsonObject:
        return await self.json(requests.patch(path_of(kind, namespace, name, subresource), body, how, options))

    async def delete(self, kind: Kind, namespace: str | None, name: str, options: JsonObject) -> JsonObject:
        """`options` are DeleteOptions; the object as it ends, or a Status."""
        body = msgspec.json.encode({"apiVersion": "v1", "kind": "DeleteOptions"} | options)
        headers = (("Accept", requests.JSON), ("Content-Type", requests.JSON))
        path = path_of(kind, namespace, name)
        return await self.json(Request(method="DELETE", path=path, headers=headers, body=body))


def _sought(kind: Kind, options: ListOptions) -> str:
    where = gojson.quote(f"{kind.api_version if kind.group else f'/{kind.version}'}, Resource={kind.plural}")
    if not options.labels and not options.fields:
        return f"Unable to list {where}"
    labels, fields = gojson.quote(str(options.labels)), gojson.quote(str(options.fields))
    return f"Unable to find {where} that match label selector {labels}, field selector {fields}"


def decoded(raw: bytes) -> JsonObject:
    found = msgspec.json.decode(raw)
    if not isinstance(found, dict):
        from apiserver.api.errors import InternalError

        raise InternalError("the server's answer is no object")
    return found


def _watched(event: Any) -> Any:
    from apiserver.client.watching import Watched

    obj = decoded(bytes(event.object))
    metadata = obj.get("metadata") or {}
    if obj.get("kind") == "Table":  # a row's object has the place in history
        for row in obj.get("rows") or []:
            metadata = (row.get("object") or {}).get("metadata") or metadata
    ends = event.type == "BOOKMARK" and (metadata.get("annotations") or {}).get("k8s.io/initial-events-end") == "true"
    event_type = _Initial if ends else Event
    return Watched(event_type(event.type, obj), metadata.get("resourceVersion", ""))


class _Initial(Event[Any], frozen=True):
    """The bookmark after what was there when a watch began."""

    @property
    def ends_initial_events(self) -> bool:
        return True
