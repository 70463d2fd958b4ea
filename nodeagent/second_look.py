"""Pods that would be refused for what their Node says: it is read anew first, for a refusal is for good.

Pods and Nodes are told apart from each other: a pod may be here before the label that brought it. Such a pod waits,
without a worker, until the Node was read after the pod had come; one read is for all that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod


class SecondLook:
    """`run` until it is cancelled. `read` gives the Node as it is now, however long that takes; `settle` is told."""

    def __init__(self, read: Callable[[], Awaitable[Node]], settle: Callable[[Pod, Node], None]) -> None:
        self._read = read
        self._settle = settle
        self._pods: dict[str, Pod] = {}
        self._came = asyncio.Event()

    @property
    def uids(self) -> Collection[str]:
        return self._pods.keys()

    def add(self, pod: Pod) -> None:
        self._pods[pod.metadata.uid] = pod
        self._came.set()

    def drop(self, uid: str) -> None:
        """It is gone, or is settled already."""
        self._pods.pop(uid, None)

    async def run(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            asked = list(self._pods)  # who comes while it is read may be newer than what is read
            node = await self._read()
            for uid in asked:
                pod = self._pods.pop(uid, None)
                if pod is not None:
                    self._settle(pod, node)
