"""EndpointSlices of Endpoints that people wrote: who goes by slices alone finds Services without a selector too.

Mirrored are the Endpoints of Services that are there and have no selector. Not those that say so (the label
`endpointslice.kubernetes.io/skip-mirror`, as the API server's own `default/kubernetes`), nor what leader elections of
old keep in Endpoints. The slices go with the Endpoints by their owner reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apiserver.api.core.endpoints import EndpointAddress, Endpoints
from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointConditions
from controlplane.runtime import DONE, Context, Controller, Part, Request, Result, own_key
from controlplane.runtime.caches import SERVICE_LABEL
from controlplane.runtime.trims import LAST_APPLIED

from .endpoint_pods import Port, in_order
from .endpoint_wakes import Wakes
from .slice_packing import Wanted, identity, pack
from .slice_writing import MANAGED_BY, Look, SliceWriter, is_of

NAME = "endpointslicemirroring"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader"
TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"
ADDRESSES_MAX = 1000  # of a subset
ADDRESS_TYPES = ("IPv4", "IPv6")


class Mirroring:
    """The Reconciler; requests name a Service and its Endpoints at once."""

    def __init__(self, context: Context, writer: SliceWriter) -> None:
        self._services = context.caches.services.cache
        self._endpoints = context.caches.endpoints.cache
        self._writer = writer

    async def reconcile(self, request: Request) -> Result:
        service = self._services.get(request.name, namespace=request.namespace)
        endpoints = self._endpoints.get(request.name, namespace=request.namespace)
        there = self._writer.of(request.namespace, request.name)
        if endpoints is None or not is_mirrored(endpoints, service):
            await self._writer.remove(there)
            return DONE
        look = Look(endpoints, labels_of(endpoints), annotations_of(endpoints))
        ours = [each for each in there if is_of(each, endpoints)]
        for address_type in ADDRESS_TYPES:
            same = [each for each in ours if each.address_type == address_type]
            plan = pack(wanted(endpoints, address_type), same, at_least_one=False)
            await self._writer.write(look, address_type, plan)
        await self._writer.remove(each for each in there if each not in ours)
        return DONE


def is_mirrored(endpoints: Endpoints, service: Service | None) -> bool:
    meta = endpoints.metadata
    if service is None or service.spec.selector or meta.deletion_timestamp is not None:
        return False
    return meta.labels.get(SKIP_LABEL) != "true" and LEADER_ANNOTATION not in meta.annotations


def wanted(endpoints: Endpoints, address_type: str) -> Wanted:
    found: dict[tuple[Port, ...], dict[str, Endpoint]] = {}
    for subset in endpoints.subsets:
        ports = in_order(Port(each.name, each.protocol or "TCP", each.port, each.app_protocol) for each in subset.ports)
        both = [(each, True) for each in subset.addresses] + [(each, False) for each in subset.not_ready_addresses]
        for address, ready in both[:ADDRESSES_MAX]:
            if ("IPv6" if ":" in address.ip else "IPv4") == address_type:
                endpoint = _endpoint(address, ready=ready)
                found.setdefault(ports, {})[identity(endpoint)] = endpoint
    return found


def _endpoint(address: EndpointAddress, *, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=[address.ip],
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        target_ref=address.target_ref,
        node_name=address.node_name,
    )


def labels_of(endpoints: Endpoints) -> Mapping[str, str]:
    return {**endpoints.metadata.labels, SERVICE_LABEL: endpoints.metadata.name, MANAGED_BY: MANAGER}


def annotations_of(endpoints: Endpoints) -> Mapping[str, str]:
    left_out = (LAST_APPLIED, TRIGGER_ANNOTATION)
    return {key: value for key, value in endpoints.metadata.annotations.items() if key not in left_out}


def parts(context: Context) -> list[Part]:
    caches = context.caches
    writer = SliceWriter(context.client, caches.endpoint_slices, MANAGER)
    informers: Iterable[Any] = (caches.services, caches.endpoints, caches.endpoint_slices)
    made = Controller(NAME, Mirroring(context, writer), context.queue(NAME), list(informers), workers=1)
    wakes = Wakes(caches, made)
    wakes.listen(caches.services, own_key)
    wakes.listen(caches.endpoints, own_key)
    wakes.listen(caches.endpoint_slices, writer.services_of)
    return [made]
