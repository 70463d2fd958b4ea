"""What the shared caches keep of objects: what a controller or the scheduler looks at, and no more.

Pods are most of what there is. Those of one template are alike but for their names and states, so what is alike is kept
once (`Shared`): ten thousand pods cost a few tens of MiB. What was left out of a trimmed object reads as empty: nothing
read from a cache may ever be written back as a whole.
"""

from __future__ import annotations

from sys import intern
from typing import Any, TypeVar

import msgspec

from apiserver.api.core.containers import Container, ResourceRequirements
from apiserver.api.core.node import Node
from apiserver.api.core.pod import ContainerStatus, Pod, PodSpec, PodStatus
from apiserver.api.meta import ObjectMeta, TopObject

T = TypeVar("T")
TObject = TypeVar("TObject", bound=TopObject)

SHARED_MAX = 65_536
#: Written by kubectl apply, as large as the object, and of no interest to a controller.
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: One empty list and map for all of ten thousand pods: nobody changes what is in a cache.
_NONE: list[Any] = []
_NO_TEXTS: dict[str, str] = {}


class Shared:
    """Equal values are one value. Forgets everything when it grows too large: then some are there twice for a while."""

    def __init__(self, *, values_max: int = SHARED_MAX) -> None:
        self._values: dict[tuple[type, bytes], Any] = {}
        self._values_max = values_max

    def one(self, value: T) -> T:
        key = (type(value), msgspec.msgpack.encode(value))
        known = self._values.get(key)
        if known is None:
            if len(self._values) >= self._values_max:
                self._values.clear()
            known = self._values[key] = value
        return known


class PodTrim:
    """Of a pod: whose it is, what it needs of a node, how it is. Not: what its containers run and see."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def __call__(self, pod: Pod) -> Pod:
        _trim_meta(pod.metadata)
        one = self._shared.one
        pod.metadata.labels = one(pod.metadata.labels)
        pod.metadata.owner_references = one(pod.metadata.owner_references)
        pod.spec = self._spec(pod.spec)
        _trim_status(pod.status)
        return pod

    def _spec(self, spec: PodSpec) -> PodSpec:
        node, spec.node_name = spec.node_name, ""
        hostname, spec.hostname = spec.hostname, ""
        spec.containers = [_container(each) for each in spec.containers]
        spec.init_containers = [_container(each) for each in spec.init_containers]
        spec.ephemeral_containers = []
        spec.volumes = [each for each in spec.volumes if _matters(each)]
        spec.host_aliases, spec.image_pull_secrets = [], []
        shared = self._shared.one(spec)
        if not node and not hostname:
            return shared
        # a copy of the struct alone: its lists are those of the shared one
        return msgspec.structs.replace(shared, node_name=self._shared.one(node), hostname=hostname)


def _trim_status(status: PodStatus) -> None:
    status.phase, status.qos_class = intern(status.phase), intern(status.qos_class)
    for condition in status.conditions:
        condition.type, condition.status = intern(condition.type), intern(condition.status)
        condition.reason = intern(condition.reason)
    status.container_statuses = [_state(each) for each in status.container_statuses] or _NONE
    status.init_container_statuses = [_state(each) for each in status.init_container_statuses] or _NONE
    status.ephemeral_container_statuses = _NONE
    status.conditions = status.conditions or _NONE
    status.host_ips, status.pod_ips = status.host_ips or _NONE, status.pod_ips or _NONE
    status.resource_claim_statuses = status.resource_claim_statuses or _NONE


def trim_node(node: Node) -> Node:
    _trim_meta(node.metadata)
    return node


def trim_any(obj: TObject) -> TObject:
    """Whatever else there is: without what only its writers need."""
    _trim_meta(obj.metadata)
    return obj


def _trim_meta(meta: ObjectMeta) -> None:
    meta.managed_fields = _NONE
    meta.finalizers, meta.owner_references = meta.finalizers or _NONE, meta.owner_references or _NONE
    meta.namespace = intern(meta.namespace)
    if LAST_APPLIED in meta.annotations:
        meta.annotations = {key: value for key, value in meta.annotations.items() if key != LAST_APPLIED}
    meta.annotations = meta.annotations or _NO_TEXTS


def _container(container: Container) -> Container:
    """Resources for the scheduler, ports for Services and host ports, the image for image locality."""
    return Container(
        name=container.name,
        image=container.image,
        ports=container.ports,
        resources=ResourceRequirements(requests=container.resources.requests, limits=container.resources.limits),
        restart_policy=container.restart_policy,
    )


def _state(status: ContainerStatus) -> ContainerStatus:
    return ContainerStatus(
        name=status.name, ready=status.ready, restart_count=status.restart_count, started=status.started
    )


def _matters(volume: Any) -> bool:
    """Whether it binds the pod to something outside of its node: a claim, also one that is made for it."""
    return volume.persistent_volume_claim is not None or volume.ephemeral is not None
