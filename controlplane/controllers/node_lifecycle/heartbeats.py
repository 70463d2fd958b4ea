"""When each node was heard of last, by our own monotonic clock: the wall clocks of nodes and servers mean nothing here.

A node is heard of when its Lease, or the heartbeat of its Ready condition, is another one than we saw before; how long
it is silent is counted from when we saw that. What must hold:

- Who has just begun to watch, or was paused, has heard nobody for that time and blames no node for it: everything is
  counted anew from then.
- What was seen before is no news when it comes again, from a cache that is behind a direct read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from apiserver.api.coordination import Lease
from apiserver.api.core.node import Node
from apiserver.client.watching import is_later

from .conditions import ready_condition


class _Heard(msgspec.Struct):
    """`lease` and `node` are the latest resource versions that were looked at."""

    uid: str
    at: float
    lease: str = "0"
    node: str = "0"
    heartbeat: str = ""


class Heartbeats:
    """`gap_s`: rounds that are further apart than this mean that we were paused."""

    def __init__(self, monotonic: Callable[[], float], *, gap_s: float) -> None:
        self._monotonic = monotonic
        self._gap_s = gap_s
        self._heard: dict[str, _Heard] = {}
        self._since: float | None = None  # since when we have been watching without a pause
        self._round = 0.0

    def begin_round(self) -> bool:
        """Call it before each round of observations. True when counting begins anew: the first time, after a pause."""
        now = self._monotonic()
        anew = self._since is None or self._paused(now)
        self._round = now
        if anew:
            self._since = now
        return anew

    def restart(self) -> None:
        """Give every node its whole time once more."""
        self._since = self._monotonic()

    def saw(self, node: Node, lease: Lease | None) -> None:
        """Look at what is known of a node now."""
        meta = node.metadata
        heard = self._heard.get(meta.name)
        if heard is None or heard.uid != meta.uid:
            heard = self._heard[meta.name] = _Heard(meta.uid, self._monotonic())
        if is_later(meta.resource_version, heard.node):
            heard.node = meta.resource_version
            ready = ready_condition(node)
            heartbeat = (ready.last_heartbeat_time if ready else None) or ""
            if heartbeat != heard.heartbeat:
                heard.heartbeat = heartbeat
                heard.at = self._monotonic()
        if lease is not None:
            self._saw_lease(heard, lease)

    def saw_lease(self, name: str, lease: Lease) -> None:
        """The same for the Lease alone, read directly."""
        heard = self._heard.get(name)
        if heard is not None:
            self._saw_lease(heard, lease)

    def _saw_lease(self, heard: _Heard, lease: Lease) -> None:
        version = lease.metadata.resource_version
        if version != heard.lease and is_later(version, heard.lease):
            heard.lease = version
            heard.at = self._monotonic()

    def keep(self, names: Collection[str]) -> None:
        """Forget all other nodes."""
        for name in [name for name in self._heard if name not in names]:
            del self._heard[name]

    def silent_s(self, name: str) -> float:
        """For how long we have watched the node and heard nothing; 0 while we do not know."""
        heard = self._heard.get(name)
        if heard is None:
            return 0.0
        return min(self.watching_s(), self._monotonic() - heard.at)

    def watching_s(self) -> float:
        """For how long we have been watching without a pause."""
        now = self._monotonic()
        if self._since is None or self._paused(now):
            return 0.0
        return now - self._since

    def _paused(self, now: float) -> bool:
        return self._since is not None and now - self._round > self._gap_s
