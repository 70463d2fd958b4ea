"""The objects an informer knows, found by name, namespace, or whatever an index says of them.

Objects are shared with every reader: look, do not touch. What an index said of an object is kept with it, so that an
object that was touched nevertheless cannot leave a key behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from apiserver.api.meta import TopObject

T = TypeVar("T", bound=TopObject)


class Key(NamedTuple):
    """`namespace` is empty for kinds of cluster scope."""

    namespace: str
    name: str


#: Says under which values an object is found; none is fine.
Index = Callable[[T], Iterable[str]]

NAMESPACE = "namespace"


class Entry(Generic[T]):
    """What came from the server names the object, whatever a trim function left of it."""

    __slots__ = ("indexed", "obj", "resource_version", "uid")

    def __init__(self, obj: T, *, uid: str, resource_version: str) -> None:
        self.obj = obj
        self.uid = uid
        self.resource_version = resource_version
        self.indexed: dict[str, tuple[str, ...]] = {}


def by_namespace(obj: TopObject) -> Iterable[str]:
    return (obj.metadata.namespace,)


def by_label(label: str) -> Index[TopObject]:
    """Found under the label's value; not found at all without it."""

    def index(obj: TopObject) -> Iterable[str]:
        value = obj.metadata.labels.get(label)
        return () if value is None else (value,)

    return index


def by_controller(obj: TopObject) -> Iterable[str]:
    """Found under the UID of the owner that controls it."""
    return tuple(owner.uid for owner in obj.metadata.owner_references if owner.controller)


class Cache(Generic[T]):
    """One writer, the informer. Every read is of one moment."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry[T]] = {}
        self._functions: dict[str, Index[T]] = {NAMESPACE: by_namespace}
        self._indexes: dict[str, dict[str, dict[Key, None]]] = {NAMESPACE: {}}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[T]:
        return iter([entry.obj for entry in self._entries.values()])

    def get(self, name: str, *, namespace: str = "") -> T | None:
        entry = self._entries.get(Key(namespace, name))
        return None if entry is None else entry.obj

    def in_namespace(self, namespace: str) -> list[T]:
        return self.by_index(NAMESPACE, namespace)

    def by_index(self, index: str, value: str) -> list[T]:
        """Raises KeyError for an index nobody added."""
        return [self._entries[key].obj for key in self._indexes[index].get(value, ())]

    def values_of(self, index: str) -> list[str]:
        """Every value under which something is found."""
        return list(self._indexes[index])

    def known_keys(self) -> list[Key]:
        return list(self._entries)

    # --- for the informer -----------------------------------------------------------------------------

    def add_index(self, name: str, function: Index[T]) -> None:
        """Also for what is there. Raises ValueError when the name stands for another function."""
        known = self._functions.get(name)
        if known is not None:
            if known is not function:
                raise ValueError(f"there is another index {name!r} already")
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, entry in self._entries.items():
            self._file(key, entry, name)

    def entry(self, key: Key) -> Entry[T] | None:
        return self._entries.get(key)

    def put(self, key: Key, entry: Entry[T]) -> None:
        self.drop(key)
        self._entries[key] = entry
        for name in self._functions:
            self._file(key, entry, name)

    def drop(self, key: Key) -> Entry[T] | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            for name, values in entry.indexed.items():
                self._unfile(key, name, values)
        return entry

    def _file(self, key: Key, entry: Entry[T], name: str) -> None:
        values = tuple(dict.fromkeys(self._functions[name](entry.obj)))
        entry.indexed[name] = values
        for value in values:
            self._indexes[name].setdefault(value, {})[key] = None

    def _unfile(self, key: Key, name: str, values: tuple[str, ...]) -> None:
        index = self._indexes[name]
        for value in values:
            keys = index[value]
            del keys[key]
            if not keys:
                del index[value]
