"""What the runtime says of one pod, at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from .runtime.interface import Container, Sandbox


class Observed(msgspec.Struct, frozen=True):
    """Both newest first; `containers` by name, of all sandboxes."""

    sandboxes: Sequence[Sandbox] = ()
    containers: dict[str, list[Container]] = {}

    @property
    def sandbox(self) -> Sandbox | None:
        """The one that works."""
        return next((each for each in self.sandboxes if each.ready), None)

    def newest(self, name: str) -> Container | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def current(self, name: str) -> Container | None:
        """The newest of this name in the sandbox that works."""
        newest, sandbox = self.newest(name), self.sandbox
        return newest if newest is not None and sandbox is not None and newest.sandbox_id == sandbox.id else None

    @property
    def alive(self) -> list[Container]:
        """What has not ended, also in sandboxes that do not work."""
        return [each for found in self.containers.values() for each in found if not each.exited]


NOTHING = Observed()


def observed(sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> Observed:
    by_name: dict[str, list[Container]] = {}
    for container in containers:
        by_name.setdefault(container.name, []).append(container)
    for found in by_name.values():
        found.sort(key=lambda each: (each.attempt, each.created_at), reverse=True)
    return Observed(sorted(sandboxes, key=lambda each: each.attempt, reverse=True), by_name)
