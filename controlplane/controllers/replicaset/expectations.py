"""What a ReplicaSet has asked for and the cache does not show yet.

A cache is always a little behind. Who counts pods right after he made some counts too few and makes more; who has just
deleted some may delete others instead. So every name that is created and every uid that is deleted is noted here
*before* it is asked for, and nothing is created or deleted for this ReplicaSet until the cache has shown all of it.

A write without an answer stays noted as unsure, and the next thing done is that very write again: the same name cannot
be created twice, and the same uid not deleted twice, so it does not matter whether it happened, or when.

Kubernetes gives up waiting after five minutes, which lets a cache that slow do harm. Here whatever was awaited for
LOOK_AFTER_S is looked up in the API itself: the cache may have missed a pod that came and went.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from apiserver.api.apps import ReplicaSet, ReplicaSetStatus
from apiserver.api.core.pod import Pod
from apiserver.client import Change
from controlplane.runtime import Request

LOOK_AFTER_S = 30.0
#: A look at many pods takes long, and each of them reports many things: so much of the time may go into it at most.
REST_S_PER_REPLICA = 0.0002
REST_S_MAX = 1.0


class Awaited(msgspec.Struct):
    """One write that the cache does not show yet. `uid` is empty until it is known what was created.

    What is `unsure` is never taken for seen: it may have happened twice, with a deletion in between.
    """

    name: str
    since_s: float
    uid: str = ""
    unsure: bool = False

    def is_seen_in(self, pod: Pod) -> bool:
        return not self.unsure and self.uid in ("", pod.metadata.uid)


class Expectations:
    """Of one ReplicaSet: another uid has others."""

    def __init__(self, uid: str, clock: Callable[[], float]) -> None:
        self.uid = uid
        self.creating: dict[str, Awaited] = {}  # by name
        self.deleting: dict[str, Awaited] = {}  # by uid
        self.written: ReplicaSetStatus | None = None  # the status we wrote last
        self._clock = clock
        self._looked = (0, -math.inf)  # generation, and when

    def rests_for_s(self, owner: ReplicaSet) -> float:
        """Seconds to wait before the next look; 0 when the spec has changed, or the last look did not end well."""
        generation, at_s = self._looked
        if generation != owner.metadata.generation:
            return 0.0
        rest_s = min(REST_S_MAX, REST_S_PER_REPLICA * (owner.spec.replicas or 0))
        return max(0.0, at_s + rest_s - self._clock())

    def looked(self, owner: ReplicaSet) -> None:
        """Everything was looked at, and all went well."""
        self._looked = (owner.metadata.generation, self._clock())

    def expect_creation(self, name: str) -> None:
        self.creating[name] = Awaited(name, self._clock())

    def expect_deletion(self, pod: Pod) -> None:
        meta = pod.metadata
        self.deleting[meta.uid] = Awaited(meta.name, self._clock(), meta.uid)

    def created(self, pod: Pod, cached: Pod | None) -> None:
        """It is certain that the pod was made. `cached`: what the cache shows by its name, which may be another pod."""
        meta = pod.metadata
        self.creating.pop(meta.name, None)
        if cached is None or cached.metadata.uid != meta.uid:
            self.creating[meta.name] = Awaited(meta.name, self._clock(), meta.uid)

    def observe(self, change: Change[Pod]) -> None:
        """The cache shows something new about a pod."""
        meta = change.object.metadata
        awaited = self.creating.get(meta.name)
        if awaited is not None and awaited.is_seen_in(change.object):
            del self.creating[meta.name]
        if change.type == "deleted" or meta.deletion_timestamp is not None:
            self.deleting.pop(meta.uid, None)

    def look(self, find: Callable[[str], Pod | None]) -> None:
        """The same from the cache as it is: `find` gives what has a name there."""
        for name, awaited in list(self.creating.items()):
            pod = find(name)
            if pod is not None and awaited.is_seen_in(pod):
                del self.creating[name]
        for uid, awaited in list(self.deleting.items()):
            pod = find(awaited.name)
            if pod is None or pod.metadata.uid != uid or pod.metadata.deletion_timestamp is not None:
                del self.deleting[uid]

    @property
    def fulfilled(self) -> bool:
        return not self.creating and not self.deleting

    @property
    def uncounted(self) -> int:
        """Pods that may be there beside those of the cache that are not going: just created, or perhaps not deleted."""
        return len(self.creating) + sum(awaited.unsure for awaited in self.deleting.values())

    def overdue(self, awaited: Awaited) -> bool:
        return self._clock() - awaited.since_s >= LOOK_AFTER_S

    def due_in_s(self) -> float:
        """Seconds until something is overdue; LOOK_AFTER_S when nothing is awaited."""
        since = [each.since_s for each in (*self.creating.values(), *self.deleting.values())]
        return max(0.0, min(since) + LOOK_AFTER_S - self._clock()) if since else LOOK_AFTER_S

    def await_on(self, awaited: Awaited) -> None:
        """The deletion is certain by now, and the cache is to show it: wait from now on."""
        awaited.unsure = False
        awaited.since_s = self._clock()

    def is_going(self, pod: Pod) -> bool:
        """We have asked for its end, whatever the cache says."""
        return pod.metadata.uid in self.deleting


class Books:
    """The Expectations of all ReplicaSets there are."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[Request, Expectations] = {}

    def of(self, request: Request, uid: str) -> Expectations:
        found = self._of.get(request)
        if found is None or found.uid != uid:
            found = self._of[request] = Expectations(uid, self._clock)
        return found

    def known(self, request: Request, uid: str) -> Expectations | None:
        found = self._of.get(request)
        return found if found is not None and found.uid == uid else None

    def close(self, request: Request) -> None:
        """The ReplicaSet is gone."""
        self._of.pop(request, None)
