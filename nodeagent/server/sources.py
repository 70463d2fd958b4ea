"""Where the node's API has its answers from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from apiserver.api.core.pod import Pod
from nodeagent.clock import Wall
from nodeagent.feeds import Feed
from nodeagent.runtime.interface import Runtime

from .pod_starts import PodStarts
from .real_containers import RealContainers

#: Further numbers that only grow: (name, about) -> labels and number.
Counters = Mapping[tuple[str, str], Sequence[tuple[Mapping[str, str], float]]]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Without `real` containers are simulated. `folder`: on the node's disk."""

    node: str
    pods: Feed[Pod]
    runtime: Runtime
    real: RealContainers | None
    folder: Path
    starts: PodStarts
    counters: Callable[[], Counters] = dict
    wall: Wall = time.time
