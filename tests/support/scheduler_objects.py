"""Pods as the scheduler's queue sees them, and a clock that a test turns by hand."""

from __future__ import annotations

from typing import Any

from controllers_world_objects import pod

from apiserver.api.core.pod import Pod
from controlplane.scheduler.pod_info import PodInfo, Templates


class HandClock:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def go_on(self, seconds: float) -> None:
        self.now_s += seconds


class Infos:
    """Makes infos of pods; those that are alike share a template. The uid is the name where there is none."""

    def __init__(self) -> None:
        self.templates = Templates()
        self._version = 0

    def __call__(self, name: str, *, priority: int = 0, gates: tuple[str, ...] = (), **of: Any) -> PodInfo:
        spec = {"priority": priority, "schedulingGates": [{"name": gate} for gate in gates], **of}
        return self.of(pod(name, **spec))

    def of(self, obj: Pod) -> PodInfo:
        self._version += 1
        obj.metadata.uid = obj.metadata.uid or obj.metadata.name
        obj.metadata.resource_version = str(self._version)
        return self.templates.pod_info(obj)
