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
LOOKED_AT_PER_STEP = 500  # entries of the index, in one turn of the event loop: a selector may have many demands


class Listed(NamedTuple):
    """`following` is the continue token; `remaining` is known only without a selector."""

    items: list[Stored]
    revision: int
    following: str = ""
    remaining: int | None = None


Piece = list[tuple[bytes, Stored]]
Matcher = Callable[[bytes, Facts], bool]


class Listing(NamedTuple):
    """`pieces` come in the order of keys, all as of `revision`; `complete`: nothing before `end` is left out."""

    revision: int
    pieces: AsyncIterator[Piece]
    end: bytes
    complete: bool


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
        """A list in one piece: all of it, or the page that its limit asks for. Raises as `open_list`."""
        listing = await self.open_list(call, options)
        items: list[Stored] = []
        following = b""
        async for piece in listing.pieces:
            room = options.limit - len(items) if options.limit else len(piece)
            items += [stored for _, stored in piece[:room]]
            if len(piece) > room:
                following = piece[room][0]
                break
        if not following:
            return Listed(items, listing.revision)
        remaining = await self._count(following, listing.end, listing.revision) if listing.complete else None
        return Listed(items, listing.revision, _continue(following, listing.revision), remaining)

    async def open_list(self, call: Call, options: ListOptions) -> Listing:
        """A list to be read piece by piece. Raises BadRequest, Gone, Timeout, ServiceUnavailable."""
        selection = Selection(call.stored, options.labels, options.fields)
        if selection.namespace and call.namespace and selection.namespace != call.namespace:
            return Listing((await self._revision_for(options))[0], no_pieces(), b"", complete=False)
        start, end, one = self._span(call, selection)
        token = self._token(call, options)
        if token is not None:
            await self.applied(token.rv)  # another replica may have given it
            start, revision, exact = max(start, token.start.encode()), token.rv, True
        else:
            revision, exact = await self._revision_for(options)
        size = min(PAGE_KEYS, options.limit + 1) if options.limit else PAGE_KEYS
        matches = _matcher(call.stored, selection)
        if matches is None or one:
            return Listing(
                revision, self._pages(call.stored, start, end, size, revision, matches), end, matches is None
            )
        index = await self.index(call.stored)
        if not exact:
            revision = max(revision, index.revision)
        if revision != index.revision:
            return Listing(revision, self._pages(call.stored, start, end, size, revision, matches), end, complete=False)
        chosen: list[bytes] = []
        looked_at = list(index.items())  # as of `revision`: what changes meanwhile is another list's
        for at in range(0, len(looked_at), LOOKED_AT_PER_STEP):
            if at:
                await asyncio.sleep(0)
            step = looked_at[at : at + LOOKED_AT_PER_STEP]
            chosen += [key for key, facts in step if start <= key < end and matches(key, facts)]
        chosen.sort()
        return Listing(revision, self._named(chosen, size, revision), end, complete=False)

    @staticmethod
    def _span(call: Call, selection: Selection) -> tuple[bytes, bytes, bool]:
        """The keys a selection can mean, and whether that is a single one."""
        namespace = call.namespace or (selection.namespace if call.stored.namespaced else "")
        if selection.name and (namespace or not call.stored.namespaced):
            key = key_of(call.stored, namespace, selection.name)
            return key, key + b"\0", True
        return *range_of(call.stored, namespace), False

    async def _revision_for(self, options: ListOptions) -> tuple[int, bool]:
        """The revision a list shows, and whether no other will do: the newest, unless an exact one was asked for."""
        if options.version is None:
            await self.storage.linearize()
        elif options.version > 0:
            await self.applied(options.version)
            if options.match == EXACT or (options.limit and not options.match):
                return options.version, True
        return self.storage.store.revision, False

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

    async def objects_at(self, call: Call, selection: Selection, revision: int) -> AsyncIterator[Stored]:
        """Every object that matches, as of a revision: what a watch begins with."""
        start, end, _ = self._span(call, selection)
        matches = _matcher(call.stored, selection)
        async for piece in self._pages(call.stored, start, end, PAGE_KEYS, revision, matches):
            for _, stored in piece:
                yield stored

    async def _pages(
        self, resource: Resource, start: bytes, end: bytes, size: int, revision: int, matches: Matcher | None
    ) -> AsyncIterator[Piece]:
        """Pieces of a range at a revision. With `matches` every object is decoded: the index knows another revision."""
        following: bytes | None = start
        while following is not None:
            found, following = self._page(following, end, size, revision)
            if matches is not None:
                found = [each for each in found if matches(each[0], facts_of_plain(resource, each[1].plain))]
            yield found
            if following is not None:
                await asyncio.sleep(0)

    async def _named(self, keys: list[bytes], size: int, revision: int) -> AsyncIterator[Piece]:
        """Pieces of objects whose keys are known."""
        for first in range(0, len(keys), size):
            yield [each for key in keys[first : first + size] for each in self._page(key, key + b"\0", 1, revision)[0]]
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

    def close(self) -> None:
        for mirror in self._indexes.values():
            mirror.close()


def _matcher(resource: Resource, selection: Selection) -> Matcher | None:
    """None when every object matches."""
    matches = selection.matches
    if not selection.by_place:
        return None if matches is None else lambda _key, facts: matches(facts)

    def check(key: bytes, facts: Facts) -> bool:
        return selection.wants(*place_of(resource, key)) and (matches is None or matches(facts))

    return check


async def no_pieces() -> AsyncIterator[Piece]:
    nothing: tuple[Piece, ...] = ()
    for piece in nothing:
        yield piece


def _continue(following: bytes, revision: int) -> str:
    token = msgspec.json.encode(Continue("meta.k8s.io/v1", revision, following.decode()))
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()
