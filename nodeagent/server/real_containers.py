"""What a runtime of real containers offers beside what the agent needs to run pods: logs, streams, what they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from nodeagent.runtime.interface import PodKey, Usage
from nodeagent.timings import Timing

if TYPE_CHECKING:  # it brings aiohttp
    from nodeagent.streams import StreamingRuntime


@runtime_checkable
class RealContainers(Protocol):
    """CriRuntime is one. Raises RuntimeFailure."""

    def log_file(self, pod: PodKey, container: str, attempt: int) -> Path: ...

    async def reopen_log(self, container_id: str) -> None:
        """The log was put aside: write into a new file of its name."""

    async def usage(self) -> Sequence[Usage]:
        """Of every container that runs."""

    def streaming(self) -> StreamingRuntime:
        """For commands in containers and connections to their ports."""

    def timings(self) -> Mapping[str, Timing]:
        """Of its calls, by method; they go on changing."""
