"""How well a running container is: the seam where probes come in.

The agent asks for a verdict whenever it looks at a pod. Whoever gives verdicts calls what `listen` was given when one
may have changed, or says in the verdict when to ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from apiserver.api.core.containers import Container as ContainerSpec
from apiserver.api.core.pod import Pod

from .observed import Observed
from .runtime.interface import Container


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """started: its startup probe has succeeded, or there is none. alive: False asks for a restart, with `message`, and
    with a grace period of its own when that is not the pod's."""

    started: bool = True
    ready: bool = True
    alive: bool = True
    message: str = ""
    grace_period_s: float | None = None
    look_again_s: float | None = None


WELL = Verdict()


class HealthSource(Protocol):
    def verdict(self, spec: ContainerSpec, container: Container) -> Verdict:
        """Of a container that runs. Quick; no I/O."""

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the pod's uid when a verdict may have changed."""

    def look(self, pod: Pod, seen: Observed, address: str) -> None:
        """The pod as its worker sees it now, before it asks for verdicts, and where it is reached. Quick; no I/O."""

    def ending(self, pod_uid: str) -> None:
        """The pod is to end: what runs is not started again any more. Whether it is ready still counts."""

    def forget(self, pod_uid: str) -> None:
        """The pod is gone: nobody asks about it any more."""
