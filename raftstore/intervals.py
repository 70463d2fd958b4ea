"""Which of many half-open key ranges contain a key: answered in logarithmic time, changed in the same.

Ranges are kept in a few sorted arrays of doubling size, each an implicit tree that knows the largest end
below every node. Adding merges small arrays into a larger one; removing only forgets the item, and half
of them forgotten rebuilds the whole.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Entry = tuple[bytes, bytes, Item]  # start, end, item


class _Level(Generic[Item]):
    """An unchanging set of ranges."""

    __slots__ = ("entries", "highest")

    def __init__(self, entries: list[Entry[Item]]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry[0])
        self.highest = [b""] * len(entries)  # of the subtree whose root stands here
        self._measure(0, len(entries))

    def _measure(self, low: int, high: int) -> bytes:
        if low >= high:
            return b""
        middle = (low + high) // 2
        end = max(self.entries[middle][1], self._measure(low, middle), self._measure(middle + 1, high))
        self.highest[middle] = end
        return end

    def stab(self, key: bytes, found: list[Entry[Item]]) -> None:
        pending = [(0, len(self.entries))]
        while pending:
            low, high = pending.pop()
            middle = (low + high) // 2
            if low >= high or self.highest[middle] <= key:
                continue
            pending.append((low, middle))
            entry = self.entries[middle]
            if entry[0] <= key:
                pending.append((middle + 1, high))
                if key < entry[1]:
                    found.append(entry)


class RangeIndex(Generic[Item]):
    """Items under their ranges. An item is in it at most once."""

    def __init__(self) -> None:
        self._entries: dict[Item, Entry[Item]] = {}  # an entry in a level that is not this very one is stale
        self._levels: list[_Level[Item]] = []  # sizes fall

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, start: bytes, end: bytes, item: Item) -> None:
        """Keys k with start <= k < end. Raises ValueError when the item is there."""
        if item in self._entries:
            raise ValueError(f"{item!r} is in the index already")
        self._entries[item] = entry = (start, end, item)
        merged = [entry]
        while self._levels and len(self._levels[-1].entries) <= len(merged):
            merged += self._levels.pop().entries
        self._levels.append(_Level([each for each in merged if self._entries.get(each[2]) is each]))

    def remove(self, item: Item) -> None:
        """Raises KeyError when the item is not there."""
        del self._entries[item]
        if sum(len(level.entries) for level in self._levels) > 2 * len(self._entries) + 8:
            self._levels = [_Level(list(self._entries.values()))] if self._entries else []

    def containing(self, key: bytes) -> list[Item]:
        """The items whose range contains the key, each once, in no particular order."""
        found: list[Entry[Item]] = []
        for level in self._levels:
            level.stab(key, found)
        entries = self._entries
        return [entry[2] for entry in found if entries.get(entry[2]) is entry]
