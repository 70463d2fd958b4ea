"""How well a running container is: the seam where probes come in.

The agent asks for a verdict whenever it looks at a pod. Whoever gives verdicts calls what `listen` was given when one
may have changed, or says in the verdict when to ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec

from .runtime.interface import Container


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """started: its startup probe has succeeded, or there is none. alive: False asks for a restart, with `message`."""

    started: bool = True
    ready: bool = True
    alive: bool = True
    message: str = ""
    look_again_s: float | None = None


WELL = Verdict()


class HealthSource(Protocol):
    def verdict(self, spec: ContainerSpec, container: Container) -> Verdict:
        """Of a container that runs. Quick; no I/O."""

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the pod's uid when a verdict may have changed."""


class NoProbes:
    """Who runs is well."""

    def verdict(self, spec: ContainerSpec, container: Container) -> Verdict:
        return WELL

    def listen(self, changed: Callable[[str], None]) -> None:
        pass
