"""Our own writes to ReplicaSets that the cache does not show yet.

A Deployment decides from all its ReplicaSets together, so writing each under the condition that it did not change is
not enough: one that shrank a moment ago but looks as large as before would let another one shrink too much. Nothing is
decided while the cache shows a state from before a write of ours. States are told apart by resourceVersion, which is
compared for equality only: a write replaced the version it named, so whatever else the cache shows is newer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from apiserver.api.apps import ReplicaSet
from apiserver.api.errors import NotFound
from apiserver.client import Client
from apiserver.client.cache import Cache
from controlplane.runtime import Request

LOOK_AFTER_S = 30.0


class _Write(msgspec.Struct):
    """To one ReplicaSet. `uid` and `replaced`, the version that is no more, are empty for one that was created."""

    since_s: float
    uid: str = ""
    replaced: str = ""
    unsure: bool = True


class Unseen:
    """Of all Deployments. Nothing is written before `is_clear`, so there is one write to a ReplicaSet at most."""

    def __init__(self, client: Client, cache: Cache[ReplicaSet], clock: Callable[[], float]) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._writes: dict[Request, dict[str, _Write]] = {}

    def forget(self, deployment: Request) -> None:
        self._writes.pop(deployment, None)

    def creates(self, deployment: Request, name: str) -> None:
        """Call it before: the answer may never come."""
        self._of(deployment)[name] = _Write(self._clock())

    def replaces(self, deployment: Request, found: ReplicaSet) -> None:
        """The version of `found` is about to be replaced. Call it before."""
        meta = found.metadata
        self._of(deployment)[meta.name] = _Write(self._clock(), meta.uid, meta.resource_version)

    def done(self, deployment: Request, name: str) -> None:
        """The write happened."""
        write = self._of(deployment).get(name)
        if write is not None:
            write.unsure = False

    def failed(self, deployment: Request, name: str) -> None:
        """The write did not happen and never will."""
        self._of(deployment).pop(name, None)

    async def is_clear(self, deployment: Request) -> bool:
        """Whether the cache shows all we wrote. Asks the API about writes without an answer. Raises ApiError."""
        writes = self._of(deployment)
        for name, write in list(writes.items()):
            if self._is_shown(deployment, name, write):
                del writes[name]
            elif write.unsure or self._clock() - write.since_s >= LOOK_AFTER_S:
                await self._ask(deployment, name, write)
        for name, write in list(writes.items()):
            if self._is_shown(deployment, name, write):
                del writes[name]
        if not writes:
            self.forget(deployment)
        return not writes

    def _is_shown(self, deployment: Request, name: str, write: _Write) -> bool:
        found = self._cache.get(name, namespace=deployment.namespace)
        if found is None or (write.uid and found.metadata.uid != write.uid):
            return bool(write.uid)  # what was there has gone; what was created is still to come
        return found.metadata.resource_version != write.replaced

    async def _ask(self, deployment: Request, name: str, write: _Write) -> None:
        try:
            found = await self._client.get(ReplicaSet, name, namespace=deployment.namespace)
        except NotFound:
            if not write.uid:
                self._of(deployment).pop(name, None)  # it was not created, or is gone again
                return
        else:
            if found.metadata.resource_version == write.replaced:
                self._of(deployment).pop(name, None)  # it did not happen
                return
        write.unsure = False
        write.since_s = self._clock()

    def _of(self, deployment: Request) -> dict[str, _Write]:
        return self._writes.setdefault(deployment, {})
