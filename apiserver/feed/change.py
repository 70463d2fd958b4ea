"""One change of one object, and what watchers of different tastes make of it: each is worked out once and shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from apiserver.decode import decoder
from apiserver.registry.resource import Resource
from apiserver.storage import Stored, decode

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What selectors look at. `fields` are in the order of the resource's `selectable`."""

    labels: Mapping[str, str]
    fields: tuple[str, ...]


def facts_of(resource: Resource, obj: Any) -> Facts:
    return Facts(obj.metadata.labels, tuple(read(obj) for read in resource.selectable.values()))


def facts_of_plain(resource: Resource, plain: bytes) -> Facts:
    return facts_of(resource, decoder(resource.type).decode(plain))


class Change:
    """`plain` is the object after the change, None when it is gone; `previous` the one before, or None."""

    __slots__ = ("_facts", "_rendered", "key", "name", "namespace", "plain", "previous", "resource", "revision")

    def __init__(
        self,
        resource: Resource,
        key: bytes,
        place: tuple[str, str],
        revision: int,
        plain: bytes | None,
        previous: bytes | None,
    ) -> None:
        self.resource = resource
        self.key = key
        self.namespace, self.name = place
        self.revision = revision
        self.plain = plain
        self.previous = previous
        self._facts: tuple[Facts | None, Facts | None] | None = None
        self._rendered: dict[tuple[str, str], bytes] = {}

    def type_for_all(self) -> str:
        """What a watcher without a selector is told."""
        if self.plain is None:
            return DELETED
        return ADDED if self.previous is None else MODIFIED

    def type_for(self, matches: Callable[[Facts], bool]) -> str:
        """What a watcher with a selector is told; "" when the change is none of its business.

        An object that stops matching is DELETED to that watcher, one that begins to is ADDED.
        """
        before, after = self.facts()
        was = before is not None and matches(before)
        if after is not None and matches(after):
            return MODIFIED if was else ADDED
        return DELETED if was else ""

    def facts(self) -> tuple[Facts | None, Facts | None]:
        """(before, after), decoded at most once for all watchers."""
        if self._facts is None:
            self._facts = (self._facts_of(self.previous), self._facts_of(self.plain))
        return self._facts

    def _facts_of(self, plain: bytes | None) -> Facts | None:
        return None if plain is None else facts_of_plain(self.resource, plain)

    def shown(self, type_: str) -> Stored:
        """The object a watcher is shown: the one before when it is gone for it, at this change's revision."""
        plain = self.previous if type_ == DELETED else self.plain
        assert plain is not None, "a deletion is told only where the object before it is known"
        return Stored(plain, self.revision)

    def rendered(self, form: str, type_: str, render: Callable[[str, Stored], bytes]) -> bytes:
        """The bytes of the event in a form, rendered at most once for all watchers of that form."""
        known = self._rendered.get((form, type_))
        if known is None:
            known = self._rendered[form, type_] = render(type_, self.shown(type_))
        return known

    def obj(self) -> Any | None:
        """The object after the change, decoded; a new one for each call."""
        return None if self.plain is None else decode(self.resource, Stored(self.plain, self.revision))
