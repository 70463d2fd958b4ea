"""get and list: at which revision, and which objects.

A read without resourceVersion is linearizable on every replica. A list is pages of stored bytes at one revision; with
a selector the index (a mirror of labels and selectable fields) names the keys, at the revision that it reflects. A list
at any other revision decodes what it looks at. Between pages the event loop gets its turn.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec

from apiserver.api.errors import BadRequest, Gone, NotFound
from apiserver.failures import too_large_version
from apiserver.feed.change import Facts, facts_of, facts_of_plain
from apiserver.feed.feed import Feeds
from apiserver.feed.mirror import Mirror
from apiserver.registry.resource import Resource
from apiserver.storage import (
    PAGE_KEYS,
    REQUEST_TIMEOUT_S,
    Storage,
    Stored,
    key_of,
    place_of,
    prefix_of,
    range_of,
)
from apiserver.verbs.call import EXACT, Call, ListOptions, version_of
from apiserver.verbs.selection import Selection

CONTINUE_CHARACTERS_MAX = 4096
APPLIED_POLL_S = 0.01


class Listed(NamedTuple):
    """`following` is the continue token; `remaining` is known only without a selector."""

    items: list[Stored]
    revision: int
    following: str = ""
    remaining: int | None = None


class Continue(msgspec.Struct, frozen=True):
    """What a continue token holds: revision of all pages, key to go on at, and of which kind."""

    v: str
    rv: int
    start: str


def not_found(resource: Resource, name: str) -> NotFound:
    return NotFound(
        f'{resource.group_resource} "{name}" not found', kind=resource.plural, group=resource.group, name=name
    )


class Reader:
    """Reads objects for requests. Raises ApiError."""

    def __init__(self, storage: Storage, feeds: Feeds) -> None:
        self.storage = storage
        self.feeds = feeds
        self._indexes: dict[str, Mirror[Facts]] = {}

    async def get(self, call: Call) -> Stored:
        """Raises NotFound, Timeout for a resourceVersion that is not applied here in time."""
        version = version_of(call.query.get("resourceVersion", ""))
        if version is None:
            found = await self.storage.read(call.stored, call.namespace, call.name)
        else:
            await self.applied(version)
            found = self.storage.peek(call.stored, call.namespace, call.name)
        if found is None:
            raise not_found(call.resource, call.name)
        return found

    async def applied(self, version: int) -> None:
        """Return once this replica has applied a revision. Raises Timeout as client-go knows it."""
        store = self.storage.store
        if store.revision >= version:
            return
        await self.storage.linearize()
        for _ in range(int(REQUEST_TIMEOUT_S / APPLIED_POLL_S)):
            if store.revision >= version:
                return
            await asyncio.sleep(APPLIED_POLL_S)
        raise too_large_version(version, store.revision)

    # --- lists --------------------------------------------------------------------------------------

    async def list_objects(self, call: Call, options: ListOptions) -> Listed:
        """Raises BadRequest, Gone, Timeout, ServiceUnavailable."""
        selection = Selection(call.stored, options.labels, options.fields)
        if selection.namespace and call.namespace and selection.namespace != call.namespace:
            return Listed([], await self._revision_for(options))
        start, end = range_of(call.stored, call.namespace or (selection.namespace if call.stored.namespaced else ""))
        token = self._token(call, options)
        if token is not None:
            start, revision, exact = token.start.encode(), token.rv, True
        else:
            revision = await self._revision_for(options)
            exact = revision != self.storage.store.revision
        if selection.name and (call.namespace or not call.stored.namespaced):
            return await self._one(call, selection, revision)
        if selection.matches is None and not selection.by_place:
            return await self._whole(call, start, end, options.limit, revision)
        return await self._selected(call, selection, (start, end), options.limit, None if not exact else revision)

    async def _revision_for(self, options: ListOptions) -> int:
        """The revision a list shows: the newest one, unless an exact one was asked for."""
        if options.version is None:
            await self.storage.linearize()
        elif options.version > 0:
            await self.applied(options.version)
            if options.match == EXACT or (options.limit and not options.match):
                return options.version
        return self.storage.store.revision

    def _token(self, call: Call, options: ListOptions) -> Continue | None:
        if not options.continue_:
            return None
        try:
            if len(options.continue_) > CONTINUE_CHARACTERS_MAX:
                raise ValueError("too long")
            padded = options.continue_ + "=" * (-len(options.continue_) % 4)
            token = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Continue)
            prefix = prefix_of(call.stored, call.namespace)
            if not token.start.encode().startswith(prefix) or token.rv <= 0:
                raise ValueError("of another list")
        except (ValueError, binascii.Error, msgspec.DecodeError, UnicodeError) as error:
            raise BadRequest(f"continue key is not valid: {error}") from None
        return token

    async def _whole(self, call: Call, start: bytes, end: bytes, limit: int, revision: int) -> Listed:
        """Everything in a range: the hot path, which decodes nothing."""
        items: list[Stored] = []
        following: bytes | None = start
        while following is not None:
            size = min(PAGE_KEYS, limit - len(items)) if limit else PAGE_KEYS
            page = self._page(following, end, size, revision)
            items += [stored for _, stored in page[0]]
            following = page[1]
            if limit and len(items) >= limit:
                break
            if following is not None:
                await asyncio.sleep(0)
        if following is None:
            return Listed(items, revision)
        remaining = await self._count(following, end, revision) if limit else None
        return Listed(items, revision, _continue(following, revision), remaining)

    async def _count(self, start: bytes, end: bytes, revision: int) -> int | None:
        """How many follow; only the newest revision is counted, where it costs little."""
        if revision != self.storage.store.revision:
            return None
        return await self.storage.count(start, end)

    def _page(
        self, start: bytes, end: bytes, size: int, revision: int
    ) -> tuple[list[tuple[bytes, Stored]], bytes | None]:
        try:
            page = self.storage.page(start, end, limit=size, revision=revision)
        except Gone:
            raise Gone(
                "The provided continue parameter is too old to display a consistent list result. "
                "You can start a new list without the continue parameter."
            ) from None
        return page.items, page.following

    async def _one(self, call: Call, selection: Selection, revision: int) -> Listed:
        key = key_of(call.stored, call.namespace, selection.name)
        found = self._page(key, key + b"\0", 1, revision)[0]
        matches = selection.matches
        wanted = selection.wants(call.namespace, selection.name)
        items = [
            stored
            for _, stored in found
            if wanted and (not matches or matches(facts_of_plain(call.stored, stored.plain)))
        ]
        return Listed(items, revision)

    async def objects_at(self, call: Call, selection: Selection, revision: int) -> AsyncIterator[Stored]:
        """Every object that matches, as of a revision, page by page: what a watch begins with."""
        following: bytes | None
        following, end = range_of(call.stored, call.namespace)
        if selection.name and (call.namespace or not call.stored.namespaced):
            following = key_of(call.stored, call.namespace, selection.name)
            end = following + b"\0"
        matches = None
        if selection.matches is not None or selection.by_place:
            matches = _with_place(call.stored, selection)
        while following is not None:
            found, following = self._page(following, end, PAGE_KEYS, revision)
            for key, stored in found:
                if matches is None or matches(key, facts_of_plain(call.stored, stored.plain)):
                    yield stored
            await asyncio.sleep(0)

    # --- with a selector ----------------------------------------------------------------------------

    async def index(self, resource: Resource) -> Mirror[Facts]:
        """Labels and selectable fields of every object of a kind, built when first needed."""
        mirror = self._indexes.get(resource.key)
        if mirror is None:
            mirror = self._indexes[resource.key] = Mirror(
                self.storage, self.feeds.of(resource), lambda obj: facts_of(resource, obj)
            )
        await mirror.ready()
        return mirror

    async def _selected(
        self, call: Call, selection: Selection, span: tuple[bytes, bytes], limit: int, exact: int | None
    ) -> Listed:
        """Objects that match, at the revision `exact`, or at the one the index reflects, which is no older."""
        start, end = span
        index = await self.index(call.stored)
        matches = _with_place(call.stored, selection)
        revision = index.revision if exact is None else exact
        if revision == index.revision:
            keys = self._named(
                sorted(key for key, facts in index.items() if start <= key < end and matches(key, facts))
            )
        else:
            keys = self._looked_at(call.stored, matches, start, end, revision)
        items: list[Stored] = []
        async for key in keys:
            if limit and len(items) == limit:
                return Listed(items, revision, _continue(key, revision))
            items += [stored for _, stored in self._page(key, key + b"\0", 1, revision)[0]]
        return Listed(items, revision)

    @staticmethod
    async def _named(keys: list[bytes]) -> AsyncIterator[bytes]:
        for count, key in enumerate(keys, 1):
            yield key
            if count % PAGE_KEYS == 0:
                await asyncio.sleep(0)

    async def _looked_at(
        self, resource: Resource, matches: Callable[[bytes, Facts], bool], start: bytes, end: bytes, revision: int
    ) -> AsyncIterator[bytes]:
        """Keys whose objects match at a revision that the index does not reflect: by decoding them."""
        following: bytes | None = start
        while following is not None:
            found, following = self._page(following, end, PAGE_KEYS, revision)
            for key, stored in found:
                if matches(key, facts_of_plain(resource, stored.plain)):
                    yield key
            await asyncio.sleep(0)

    def close(self) -> None:
        for mirror in self._indexes.values():
            mirror.close()


def _with_place(resource: Resource, selection: Selection) -> Callable[[bytes, Facts], bool]:
    matches = selection.matches
    if not selection.by_place and matches is not None:
        wanted = matches
        return lambda _key, facts: wanted(facts)

    def check(key: bytes, facts: Facts) -> bool:
        return selection.wants(*place_of(resource, key)) and (matches is None or matches(facts))

    return check


def _continue(following: bytes, revision: int) -> str:
    token = msgspec.json.encode(Continue("meta.k8s.io/v1", revision, following.decode()))
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()
