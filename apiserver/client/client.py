"""The client: every verb of the API with types going in and coming out.

    async with Client.from_kubeconfig() as client:
        pod = await client.get(Pod, "web-1")
        async for pod in client.list(Pod, labels={"app": "web"}): ...

Namespaces: what names one object (get, create, delete, ...) takes it from the argument, else from the object, else
`client.namespace`. `list` and `watch` without a namespace show all of them.

Errors are `apiserver.api.errors`; those nobody answered are `apiserver.client.errors`. Reads are sent again, writes
only when it is certain that nothing happened (retry.py): a write that fails with `definite` False may have happened.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

import msgspec

from apiserver.api.errors import Conflict
from apiserver.api.kinds import Kind, kind_of
from apiserver.api.meta import DeleteOptions, TopObject

from . import kubeconfig, requests
from .access import Access, Credentials
from .calls import Caller, CallOptions
from .learning import Learner
from .requests import DEFAULT, ListOptions, Patch, Request, Selector, WriteOptions, path_of
from .responses import (
    Event,
    Page,
    RawEvent,
    Response,
    decode_object,
    decode_page,
    decode_raw_page,
)
from .servers import Servers
from .transport import Transport
from .watching import Watch, Watched

T = TypeVar("T", bound=TopObject)

PAGE_SIZE = 500
CONFLICTS_MAX = 10
_FENCE_HEADER = "X-Kmini-Fence"


class Client:
    """Use it as `async with`, from one event loop. `servers` are asked before the Access' own, in their order.

    `servers_file` keeps the servers that were learned from the cluster; without it they are learned all the same, for
    as long as this client lives. `learn=False` stays with what is configured.
    """

    def __init__(
        self,
        access: Access | None = None,
        *,
        servers: Sequence[str] = (),
        options: CallOptions | None = None,
        user_agent: str = "kmini-client",
        servers_file: Path | None = None,
        learn: bool = True,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        access = access or Access(servers=tuple(servers))
        random = random or Random()
        known = Servers([*servers, *access.servers], clock=clock, random=random, file=servers_file)
        if transport is None:
            from .http import HttpTransport

            transport = HttpTransport(Credentials(access, clock=clock), user_agent=user_agent)
        self.namespace = access.namespace
        self.caller = Caller(transport, known, options or CallOptions(), clock=clock, sleep=sleep, random=random)
        self._learner = Learner(self.caller) if learn else None
        self._fence = ""

    @classmethod
    def from_kubeconfig(cls, path: str | Path | None = None, context: str | None = None, **settings: Any) -> Self:
        """`settings` are those of the constructor. Raises ValueError, OSError saying what is wrong with the file."""
        return cls(kubeconfig.load(path, context), **settings)

    @classmethod
    def in_cluster(cls, **settings: Any) -> Self:
        """With the service account of the pod this runs in. Raises ValueError when it runs in none."""
        return cls(kubeconfig.in_cluster(), **settings)

    async def __aenter__(self) -> Self:
        if self._learner is not None:
            self._learner.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._learner is not None:
            await self._learner.stop()
        await self.caller.pulse.close()
        await self.caller.transport.close()

    def fence(self, lease: str, transitions: int) -> Client:
        """The same client, whose writes happen only while the election of `lease` has not gone on to another holder;
        once it has they raise Fenced. It shares everything with this one, which is the one to close."""
        fenced = copy.copy(self)
        fenced._fence = f"{lease}/{transitions}"
        return fenced

    # --- reads ----------------------------------------------------------------------------------------

    async def get(self, type_: type[T], name: str, *, namespace: str | None = None) -> T:
        return decode_object(await self.get_raw(kind_of(type_), name, namespace=namespace), type_)

    async def get_raw(self, kind: Kind, name: str, *, namespace: str | None = None, subresource: str = "") -> bytes:
        path = path_of(kind, namespace or self.namespace, name, subresource)
        return (await self.send(requests.get(path))).body

    async def list(
        self,
        type_: type[T],
        *,
        namespace: str | None = None,
        labels: Selector = "",
        fields: Selector = "",
        limit: int = PAGE_SIZE,
    ) -> AsyncGenerator[T, None]:
        """Every object, read in pages of `limit` that all show one revision. Raises Gone when that took too long."""
        options = ListOptions(labels=labels, fields=fields, limit=limit)
        while True:
            page = await self.list_page(type_, namespace=namespace, options=options)
            for item in page.items:
                yield item
            if not page.metadata.continue_:
                return
            options = msgspec.structs.replace(options, continue_=page.metadata.continue_)

    async def list_page(
        self, type_: type[T], *, namespace: str | None = None, options: ListOptions | None = None
    ) -> Page[T]:
        response = await self._list(kind_of(type_), namespace, options)
        return decode_page(response.body, type_)

    async def list_raw_page(
        self, kind: Kind, *, namespace: str | None = None, options: ListOptions | None = None
    ) -> Page[msgspec.Raw]:
        return decode_raw_page((await self._list(kind, namespace, options)).body)

    async def _list(self, kind: Kind, namespace: str | None, options: ListOptions | None) -> Response:
        return await self.send(requests.list_(path_of(kind, namespace), options or ListOptions(limit=PAGE_SIZE)))

    # --- watches --------------------------------------------------------------------------------------

    async def watch(
        self,
        type_: type[T],
        *,
        resource_version: str | None = None,
        namespace: str | None = None,
        labels: Selector = "",
        fields: Selector = "",
        bookmarks: bool = False,
        give_up_after_s: float | None = None,
    ) -> AsyncGenerator[Event[T], None]:
        """Events after `resource_version`, for as long as somebody listens; see watching.py. Without it, first what is
        there. `bookmarks` shows those too. Raises Gone when history is no longer there: list again."""
        watch = self.open_watch(
            type_,
            namespace=namespace,
            options=ListOptions(labels=labels, fields=fields, resource_version=resource_version),
            give_up_after_s=give_up_after_s,
        )
        async with aclosing(watch.events()) as events:
            async for event in events:
                if bookmarks or event.type != "BOOKMARK":
                    yield event

    def open_watch(
        self,
        type_: type[T],
        *,
        namespace: str | None = None,
        options: ListOptions,
        give_up_after_s: float | None = None,
    ) -> Watch[T]:
        """The same with its place in the history to be seen: `watch.resource_version`."""

        def read(event: RawEvent) -> Watched[T]:
            obj = decode_object(event.object, type_)
            return Watched(Event(event.type, obj), obj.metadata.resource_version)

        path = path_of(kind_of(type_), namespace)
        return Watch(self.caller, path, options, read, give_up_after_s=give_up_after_s)

    def open_raw_watch(self, kind: Kind, *, namespace: str | None = None, options: ListOptions) -> Watch[msgspec.Raw]:
        return Watch(self.caller, path_of(kind, namespace), options, _read_raw)

    # --- writes ---------------------------------------------------------------------------------------

    async def create(self, obj: T, *, namespace: str | None = None, options: WriteOptions = DEFAULT) -> T:
        """Raises AlreadyExists, Invalid, ... `metadata.generate_name` lets the server choose the name."""
        kind = kind_of(type(obj))
        path = path_of(kind, namespace or obj.metadata.namespace or self.namespace)
        return await self._write(requests.create(path, _named(obj, kind), options), type(obj), options)

    async def update(
        self, obj: T, *, namespace: str | None = None, subresource: str = "", options: WriteOptions = DEFAULT
    ) -> T:
        """Replace it. With `metadata.resource_version` only if nobody changed it since; else raises Conflict."""
        kind = kind_of(type(obj))
        path = path_of(kind, namespace or obj.metadata.namespace or self.namespace, obj.metadata.name, subresource)
        return await self._write(requests.update(path, _named(obj, kind), options), type(obj), options)

    async def update_status(self, obj: T, *, namespace: str | None = None) -> T:
        return await self.update(obj, namespace=namespace, subresource="status")

    async def change(
        self,
        type_: type[T],
        name: str,
        change: Callable[[T], object],
        *,
        namespace: str | None = None,
        subresource: str = "",
    ) -> T:
        """Read, let `change` change it in place, update; again when somebody was faster. Nothing is sent when nothing
        changed. Raises Conflict after CONFLICTS_MAX rounds."""
        for attempt in range(CONFLICTS_MAX):
            found = await self.get(type_, name, namespace=namespace)
            before = msgspec.json.encode(found)
            change(found)
            if msgspec.json.encode(found) == before:
                return found
            try:
                return await self.update(found, namespace=namespace, subresource=subresource)
            except Conflict as error:
                if attempt == CONFLICTS_MAX - 1 or type(error) is not Conflict:
                    raise
                await self.caller.sleep(self.caller.options.backoff.wait_s(attempt, self.caller.random))
        raise AssertionError("the last round returns or raises")

    async def patch(
        self,
        type_: type[T],
        name: str,
        patch: Any,
        how: Patch = Patch.MERGE,
        *,
        namespace: str | None = None,
        subresource: str = "",
        options: WriteOptions = DEFAULT,
    ) -> T:
        """`patch` is what becomes JSON, or bytes that are."""
        path = path_of(kind_of(type_), namespace or self.namespace, name, subresource)
        return await self._write(requests.patch(path, patch, how, options), type_, options)

    async def delete(
        self, type_: type[T], name: str, *, namespace: str | None = None, options: DeleteOptions | None = None
    ) -> T | None:
        """The object as it is while it ends (a grace period, finalizers); None when the server only says it is done."""
        path = path_of(kind_of(type_), namespace or self.namespace, name)
        response = await self.send(requests.delete(path, options))
        return None if _is_status(response.body) else decode_object(response.body, type_)

    async def delete_collection(
        self,
        type_: type[TopObject],
        *,
        namespace: str | None = None,
        labels: Selector = "",
        fields: Selector = "",
        options: DeleteOptions | None = None,
    ) -> None:
        """All that the selectors select in one namespace: `client.namespace` when none is named."""
        path = path_of(kind_of(type_), namespace or self.namespace)
        await self.send(requests.delete(path, options, ListOptions(labels=labels, fields=fields)))

    async def send(self, request: Request, *, timeout_s: float | None = None) -> Response:
        """Any request, with fail-over and retry by the same rules. Raises ApiError for answers of 400 and above."""
        if self._fence and request.is_write:
            request = request.with_headers((_FENCE_HEADER, self._fence))
        return await self.caller.call(request, timeout_s=timeout_s)

    async def _write(self, request: Request, type_: type[T], options: WriteOptions) -> T:
        return decode_object((await self.send(request, timeout_s=options.timeout_s)).body, type_)


def _named(obj: T, kind: Kind) -> T:
    """With version and kind, which the caller may leave out; theirs is not changed."""
    if obj.kind and obj.api_version:
        return obj
    return msgspec.structs.replace(obj, api_version=kind.api_version, kind=kind.kind)


class _Kind(msgspec.Struct):
    kind: str = ""


class _ResourceVersion(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    metadata: _ResourceVersion


def _is_status(raw: bytes) -> bool:
    return msgspec.json.decode(raw, type=_Kind).kind == "Status"


def _read_raw(event: RawEvent) -> Watched[msgspec.Raw]:
    found = msgspec.json.decode(event.object, type=_Versioned)
    return Watched(Event(event.type, event.object), found.metadata.resource_version)
