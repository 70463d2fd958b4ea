"""Who belongs to whom, as the watches have told: every object with its owners, and every owner with its dependents.

The graph only ever says where to look. It may be behind, so nothing is deleted on its word (collector.py). What holds
of it: an object is in it from the event that shows it to the event that it is gone; whenever something changes that may
call for work, `wake` is called with the UID of each object to look at. An owner may be named that was never seen.

It is small: a few strings and one tuple for each object, and strings that many objects share are kept once.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

from apiserver.api.kinds import Kind
from apiserver.api.meta import OwnerReference
from apiserver.client.metadata import Metadata
from controlplane.runtime.pace import Pace

WOKEN_AT_ONCE_MAX = 64
ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class Owner(NamedTuple):
    """An owner reference. `blocks`: the owner, deleted in the foreground, waits for the dependent."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


class Node:
    """An object. Everything but the strings that name it is replaced when the object changes."""

    __slots__ = ("deleting", "foreground", "kind", "name", "namespace", "orphan", "owners", "uid")

    def __init__(self, kind: Kind, metadata: Metadata) -> None:
        self.kind = kind
        self.namespace = sys.intern(metadata.namespace)
        self.name = metadata.name
        self.uid = sys.intern(metadata.uid)
        self.owners = owners_of(metadata.owner_references)
        self.deleting = metadata.deletion_timestamp is not None
        self.foreground = self.deleting and FOREGROUND in metadata.finalizers
        self.orphan = self.deleting and ORPHAN in metadata.finalizers

    def same_as(self, other: Node) -> bool:
        return (self.owners, self.deleting, self.foreground, self.orphan) == (
            other.owners,
            other.deleting,
            other.foreground,
            other.orphan,
        )

    def blocks(self, owner: Node) -> bool:
        """Never an owner in another namespace: whoever knows its UID could keep it there for ever."""
        if owner.kind.namespaced and owner.namespace != self.namespace:
            return False
        return any(each.uid == owner.uid and each.blocks for each in self.owners)


def owners_of(references: list[OwnerReference]) -> tuple[Owner, ...]:
    """Names are interned: all pods of a ReplicaSet name the same one."""
    return tuple(
        Owner(
            sys.intern(each.api_version),
            sys.intern(each.kind),
            sys.intern(each.name),
            sys.intern(each.uid),
            bool(each.block_owner_deletion),
        )
        for each in references
    )


class Graph:
    """One writer, the event loop. `wake` must not call back."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self.wake = wake
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, dict[str, None]] = {}  # of owners seen or not; in order of arrival
        self._to_spread: set[str] = set()  # owners whose dependents are still to be woken

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def has_dependents(self, uid: str) -> bool:
        return uid in self._dependents

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[each] for each in self._dependents.get(uid, ())]

    def is_blocked(self, owner: Node) -> bool:
        """Mostly the first dependent says so."""
        return any(self._nodes[each].blocks(owner) for each in self._dependents.get(owner.uid, ()))

    def blocking(self, owner: Node) -> list[Node]:
        """The dependents that a deletion in the foreground waits for."""
        return [node for node in self.dependents(owner.uid) if node.blocks(owner)]

    def is_doubtful(self, node: Node) -> bool:
        """Whether an owner is not there, is not where the reference says, or waits for its dependents to go."""
        return any(not self.is_solid(node, owner) for owner in node.owners)

    def is_solid(self, node: Node, owner: Owner) -> bool:
        """As far as the graph knows the reference leads to an object that stays."""
        found = self._nodes.get(owner.uid)
        return found is not None and not found.foreground and leads_to(node.namespace, owner, found)

    def calls_for_work(self, node: Node) -> bool:
        return node.foreground or node.orphan or (not node.deleting and self.is_doubtful(node))

    async def unsettled(self, pace: Pace) -> AsyncGenerator[str, None]:
        """Every object that calls for work, whoever was woken for it before. Mostly none of very many does."""
        for uid, node in list(self._nodes.items()):
            await pace.breathe()
            if self.calls_for_work(node):
                yield uid

    # --- for the watches ------------------------------------------------------------------------------

    def put(self, kind: Kind, metadata: Metadata) -> None:
        """The object is there, like this."""
        node = Node(kind, metadata)
        old = self._nodes.get(node.uid)
        if old is not None and old.same_as(node):
            return
        self._nodes[node.uid] = node
        before = set() if old is None else {owner.uid for owner in old.owners}
        now = {owner.uid for owner in node.owners}
        for uid in now - before:
            self._dependents.setdefault(uid, {})[node.uid] = None
        for uid in before - now:
            self._forget_dependent(uid, node.uid)
        for uid in before | now:
            self._wake_waiting(uid)
        if self.calls_for_work(node):
            self.wake(node.uid)
        if old is None or old.foreground != node.foreground:
            self._wake_doubting(node.uid)

    def drop(self, uid: str) -> None:
        """The object is gone."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return
        for owner in node.owners:
            self._forget_dependent(owner.uid, uid)
            self._wake_waiting(owner.uid)
        self._wake_doubting(uid)

    def keep_only(self, kind: Kind, there: set[str]) -> None:
        """Of a kind that was listed: what is not `there` (UIDs) is gone."""
        for node in [node for node in self._nodes.values() if node.kind is kind and node.uid not in there]:
            self.drop(node.uid)

    def _forget_dependent(self, owner: str, dependent: str) -> None:
        known = self._dependents.get(owner)
        if known is not None:
            known.pop(dependent, None)
            if not known:
                del self._dependents[owner]

    def _wake_waiting(self, uid: str) -> None:
        """An owner that waits for its dependents, of which one has changed: none that blocks it may be left."""
        owner = self._nodes.get(uid)
        if owner is not None and owner.foreground and not self.is_blocked(owner):
            self.wake(uid)

    def _wake_doubting(self, uid: str) -> None:
        """The dependents of an owner that came, went, or now waits for them. Many are left to whoever is woken for
        their owner and has the time: a watch that tells of it may not hold up the event loop."""
        if len(self._dependents.get(uid, ())) > WOKEN_AT_ONCE_MAX:
            self._to_spread.add(uid)
            self.wake(uid)
            return
        for node in self.dependents(uid):
            if self.calls_for_work(node):
                self.wake(node.uid)

    async def spread(self, uid: str, pace: Pace) -> None:
        """Wake the dependents that were left to do."""
        if uid not in self._to_spread:
            return
        self._to_spread.discard(uid)
        for each in list(self._dependents.get(uid, ())):
            node = self._nodes.get(each)
            if node is not None and self.calls_for_work(node):
                self.wake(each)
            await pace.breathe()


def leads_to(namespace: str, owner: Owner, found: Node) -> bool:
    """Whether a reference in that namespace, by its kind and name and not by its UID alone, means the object."""
    if owner.kind != found.kind.kind or owner.name != found.name:
        return False
    return not found.kind.namespaced or found.namespace == namespace
