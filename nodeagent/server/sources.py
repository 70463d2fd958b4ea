"""Where the node's API has its answers from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from apiserver.api.core.pod import Pod
from nodeagent.clock import Wall
from nodeagent.feeds import Feed
from nodeagent.runtime.interface import Runtime

from .pod_starts import PodStarts
from .real_containers import RealContainers


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Without `real` containers are simulated. `folder`: on the node's disk. `counters`: (name, about) -> number."""

    node: str
    pods: Feed[Pod]
    runtime: Runtime
    real: RealContainers | None
    folder: Path
    starts: PodStarts
    counters: Callable[[], Mapping[tuple[str, str], float]] = dict
    wall: Wall = time.time
