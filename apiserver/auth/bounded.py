"""A cache with a bound: what authentication and authorization remember between requests.

When it is full the entry put in first goes. That keeps `get` one dictionary look-up; whoever floods a cache costs
others a miss, never a wrong answer.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """At most `entries_max` entries."""

    __slots__ = ("_entries", "_entries_max", "get")

    def __init__(self, entries_max: int) -> None:
        if entries_max < 1:
            raise ValueError(f"a cache holds at least one entry, not {entries_max}")
        self._entries: dict[K, V] = {}
        self._entries_max = entries_max
        self.get = self._entries.get  # bound once: it is on the way of every request

    def put(self, key: K, value: V) -> None:
        entries = self._entries
        if key not in entries and len(entries) >= self._entries_max:
            del entries[next(iter(entries))]
        entries[key] = value

    def discard(self, key: K) -> None:
        self._entries.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
