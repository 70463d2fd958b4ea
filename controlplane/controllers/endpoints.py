"""Endpoints: the older form of what EndpointSlices say, one object for each Service, for those who still read it.

A pod that ends is left out. More than ADDRESSES_MAX addresses do not fit: ready ones come first, and the annotation
`endpoints.kubernetes.io/over-capacity` says that some are missing. Endpoints of Services without a selector belong to
whoever made them, `default/kubernetes` to the API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from apiserver.api.core.endpoints import EndpointAddress, EndpointPort, Endpoints, EndpointSubset
from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.errors import Forbidden, NotFound
from apiserver.api.meta import ObjectMeta
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Controller, Part, Request, Result, own_key

from . import endpoint_pods as pods_of
from .endpoint_pods import HEADLESS_LABEL, Port
from .endpoint_wakes import LabelledPods, Wakes
from .writes import guarded, namespace_is_ending, this_version

NAME = "endpoints"
WORKERS = 2
ADDRESSES_MAX = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
TRUNCATED = "truncated"
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
#: Services whose deletion was seen and whose Endpoints are still to go.
DELETED_MAX = 10_000


class Place(NamedTuple):
    """A pod with those of its ports that the Service leads to."""

    ports: tuple[Port, ...]
    ready: bool
    address: EndpointAddress


def subsets_of(places: Iterable[Place]) -> list[EndpointSubset]:
    """Addresses with the same ports together, all in an order of their own."""
    by_ports: dict[tuple[Port, ...], EndpointSubset] = {}
    for place in sorted(places, key=lambda each: (str(each.ports), _order(each.address))):
        subset = by_ports.get(place.ports)
        if subset is None:
            subset = by_ports[place.ports] = EndpointSubset(ports=[_port(each) for each in place.ports])
        (subset.addresses if place.ready else subset.not_ready_addresses).append(place.address)
    return list(by_ports.values())


def truncated(subsets: Sequence[EndpointSubset], *, addresses_max: int) -> list[EndpointSubset]:
    """As many as fit, ready ones before all others."""
    left, ready = addresses_max, []
    for subset in subsets:
        ready.append(msgspec.structs.replace(subset, addresses=subset.addresses[:left], not_ready_addresses=[]))
        left -= len(ready[-1].addresses)
    for cut, whole in zip(ready, subsets, strict=True):
        cut.not_ready_addresses = whole.not_ready_addresses[:left]
        left -= len(cut.not_ready_addresses)
    return [each for each in ready if each.addresses or each.not_ready_addresses]


def _order(address: EndpointAddress) -> tuple[str, str]:
    return address.ip, address.target_ref.uid if address.target_ref else ""


def _port(port: Port) -> EndpointPort:
    return EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)


class EndpointsOfServices:
    """The Reconciler."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pace = context.pace
        self._services = context.caches.services.cache
        self._pods = LabelledPods(context.caches.pods)
        self._endpoints = context.caches.endpoints.cache
        self.deleted: dict[Request, None] = {}

    async def reconcile(self, request: Request) -> Result:
        service = self._services.get(request.name, namespace=request.namespace)
        there = self._endpoints.get(request.name, namespace=request.namespace)
        if service is None:
            await self._remove(request, there)
        elif pods_of.is_served_by_pods(service):
            await self._write(service, there)
        return DONE

    def note_deleted(self, change: Change[Service]) -> Iterable[Request]:
        """Endpoints go with their Service, also those that somebody else wrote (as in Kubernetes)."""
        request = Request.of(change.object)
        if change.type == "deleted" and len(self.deleted) < DELETED_MAX:
            self.deleted[request] = None
        else:
            self.deleted.pop(request, None)
        return (request,)

    async def _remove(self, request: Request, there: Endpoints | None) -> None:
        if there is None or not (request in self.deleted or is_managed(there)):
            self.deleted.pop(request, None)
            return
        if not await self._is_absent(request):
            return  # made anew, and not seen yet
        options = this_version(there)
        with suppress(NotFound):  # somebody else was faster
            await self._client.delete(Endpoints, request.name, namespace=request.namespace, options=options)
        self.deleted.pop(request, None)

    async def _is_absent(self, request: Request) -> bool:
        try:
            await self._client.get(Service, request.name, namespace=request.namespace)
        except NotFound:
            return True
        return False

    async def _write(self, service: Service, there: Endpoints | None) -> None:
        places = await self._places(service)
        whole = subsets_of(places)
        over = len(places) > ADDRESSES_MAX
        subsets, labels = truncated(whole, addresses_max=ADDRESSES_MAX) if over else whole, labels_of(service)
        if there is None:
            await self._create(service, subsets, labels, over=over)
            return
        patch = self._difference(there, subsets, labels, over=over)
        if patch:
            metadata = guarded(there)["metadata"] | patch.pop("metadata", {})
            meta = there.metadata
            await self._client.patch(Endpoints, meta.name, {"metadata": metadata, **patch}, namespace=meta.namespace)

    async def _places(self, service: Service) -> list[Place]:
        found = []
        anyway = service.spec.publish_not_ready_addresses
        for pod in pods_of.serving_pods(service, self._pods.candidates(service)):
            await self._pace.breathe()
            if pods_of.is_terminating(pod) and not anyway:
                continue
            ports = pods_of.ports_of(service, pod)
            if ports or (pods_of.is_headless(service) and not service.spec.ports):
                found.append(Place(ports, anyway or pods_of.is_ready(pod), _address(service, pod)))
        return found

    async def _create(
        self, service: Service, subsets: list[EndpointSubset], labels: Mapping[str, str], *, over: bool
    ) -> None:
        meta = ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace, labels=dict(labels))
        if over:
            meta.annotations = {OVER_CAPACITY: TRUNCATED}
        try:
            await self._client.create(Endpoints(metadata=meta, subsets=subsets))
        except Forbidden as error:
            if not namespace_is_ending(error):
                raise

    @staticmethod
    def _difference(
        there: Endpoints, subsets: list[EndpointSubset], labels: Mapping[str, str], *, over: bool
    ) -> dict[str, Any]:
        patch: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        if there.subsets != subsets:
            patch["subsets"] = subsets
        if there.metadata.labels != labels:
            metadata["labels"] = {**labels, **{key: None for key in there.metadata.labels if key not in labels}}
        if (there.metadata.annotations.get(OVER_CAPACITY) == TRUNCATED) != over:
            metadata["annotations"] = {OVER_CAPACITY: TRUNCATED if over else None}
        return patch | ({"metadata": metadata} if metadata else {})


