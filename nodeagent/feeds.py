"""What the API shows, handed to the agents it concerns: one informer for all agents of a process.

An agent hears of pods bound to its node, and of its own Node. `join` first tells it nothing: it reads what is there
with `of`, in the order it likes, and from then on hears every change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.meta import TopObject
from apiserver.client import Change, Client, Informer

T = TypeVar("T", bound=TopObject)
Handler = Callable[[Change[T]], None]
_BY_NODE = "node of this process"


class Feed(Generic[T]):
    """`async with` runs the informer."""

    def __init__(self, informer: Informer[T], node_of: Callable[[T], str]) -> None:
        self._informer = informer
        self._node_of = node_of
        self._handlers: dict[str, Handler[T]] = {}
        self._ended = asyncio.Event()
        self._listeners: list[Handler[T]] = []
        informer.add_index(_BY_NODE, lambda obj: (node_of(obj),))
        informer.add_handler(self._changed)

    @property
    def synced(self) -> asyncio.Event:
        return self._informer.synced

    def of(self, node: str) -> list[T]:
        return self._informer.cache.by_index(_BY_NODE, node)

    def join(self, node: str, handler: Handler[T]) -> None:
        self._handlers[node] = handler

    def listen(self, handler: Handler[T]) -> None:
        """Every change from the start on, whosever it is: for those who only count."""
        self._listeners.append(handler)

    def leave(self, node: str) -> None:
        self._handlers.pop(node, None)

    async def watch_over(self) -> None:
        """Until the end. Raises what ended the informer: an agent must not go on by a copy that stands still."""
        await self._ended.wait()
        self._informer.check()

    async def __aenter__(self) -> Feed[T]:
        self._informer.start(ended=self._ended.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._informer.stop()

    def _changed(self, change: Change[T]) -> None:
        for listener in self._listeners:
            listener(change)
        handler = self._handlers.get(self._node_of(change.object))
        if handler is not None:
            handler(change)


def pod_feed(client: Client, node: str = "") -> Feed[Pod]:
    """The pods of one node, or of all."""
    fields = f"spec.nodeName={node}" if node else "spec.nodeName!="
    return Feed(Informer(client, Pod, fields=fields, trim=_without_managers), _node_of_pod)


def node_feed(client: Client, node: str = "") -> Feed[Node]:
    """One Node, or all."""
    fields = f"metadata.name={node}" if node else ""
    return Feed(Informer(client, Node, fields=fields, trim=_without_managers), _name_of)


def _node_of_pod(pod: Pod) -> str:
    return pod.spec.node_name


def _name_of(node: Node) -> str:
    return node.metadata.name


def _without_managers(obj: T) -> T:
    obj.metadata.managed_fields = []
    return obj
