"""Fencing: a deposed leader's writes fail, even those that were under way when it was deposed.

For every Lease with a holder the store keeps a key that changes only when the holder does. A client that leads by that
Lease sends `X-Kmini-Fence: <namespace>/<lease>/<transitions>`; the key is compared in its write's own transaction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from apiserver.api.errors import BadRequest, Fenced
from apiserver.effects.effect import DELETE, Write
from apiserver.storage import OWN, Storage, Transaction
from raftstore import Compare

FENCES = OWN + b"fences/"
HEADER_CHARACTERS_MAX = 512


class Fence(NamedTuple):
    """What a client claims: that this election still has the holder it had at `transitions`."""

    namespace: str
    lease: str
    transitions: str

    @classmethod
    def parse(cls, header: str) -> Fence:
        """Raises BadRequest."""
        parts = header.split("/")
        if len(parts) == 2:
            parts.insert(0, "kube-system")
        if len(header) > HEADER_CHARACTERS_MAX or len(parts) != 3 or not all(parts) or not parts[2].isdigit():
            raise BadRequest("X-Kmini-Fence: must be [<namespace>/]<lease>/<transitions>")
        return cls(*parts)

    @property
    def key(self) -> bytes:
        return fence_key(self.namespace, self.lease)

    def guard(self, transaction: Transaction) -> None:
        """The write happens only if the election is as the client believes."""
        transaction.compare.append(Compare.value(self.key) == self.transitions.encode())

    def check(self, storage: Storage) -> None:
        """Raises Fenced when that is why a transaction failed. Call it after `linearize`."""
        found = storage.peek_key(self.key)
        if found is None or found.value != self.transitions.encode():
            now = "nobody holds it" if found is None else f"it is at {found.value.decode()}"
            raise Fenced(
                f"fenced: lease {self.namespace}/{self.lease} has moved on from transition {self.transitions}: {now}",
                kind="leases",
                group="coordination.k8s.io",
                name=self.lease,
            )


def fence_key(namespace: str, lease: str) -> bytes:
    return FENCES + f"{namespace}/{lease}".encode()


class LeaseFence:
    """Keeps the key of each Lease's election. A new holder always gets a higher number of transitions."""

    async def plan(self, write: Write) -> None:
        key = fence_key(write.namespace, write.name)
        before = _holder(write.old)
        after = _holder(write.obj)
        if write.verb == DELETE or not after:
            if before:
                write.transaction.delete(key)
            return
        spec = _spec(write.obj)
        had = _spec(write.old)
        if after == before:
            spec.lease_transitions = had.lease_transitions
            return
        if had is not None:
            spec.lease_transitions = max(spec.lease_transitions or 0, (had.lease_transitions or 0) + 1)
        write.transaction.put(key, str(spec.lease_transitions or 0).encode())


def _spec(lease: Any | None) -> Any:
    return None if lease is None else lease.spec


def _holder(lease: Any | None) -> str:
    spec = _spec(lease)
    return (spec.holder_identity or "") if spec is not None else ""
