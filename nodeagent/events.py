"""What people should know of the node and its pods, as Events of the API. Nobody waits for them, and nothing depends on
them: what cannot be written is dropped. They say `kubelet`, the name that people and their tools look for."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.client import Client
from apiserver.client.recorder import Recorder

from .clock import Wall

COMPONENT = "kubelet"
GATHER_S = 0.25


class NodeEvents:
    """An EventSink. `run` writes until it is cancelled. `outcomes`: how many were written, or why they were not."""

    def __init__(self, client: Client, node: str, *, wall: Wall) -> None:
        self.outcomes: Counter[str] = Counter()
        self._recorder = Recorder(client, wall=wall, counted=self._counted, instance=node, host=node, gather_s=GATHER_S)

    def _counted(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def event(
        self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = ""
    ) -> None:
        where = field_path(pod, container)
        self._recorder.event(pod, type_, reason, message, component=COMPONENT, field_path=where)

    def node_event(self, node: Node, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._recorder.event(node, type_, reason, message, component=COMPONENT)

    async def run(self) -> None:
        await self._recorder.run()


def field_path(pod: Pod, container: str) -> str:
    """Which part of the pod is meant; "" for all of it."""
    spec = pod.spec
    places = (
        ("containers", spec.containers),
        ("initContainers", spec.init_containers),
        ("ephemeralContainers", spec.ephemeral_containers),
    )
    if container:
        for place, specs in places:
            if any(each.name == container for each in specs):
                return f"spec.{place}{{{container}}}"
    return ""
