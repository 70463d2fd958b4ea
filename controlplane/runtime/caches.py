"""The shared caches: one informer per kind for all controllers of the process, begun when somebody asks for it first.

What is in a cache is shared and trimmed: look, never change it, never write it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeVar

from apiserver.api.apps import Deployment, ReplicaSet
from apiserver.api.certificates import CertificateSigningRequest
from apiserver.api.coordination import Lease
from apiserver.api.core.endpoints import Endpoints
from apiserver.api.core.namespace import Namespace
from apiserver.api.core.node import Node
from apiserver.api.core.persistent_volumes import PersistentVolume, PersistentVolumeClaim
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.core.service_account import ServiceAccount
from apiserver.api.discovery import EndpointSlice
from apiserver.api.meta import TopObject
from apiserver.api.scheduling import PriorityClass
from apiserver.api.storage import StorageClass
from apiserver.client import Informer, Informers, by_controller, by_label

from .trims import PodTrim, Shared, trim_any, trim_node

T = TypeVar("T", bound=TopObject)

BY_NODE = "node"
BY_CONTROLLER = "controller"
BY_SERVICE = "service"
NODE_LEASES = "kube-node-lease"
SERVICE_LABEL = "kubernetes.io/service-name"


def by_node(pod: Pod) -> Iterable[str]:
    """Found under the node's name; "" for those that have none."""
    return (pod.spec.node_name,)


_by_service = by_label(SERVICE_LABEL)


class Caches:
    """Each property is an Informer; `cache` of it is what is known."""

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._trim_pod = PodTrim(Shared())

    @cached_property
    def pods(self) -> Informer[Pod]:
        """Indexes: BY_NODE, BY_CONTROLLER (uid of the controlling owner)."""
        informer = self._informers.of(Pod, trim=self._trim_pod)
        informer.add_index(BY_NODE, by_node)
        informer.add_index(BY_CONTROLLER, by_controller)
        return informer

    @cached_property
    def nodes(self) -> Informer[Node]:
        return self._informers.of(Node, trim=trim_node)

    @cached_property
    def services(self) -> Informer[Service]:
        return self._of(Service)

    @cached_property
    def endpoints(self) -> Informer[Endpoints]:
        return self._of(Endpoints)

    @cached_property
    def endpoint_slices(self) -> Informer[EndpointSlice]:
        """Index: BY_SERVICE (name of the Service; look at the namespace too)."""
        informer = self._of(EndpointSlice)
        informer.add_index(BY_SERVICE, _by_service)
        return informer

    @cached_property
    def deployments(self) -> Informer[Deployment]:
        return self._of(Deployment)

    @cached_property
    def replica_sets(self) -> Informer[ReplicaSet]:
        """Index: BY_CONTROLLER (uid of the controlling owner)."""
        informer = self._of(ReplicaSet)
        informer.add_index(BY_CONTROLLER, by_controller)
        return informer

    @cached_property
    def namespaces(self) -> Informer[Namespace]:
        return self._of(Namespace)

    @cached_property
    def node_leases(self) -> Informer[Lease]:
        """Those of nodes: others are nobody's business here."""
        return self._informers.of(Lease, namespace=NODE_LEASES, trim=trim_any)

    @cached_property
    def persistent_volumes(self) -> Informer[PersistentVolume]:
        return self._of(PersistentVolume)

    @cached_property
    def persistent_volume_claims(self) -> Informer[PersistentVolumeClaim]:
        return self._of(PersistentVolumeClaim)

    @cached_property
    def storage_classes(self) -> Informer[StorageClass]:
        return self._of(StorageClass)

    @cached_property
    def priority_classes(self) -> Informer[PriorityClass]:
        return self._of(PriorityClass)

    @cached_property
    def certificate_signing_requests(self) -> Informer[CertificateSigningRequest]:
        return self._of(CertificateSigningRequest)

    @cached_property
    def service_accounts(self) -> Informer[ServiceAccount]:
        return self._of(ServiceAccount)

    def _of(self, type_: type[T], **selection: Any) -> Informer[T]:
        return self._informers.of(type_, trim=trim_any, **selection)
