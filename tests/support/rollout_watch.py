"""A rolling update seen from outside: every state of the pods of a Deployment, held against what it promises.

The states come from one informer, so each is one that the API was in. What is counted is what Kubernetes counts: pods
that are not on their way out, and of these the ones that are ready.
"""

from __future__ import annotations

from typing import Any, Self

from apiserver.api.apps import ReplicaSet
from apiserver.api.core.pod import Pod
from apiserver.client import Change, Client, Informer


def is_live(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in ("Succeeded", "Failed")


def is_ready(pod: Pod) -> bool:
    return is_live(pod) and any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


class RolloutWatch:
    """Use as an asynchronous context manager once the Deployment is complete. `most` and `least` go on being seen."""

    def __init__(self, client: Client, *, namespace: str = "default") -> None:
        self.pods: Informer[Pod] = Informer(client, Pod, namespace=namespace)
        self.replica_sets: Informer[ReplicaSet] = Informer(client, ReplicaSet, namespace=namespace)
        self.most = 0
        self.least = 1 << 30
        self.made: set[str] = set()  # uids of all pods ever seen
        self._live: set[str] = set()
        self._ready: set[str] = set()

    async def __aenter__(self) -> Self:
        await self.pods.__aenter__()
        await self.replica_sets.__aenter__()
        await self.pods.wait_for_sync()
        await self.replica_sets.wait_for_sync()
        self.pods.add_handler(self._changed)
        self.most = self.least = 0
        self.least = len(self._ready)
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.replica_sets.__aexit__(*details)
        await self.pods.__aexit__(*details)

    def _changed(self, change: Change[Any]) -> None:
        pod: Pod = change.object
        uid = pod.metadata.uid
        self.made.add(uid)
        gone = change.type == "deleted"
        _keep(self._live, uid, not gone and is_live(pod))
        _keep(self._ready, uid, not gone and is_ready(pod))
        self.most = max(self.most, len(self._live))
        self.least = min(self.least, len(self._ready))

    def complete(self, image: str, replicas: int) -> bool:
        """Exactly so many pods, all ready, all of that image."""
        pods = [pod for pod in self.pods.cache if is_live(pod)]
        return (
            len(pods) == replicas
            and all(is_ready(pod) and pod.spec.containers[0].image == image for pod in pods)
            and len(self.pods.cache) == replicas
        )


def _keep(found: set[str], uid: str, there: bool) -> None:
    if there:
        found.add(uid)
    else:
        found.discard(uid)