def _address(service: Service, pod: Pod) -> EndpointAddress:
    return EndpointAddress(
        ip=pods_of.address_of(pod),
        hostname=pods_of.hostname_of(service, pod),
        node_name=pod.spec.node_name or None,
        target_ref=pods_of.reference_to(pod),
    )


def is_managed(endpoints: Endpoints) -> bool:
    return endpoints.metadata.labels.get(MANAGED_BY) == MANAGER


def labels_of(service: Service) -> dict[str, str]:
    found = {key: value for key, value in service.metadata.labels.items() if key not in (HEADLESS_LABEL, MANAGED_BY)}
    if pods_of.is_headless(service):
        found[HEADLESS_LABEL] = ""
    return {**found, MANAGED_BY: MANAGER}


def parts(context: Context) -> list[Part]:
    caches = context.caches
    reconciler = EndpointsOfServices(context)
    informers: Iterable[Any] = (caches.services, caches.pods, caches.endpoints)
    made = Controller(NAME, reconciler, context.queue(NAME), list(informers), workers=WORKERS)
    wakes = Wakes(caches, made)
    wakes.listen(caches.services, reconciler.note_deleted)
    wakes.listen(caches.pods, wakes.of_pod)
    wakes.listen(caches.endpoints, own_key)
    return [made]
