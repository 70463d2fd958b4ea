"""A twin of admission's Lookup: what this replica has applied and what the cluster has committed, set apart by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TwoViews:
    """`put` is seen by both views, `commit` by linearizable reads alone, `lose` takes from both.

    `asked` counts reads by ("local" or "linearizable").
    """

    def __init__(self) -> None:
        self.local: dict[tuple[str, str, str], Any] = {}
        self.committed: dict[tuple[str, str, str], Any] = {}
        self.asked = {"local": 0, "linearizable": 0}

    def put(self, key: str, obj: Any) -> None:
        self.commit(key, obj)
        self.local[key, obj.metadata.namespace, obj.metadata.name] = obj

    def commit(self, key: str, obj: Any) -> None:
        self.committed[key, obj.metadata.namespace, obj.metadata.name] = obj

    def lose(self, key: str, obj: Any) -> None:
        place = (key, obj.metadata.namespace, obj.metadata.name)
        self.local.pop(place, None)
        self.committed.pop(place, None)

    async def get(self, key: str, namespace: str, name: str, *, linearizable: bool = False) -> Any | None:
        self.asked["linearizable" if linearizable else "local"] += 1
        return (self.committed if linearizable else self.local).get((key, namespace, name))

    async def list(self, key: str, namespace: str = "") -> Sequence[Any]:
        return [obj for (kind, place, _), obj in self.local.items() if kind == key and namespace in ("", place)]


class Clock:
    """Both clocks of a test: moved by hand."""

    def __init__(self, now_s: float = 1_900_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s
