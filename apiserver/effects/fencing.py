"""Fencing: a deposed leader's writes fail, even those that were under way when it was deposed.

For every Lease that ever had a holder the store keeps a key that changes only when the holder does. A client that leads
by that Lease sends `X-Kmini-Fence: <namespace>/<lease>/<transitions>`; the key is compared in its write's own
transaction. The number never comes back: the key stays when the Lease is released or deleted (a minus before it says
that nobody holds it), so that the next holder counts on from there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from apiserver.api.errors import BadRequest, Fenced
from apiserver.effects.effect import Write
from apiserver.storage import OWN, Storage, Transaction
from raftstore import Compare

FENCES = OWN + b"fences/"
HEADER_CHARACTERS_MAX = 512
RELEASED = b"-"  # before the number of the last holder's: nobody holds the Lease now


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
        known = header.isascii() and len(header) <= HEADER_CHARACTERS_MAX and len(parts) == 3 and all(parts)
        if not known or not parts[2].isdigit():
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
            held = found is not None and not found.value.startswith(RELEASED)
            now = f"it is at {found.value.decode()}" if found is not None and held else "nobody holds it"
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

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def plan(self, write: Write) -> None:
        key = fence_key(write.namespace, write.name)
        found = self._storage.peek_key(key)
        last = None if found is None else int(found.value.removeprefix(RELEASED))
        spec, after = _spec(write.obj), _holder(write.obj)
        if after and after == _holder(write.old):
            spec.lease_transitions = last
            return
        if after:
            number = (spec.lease_transitions or 0) if last is None else last + 1
            spec.lease_transitions = number
            value = b"%d" % number
        elif last is None:
            return
        else:
            value = b"%s%d" % (RELEASED, last)
            if spec is not None:
                spec.lease_transitions = last
        write.transaction.expect(key, 0 if found is None else found.mod_revision)
        write.transaction.put(key, value)


def _spec(lease: Any | None) -> Any:
    return None if lease is None else lease.spec


def _holder(lease: Any | None) -> str:
    spec = _spec(lease)
    return (spec.holder_identity or "") if spec is not None else ""
