"""A row of the table of resources: everything the server must know of a kind, said once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from apiserver.api.meta import TopObject

from .strategy import Strategy

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Column(NamedTuple):
    """A column of `kubectl get`. `cell(object, now_s)` gives text, a number or a boolean; `now_s` is wall-clock time.

    `priority` 0 is always shown, above that only with `-o wide`.
    """

    name: str
    cell: Callable[[Any, float], Any]
    description: str
    type: str = "string"
    format: str = ""
    priority: int = 0


class Conversion(Protocol):
    """Between the form a version shows and the stored form."""

    def to_stored(self, obj: Any, old: Any | None) -> Any:
        """The stored form; what the version cannot show is kept from `old`."""

    def from_stored(self, stored: Any) -> Any:
        """The form to show."""


class SameForm:
    """A version that differs from the stored one in its name alone."""

    def to_stored(self, obj: Any, old: Any | None) -> Any:
        return obj

    def from_stored(self, stored: Any) -> Any:
        return stored


class Subresource(NamedTuple):
    """`kind`, `group` and `version` are what discovery names for its body."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """See the module. Immutable; compared and hashed by `key`."""

    plural: str
    kind: str
    type: type[TopObject]
    group: str = ""
    version: str = "v1"
    namespaced: bool = True
    singular: str = ""  # default: kind in lower case
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS  # reviews have ("create",) and are never stored
    strategy: Strategy[Any] = msgspec.field(default_factory=Strategy)
    columns: tuple[Column, ...] = ()  # default: name and age
    selectable: Mapping[str, Callable[[Any], str]] = {}  # field selectors beside metadata.name and metadata.namespace
    subresources: tuple[Subresource, ...] = ()
    encrypted: bool = False  # at rest
    computed: bool = False  # made when it is asked for, and never stored
    stored_as: str = ""  # `plural` (or `group/plural`) of the row whose objects these are; "" is its own
    conversion: Conversion | None = None  # needed with stored_as
    description: str = ""
    deprecated: str = ""  # what every client that uses it is told in a Warning header

    @property
    def key(self) -> str:
        """`pods`, `apps/deployments`: unique among the stored form's rows."""
        return f"{self.group}/{self.plural}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def group_resource(self) -> str:
        """As messages name it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.plural))

    def __eq__(self, other: object) -> bool:
        return self is other

    def subresource(self, name: str) -> Subresource | None:
        return next((each for each in self.subresources if each.name == name), None)
