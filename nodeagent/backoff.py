"""How long what failed is left alone: 10 s, doubled with each failure up to 300 s, as the kubelet does for containers
that end and images that cannot be had. What went well for twice the longest time begins anew. Times are the loop's."""

from __future__ import annotations

FIRST_S = 10.0
LONGEST_S = 300.0


class _Entry:
    __slots__ = ("delay_s", "updated")

    def __init__(self, delay_s: float, updated: float) -> None:
        self.delay_s = delay_s
        self.updated = updated


class Backoffs:
    """By key: as many as a pod has containers."""

    def __init__(self, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._entries: dict[str, _Entry] = {}

    def delay_s(self, key: str) -> float:
        """The whole wait that stands now; 0 before the first failure was counted."""
        entry = self._entries.get(key)
        return entry.delay_s if entry else 0.0

    def left_s(self, key: str, *, failed: float, now: float) -> float:
        """Still to wait after what failed at `failed`."""
        entry = self._entries.get(key)
        if entry is None or self._forgotten(entry, failed):
            return 0.0
        return max(0.0, failed + entry.delay_s - now)

    def count(self, key: str, *, failed: float, now: float) -> None:
        """It is tried again now, after it failed at `failed`: the next wait is longer."""
        entry = self._entries.get(key)
        if entry is None or self._forgotten(entry, failed):
            self._entries[key] = _Entry(self._first_s, now)
            return
        entry.delay_s = min(self._longest_s, entry.delay_s * 2)
        entry.updated = now

    def _forgotten(self, entry: _Entry, failed: float) -> bool:
        return failed - entry.updated > 2 * self._longest_s
