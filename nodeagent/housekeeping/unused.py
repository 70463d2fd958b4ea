"""How long something has been nobody's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Unused(Generic[T]):
    """`seen` is told all that is unused now; times are in seconds of one clock that does not jump."""

    def __init__(self) -> None:
        self._since: dict[T, float] = {}

    def seen(self, unused: Iterable[T], now: float) -> None:
        """Whatever is not among them is in use, or gone: should it come again, it begins anew."""
        self._since = {each: self._since.get(each, now) for each in unused}

    def for_at_least(self, wait_s: float, now: float) -> list[T]:
        """Those that have waited longest first."""
        waited = [each for each, since in self._since.items() if now - since >= wait_s]
        return sorted(waited, key=lambda each: self._since[each])
