"""A simulated runtime whose containers write logs and use CPU as a test says: what a node's API needs of real ones."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from container_logs import raw_line

from nodeagent.runtime.fake import FakeRuntime
from nodeagent.runtime.interface import PodKey, RuntimeFailure, Usage
from nodeagent.streams.interface import StreamingRuntime
from nodeagent.timings import Timing


class _NoStreams:
    async def _none(self, *_: object, **__: object) -> Any:
        raise RuntimeFailure("nobody streams here")

    exec_url = attach_url = port_forward_url = sandbox_network = _none


class LoggingRuntime(FakeRuntime):
    """`folder` holds the logs. `cores`: what each container keeps busy; `more`: usage it speaks of beside."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(**more)
        self.folder = folder
        self.cores = 0.25
        self.more: list[Usage] = []
        self.asked = 0
        self.reopened: list[str] = []

    def log_file(self, pod: PodKey, container: str, attempt: int) -> Path:
        return self.folder / pod.uid / container / f"{attempt}.log"

    def write(self, container: str, *texts: str, pod_uid: str = "") -> None:
        """Into the log of what runs under this name."""
        for each in self.running:
            if each.name == container and pod_uid in ("", each.pod.uid):
                log = self.log_file(each.pod, each.name, each.attempt)
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("ab") as file:
                    file.write(b"".join(map(raw_line, texts)))

    async def reopen_log(self, container_id: str) -> None:
        self.reopened.append(container_id)

    async def usage(self) -> list[Usage]:
        self.asked += 1
        now = time.time()
        return [
            *self.more,
            *(
                Usage(
                    pod=each.pod,
                    container=each.name,
                    container_id=each.id,
                    at=now,
                    cpu_ns=round((now - each.started_at) * self.cores * 1e9),
                    memory_working_set=10 << 20,
                    memory_rss=5 << 20,
                )
                for each in self.running
            ),
        ]

    def streaming(self) -> StreamingRuntime:
        return _NoStreams()

    def timings(self) -> Mapping[str, Timing]:
        return {}
