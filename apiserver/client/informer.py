"""Keeps a copy of what the API shows of a kind, and tells handlers what changed: list once, then watch.

What always holds:
- The copy moves only forward, event by event, and every handler sees every change of an object it was told of, in
  order. Changes that happened while nothing could be heard arrive as one change from the last state seen to the present
  one; an object that was deleted and made anew in between is told as deleted and added.
- A broken connection is taken up on any server from the last resource version. Only when history is gone (410), or
  servers keep refusing, is everything listed again and compared.
- Memory is bounded: by `objects_max`, by pages while listing, and by what `trim` keeps of each object. Nothing queues:
  handlers are called in place, must be quick, and must not wait. One that fails is logged; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Generic, Literal, Self, TypeVar

import msgspec

from apiserver.api.errors import ApiError, Gone
from apiserver.api.kinds import kind_of
from apiserver.api.meta import TopObject

from .cache import Cache, Entry, Index, Key
from .client import PAGE_SIZE, Client
from .requests import ListOptions, Selector, selector_text
from .responses import Event, decode_object
from .retry import Backoff

log = logging.getLogger(__name__)

T = TypeVar("T", bound=TopObject)

OBJECTS_MAX = 250_000
#: Objects of a page, or events of a watch, that are handled in one turn of the event loop.
_AT_ONCE = 10
_RELIST = Backoff(first_s=0.2, longest_s=30.0)


class Change(msgspec.Struct, Generic[T], frozen=True):
    """`old` is None for what was added. The object of what was deleted is its last state, or with `seen` False the
    last state that was seen of it."""

    type: Literal["added", "updated", "deleted"]
    object: T
    old: T | None = None
    seen: bool = True


Handler = Callable[[Change[T]], None]
Trim = Callable[[T], T]


class CacheFull(Exception):
    """More objects than the informer may hold. It has stopped: a copy with holes would be worse than none."""


class Informer(Generic[T]):
    """Of one kind and selection. `async with` runs it; `trim` may change the object it gets, and gives what is kept."""

    def __init__(
        self,
        client: Client,
        type_: type[T],
        *,
        namespace: str | None = None,
        labels: Selector = "",
        fields: Selector = "",
        indexes: Mapping[str, Index[T]] | None = None,
        trim: Trim[T] | None = None,
        objects_max: int = OBJECTS_MAX,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.cache: Cache[T] = Cache()
        for name, function in (indexes or {}).items():
            self.cache.add_index(name, function)
        self.trim = trim
        self.resource_version: str | None = None
        self.synced = asyncio.Event()
        self.known = asyncio.Event()  # there is something to go by: what was listed, or recalled before
        self.error: Exception | None = None  # the last one, until something works
        self._client = client
        self._type = type_
        self._namespace = namespace
        self._options = ListOptions(labels=selector_text(labels), fields=selector_text(fields), limit=page_size)
        self._objects_max = objects_max
        self._handlers: list[Handler[T]] = []
        self._task: asyncio.Task[None] | None = None
        self._failures = 0

    # --- for those who use it -------------------------------------------------------------------------

    def add_handler(self, handler: Handler[T]) -> None:
        """It is told of everything that is known already first, as added."""
        for obj in self.cache:
            self._tell(handler, Change("added", obj))
        self._handlers.append(handler)

    def add_index(self, name: str, function: Index[T]) -> None:
        self.cache.add_index(name, function)

    def recall(self, objects: Iterable[T]) -> None:
        """What was there when somebody looked last, for a start while no server answers; what is listed takes its
        place. May be said again in another way; what a server has shown stays."""
        for obj in () if self.synced.is_set() else objects:
            key = _key(obj)
            entry = self.cache.entry(key)
            shown = entry is not None and entry.resource_version
            if not shown and (entry is not None or len(self.cache) < self._objects_max):
                self.cache.put(key, Entry(obj, uid=obj.metadata.uid, resource_version=""))  # older than any
                self._tell_all(Change("updated", obj, entry.obj) if entry is not None else Change("added", obj))
        self.known.set()

    async def wait_for_sync(self, *, timeout_s: float = 30.0) -> None:
        """Return once all that was there at some moment after the start is in the cache, and handlers were told.

        Raises TimeoutError saying what stands in the way, CacheFull.
        """
        waiting = asyncio.ensure_future(self.synced.wait())
        watched = {waiting} | ({self._task} if self._task else set())
        try:
            await asyncio.wait(watched, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        self.check()
        if not self.synced.is_set():
            kind = kind_of(self._type)
            reason = f": {self.error}" if self.error else ""
            raise TimeoutError(f"{kind.group_resource} were not listed within {timeout_s:g} s{reason}")

    def check(self) -> None:
        """Raises what ended it, CacheFull above all: its copy of the world stands still since then."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self, *, ended: Callable[[], None] | None = None) -> None:
        """`ended` is called once it has, by its fault or by `stop`."""
        if self._task is None:
            self._task = asyncio.create_task(self.run(), name=f"informer of {kind_of(self._type).group_resource}")
            if ended is not None:
                self._task.add_done_callback(lambda _: ended())

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- how it lives ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled. Raises CacheFull."""
        while True:
            try:
                if self.resource_version is None:
                    await self._list()
                await self._watch()
            except Gone as error:
                self.resource_version = None
                await self._wait_out(error)
            except ApiError as error:
                self.resource_version = None
                log.warning(
                    "an informer has to list again",
                    extra={"resource": kind_of(self._type).group_resource, "error": error.message},
                )
                await self._wait_out(error)

    async def _wait_out(self, error: ApiError) -> None:
        self.error = error
        caller = self._client.caller
        await caller.sleep(_RELIST.wait_s(self._failures, caller.random))
        self._failures += 1

    async def _list(self) -> None:
        """All there is, page by page. What is not on any page is gone."""
        options, kind = self._options, kind_of(self._type)
        seen: set[Key] = set()
        while True:
            page = await self._client.list_raw_page(kind, namespace=self._namespace, options=options)
            for number, raw in enumerate(page.items, 1):
                obj = decode_object(raw, self._type)
                seen.add(_key(obj))
                self._has(obj)
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # others share the loop, and handlers do some work for each
            if not page.metadata.continue_:
                break
            options = msgspec.structs.replace(self._options, continue_=page.metadata.continue_)
        for number, key in enumerate([key for key in self.cache.known_keys() if key not in seen], 1):
            self._lost(key, None)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self.resource_version = page.metadata.resource_version
        self.error = None
        self.known.set()
        self.synced.set()

    async def _watch(self) -> None:
        options = msgspec.structs.replace(self._options, limit=0, resource_version=self.resource_version)
        watch = self._client.open_watch(self._type, namespace=self._namespace, options=options)
        number = 0
        async with aclosing(watch.events()) as events:
            async for event in events:
                number += 1
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # many may have come at once
                self._handle(event)
                self.resource_version = event.object.metadata.resource_version
                self._failures = 0
                self.error = None

    def _handle(self, event: Event[T]) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._has(event.object)
        elif event.type == "DELETED":
            self._lost(_key(event.object), event.object)

    def _has(self, obj: T) -> None:
        """The server shows the object like this."""
        key, uid, version = _key(obj), obj.metadata.uid, obj.metadata.resource_version
        known = self.cache.entry(key)
        if known is not None and known.uid == uid and known.resource_version == version:
            return
        if known is not None and known.uid != uid:
            self._lost(key, None)
            known = None
        if known is None and len(self.cache) >= self._objects_max:
            raise CacheFull(
                f"there are more than {self._objects_max} {kind_of(self._type).group_resource}: "
                "select fewer of them, or allow for more"
            )
        kept = self.trim(obj) if self.trim else obj
        self.cache.put(key, Entry(kept, uid=uid, resource_version=version))
        if known is None:
            self._tell_all(Change("added", kept))
        else:
            self._tell_all(Change("updated", kept, known.obj))

    def _lost(self, key: Key, last: T | None) -> None:
        """The object is gone; `last` is how it was then, if that is known."""
        known = self.cache.drop(key)
        if known is None:
            return
        seen = last is not None and last.metadata.uid == known.uid
        kept = self.trim(last) if last is not None and seen and self.trim else last
        self._tell_all(Change("deleted", kept if seen and kept is not None else known.obj, known.obj, seen))

    def _tell_all(self, change: Change[T]) -> None:
        for handler in self._handlers:
            self._tell(handler, change)

    def _tell(self, handler: Handler[T], change: Change[T]) -> None:
        try:
            handler(change)
        except Exception:
            log.exception("a handler failed", extra={"resource": kind_of(self._type).group_resource})


def _key(obj: TopObject) -> Key:
    return Key(obj.metadata.namespace, obj.metadata.name)


class Informers:
    """One informer per kind and selection, shared by all who ask. `async with` runs those there are and will be."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: dict[tuple[object, ...], Informer[TopObject]] = {}
        self._running = False
        self._ended = asyncio.Event()

    def of(
        self,
        type_: type[T],
        *,
        namespace: str | None = None,
        labels: Selector = "",
        fields: Selector = "",
        trim: Trim[T] | None = None,
    ) -> Informer[T]:
        """Raises ValueError when somebody keeps other parts of the objects: two trims cannot share a copy."""
        key = (type_, namespace, selector_text(labels), selector_text(fields))
        found: Informer[T] | None = self._found.get(key)  # type: ignore[assignment]  # by type, which the key holds
        if found is None:
            found = Informer(self._client, type_, namespace=namespace, labels=labels, fields=fields, trim=trim)
            self._found[key] = found  # type: ignore[assignment]
            if self._running:
                found.start(ended=self._ended.set)
        elif found.trim is not trim:
            raise ValueError(f"an informer of {kind_of(type_).group_resource} with another trim function runs already")
        return found

    async def wait_for_sync(self, *, timeout_s: float = 30.0) -> None:
        """All of them. Raises as Informer.wait_for_sync."""
        async with asyncio.TaskGroup() as group:
            for informer in self._found.values():
                group.create_task(informer.wait_for_sync(timeout_s=timeout_s))

    async def watch_over(self) -> None:
        """Until it is cancelled. Raises what ended one of them: whoever goes by its copy must not go on."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            for informer in self._found.values():
                informer.check()

    async def __aenter__(self) -> Self:
        self._running = True
        for informer in self._found.values():
            informer.start(ended=self._ended.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running = False
        await asyncio.gather(*(informer.stop() for informer in self._found.values()))
