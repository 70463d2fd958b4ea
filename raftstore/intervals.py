"""Which of many half-open key ranges contain a key: answered in logarithmic time, changed in the same.

Ranges are kept in a few sorted arrays of doubling size, each an implicit tree that knows the largest end
below every node. Adding merges small arrays into a larger one; removing only forgets the item, and half
of them forgotten rebuilds the whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class _Level(Generic[Item]):
    """An unchanging set of ranges."""

    __slots__ = ("entries", "highest")

    def __init__(self, entries: list[tuple[bytes, bytes, Item]]) -> None:
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

    def stab(self, key: bytes, found: list[Item]) -> None:
        pending = [(0, len(self.entries))]
        while pending:
            low, high = pending.pop()
            middle = (low + high) // 2
            if low >= high or self.highest[middle] <= key:
                continue
            pending.append((low, middle))
            start, end, item = self.entries[middle]
            if start <= key:
                pending.append((middle + 1, high))
                if key < end:
                    found.append(item)


class RangeIndex(Generic[Item]):
    """Items under their ranges. An item is in it at most once."""

    def __init__(self) -> None:
        self._ranges: dict[Item, tuple[bytes, bytes]] = {}
        self._levels: list[_Level[Item]] = []  # sizes fall

    def __len__(self) -> int:
        return len(self._ranges)

    def add(self, start: bytes, end: bytes, item: Item) -> None:
        """Keys k with start <= k < end. Raises ValueError when the item is there."""
        if item in self._ranges:
            raise ValueError(f"{item!r} is in the index already")
        self._ranges[item] = (start, end)
        entries = [(start, end, item)]
        while self._levels and len(self._levels[-1].entries) <= len(entries):
            entries += self._levels.pop().entries
        self._levels.append(_Level(self._alive(entries)))

    def remove(self, item: Item) -> None:
        """Raises KeyError when the item is not there."""
        del self._ranges[item]
        if sum(len(level.entries) for level in self._levels) > 2 * len(self._ranges) + 8:
            entries = [(start, end, each) for each, (start, end) in self._ranges.items()]
            self._levels = [_Level(entries)] if entries else []

    def _alive(self, entries: Iterable[tuple[bytes, bytes, Item]]) -> list[tuple[bytes, bytes, Item]]:
        """An item that was removed and added again must not be found by its former range."""
        return [entry for entry in entries if self._ranges.get(entry[2]) == entry[:2]]

    def containing(self, key: bytes) -> list[Item]:
        """The items whose range contains the key, each once, in no particular order."""
        found: list[Item] = []
        for level in self._levels:
            level.stab(key, found)
        ranges = self._ranges
        return [item for item in found if item in ranges]
