"""What wakes the controllers of endpoints: changes of Services, of the pods that they select, and of those pods' nodes.

A rolling update changes many pods of one Service one after the other. The first change starts a short wait, and what
comes within it is written at once (BATCH_S).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from apiserver.api.core.node import Node
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.client import Change, Informer
from controlplane.runtime import Controller, Request
from controlplane.runtime.caches import BY_NODE, Caches

from .endpoint_pods import selects

BATCH_S = 0.1
KEYS_MAX = 16
ZONE_LABEL = "topology.kubernetes.io/zone"
BY_SELECTOR = "selector"

Keys = Callable[[Change[Any]], Iterable[Request]]


def by_selector(service: Service) -> Iterable[str]:
    """Found under one of the labels that its pods must have: whoever knows a pod's labels finds it by them."""
    if not service.spec.selector:
        return ()
    key, value = min(service.spec.selector.items())
    return (_place(service.metadata.namespace, key, value),)


def _place(namespace: str, key: str, value: str) -> str:
    return f"{namespace}/{key}={value}"


@cache
def _by_label(key: str) -> Callable[[Pod], Iterable[str]]:
    """The same function every time: an index is shared by all who add it."""

    def index(pod: Pod) -> Iterable[str]:
        value = pod.metadata.labels.get(key)
        return () if value is None else (_place(pod.metadata.namespace, key, value),)

    return index


class LabelledPods:
    """Finds a Service's pods without a look at all others: by one label, for which the cache gets an index when the
    first Service selects by it. Labels beyond KEYS_MAX get none: there the whole namespace is looked through."""

    def __init__(self, pods: Informer[Pod]) -> None:
        self._informer = pods
        self._keys: set[str] = set()

    def candidates(self, service: Service) -> list[Pod]:
        """All of its pods and perhaps others."""
        namespace = service.metadata.namespace
        key, value = min(service.spec.selector.items())
        name = f"label {key}"
        if key not in self._keys:
            if len(self._keys) >= KEYS_MAX:
                return self._informer.cache.in_namespace(namespace)
            self._informer.add_index(name, _by_label(key))
            self._keys.add(key)
        return self._informer.cache.by_index(name, _place(namespace, key, value))


class Wakes:
    """Of one controller."""

    def __init__(self, caches: Caches, controller: Controller) -> None:
        self._caches = caches
        self._queue = controller.queue
        caches.services.add_index(BY_SELECTOR, by_selector)

    def listen(self, informer: Informer[Any], keys: Keys) -> None:
        def changed(change: Change[Any]) -> None:
            for request in keys(change):
                self._queue.add_after(request, BATCH_S)

        informer.add_handler(changed)

    def of_pod(self, change: Change[Pod]) -> Iterable[Request]:
        """The Services that select the pod, or did before the change."""
        pod, old = change.object, change.old
        if change.type == "updated" and old is not None:
            if _facts(pod) == _facts(old):
                return set()
            if pod.metadata.labels != old.metadata.labels:
                return self.services_of(pod) | self.services_of(old)
        return self.services_of(pod)

    def of_node(self, change: Change[Node]) -> Iterable[Request]:
        """The Services of the node's pods, when it came, went, or moved to another zone."""
        node, old = change.object, change.old
        if change.type == "updated" and old is not None and zone_of(node) == zone_of(old):
            return set()
        found = set[Request]()
        for pod in self._caches.pods.cache.by_index(BY_NODE, node.metadata.name):
            found |= self.services_of(pod)
        return found

    def services_of(self, pod: Pod) -> set[Request]:
        meta = pod.metadata
        return {
            Request.of(service)
            for key, value in meta.labels.items()
            for service in self._caches.services.cache.by_index(BY_SELECTOR, _place(meta.namespace, key, value))
            if selects(service.spec.selector, meta.labels)
        }


def zone_of(node: Node | None) -> str:
    return "" if node is None else node.metadata.labels.get(ZONE_LABEL, "")


def _facts(pod: Pod) -> tuple[object, ...]:
    """Everything of a pod that shows in endpoints."""
    meta, spec, status = pod.metadata, pod.spec, pod.status
    return (
        meta.labels,
        meta.deletion_timestamp is None,
        meta.uid,
        spec.node_name,
        spec.hostname,
        spec.subdomain,
        status.phase,
        status.pod_ip,
        status.pod_ips,
        [each.status for each in status.conditions if each.type == "Ready"],
    )
