"""EndpointSlices: where the pods of each Service are, and in what state. What node proxies and DNS go by.

- A pod that ends stays listed, as terminating, until it is gone: who has nowhere else to go may still be served.
- Slices of others (another `managed-by`) and Services without a selector are not touched; so `default/kubernetes` is
  the API server's alone. A slice goes with its Service by its owner reference.
- Nothing is written that is there already. Writes name the version that was seen; names of new slices do not depend on
  chance, so that a controller whose cache is behind cannot make a slice twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointConditions, EndpointSlice
from apiserver.api.errors import ApiError, Forbidden, NotFound
from apiserver.api.meta import ObjectMeta, OwnerReference
from apiserver.client import Change
from controlplane.runtime import DONE, Context, Controller, Part, Request, Result, own_key
from controlplane.runtime.caches import BY_SERVICE, SERVICE_LABEL

from . import endpoint_pods as pods_of
from .endpoint_pods import HEADLESS_LABEL, Port
from .endpoint_wakes import Wakes, zone_of
from .slice_packing import Packed, identity, names, pack, slice_ports
from .status_writes import guarded, this_version

NAME = "endpointslice"
WORKERS = 4
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
IPV4 = "IPv4"
_OURS = (SERVICE_LABEL, MANAGED_BY, HEADLESS_LABEL)


class EndpointSlices:
    """The Reconciler of a Service's slices."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pace = context.pace
        self._services = context.caches.services.cache
        self._pods = context.caches.pods.cache
        self._nodes = context.caches.nodes.cache
        self._slices = context.caches.endpoint_slices.cache

    async def reconcile(self, request: Request) -> Result:
        service = self._services.get(request.name, namespace=request.namespace)
        if service is None or service.metadata.deletion_timestamp is not None:
            return DONE  # its slices are collected with it
        if not pods_of.is_served_by_pods(service):
            return DONE
        there = [each for each in self._of(service) if each.metadata.deletion_timestamp is None]
        ours = [each for each in there if is_of(each, service) and each.address_type == IPV4]
        plan = pack(await self._wanted(service), ours)
        labels = labels_of(service)
        free = names(request.name, service.metadata.uid, lambda name: self._is_taken(request.namespace, name))
        for packed in plan.kept:
            await self._change(packed, labels)
        for packed, name in zip(plan.made, free, strict=False):
            await self._make(service, packed, labels, name)
        kept = {packed.old.metadata.name for packed in plan.kept if packed.old is not None}
        for each in there:
            if each.metadata.name not in kept:
                await self._remove(each)
        return DONE

    def _of(self, service: Service) -> list[EndpointSlice]:
        """Those that this controller made, for this Service or one that had its name before."""
        return [
            each
            for each in self._slices.by_index(BY_SERVICE, service.metadata.name)
            if each.metadata.namespace == service.metadata.namespace and is_managed(each)
        ]

    def _is_taken(self, namespace: str, name: str) -> bool:
        return self._slices.get(name, namespace=namespace) is not None

    # --- what should be there ---------------------------------------------------------------------------

    async def _wanted(self, service: Service) -> Mapping[tuple[Port, ...], Mapping[str, Endpoint]]:
        found: dict[tuple[Port, ...], dict[str, Endpoint]] = {}
        for pod in pods_of.serving_pods(service, self._pods.in_namespace(service.metadata.namespace)):
            await self._pace.breathe()
            endpoint = self._endpoint(service, pod)
            if endpoint is not None:
                found.setdefault(pods_of.ports_of(service, pod), {})[identity(endpoint)] = endpoint
        return found

    def _endpoint(self, service: Service, pod: Pod) -> Endpoint | None:
        """None for a pod whose node is gone: nobody can reach it, and soon it will be gone as well."""
        node = self._nodes.get(pod.spec.node_name) if pod.spec.node_name else None
        anyway = service.spec.publish_not_ready_addresses
        if pod.spec.node_name and node is None and not anyway:
            return None
        serving, terminating = pods_of.is_ready(pod), pods_of.is_terminating(pod)
        return Endpoint(
            addresses=[pods_of.address_of(pod)],
            conditions=EndpointConditions(
                ready=anyway or (serving and not terminating), serving=serving, terminating=terminating
            ),
            hostname=pods_of.hostname_of(service, pod) or None,
            target_ref=pods_of.reference_to(pod),
            node_name=pod.spec.node_name or None,
            zone=zone_of(node) or None,
        )

    # --- writing ----------------------------------------------------------------------------------------

    async def _change(self, packed: Packed, labels: Mapping[str, str]) -> None:
        old = packed.old
        assert old is not None
        change: dict[str, Any] = {}
        if packed.changed:
            change = {"endpoints": packed.endpoints, "ports": slice_ports(packed.ports)}
        patch = guarded(old, **change)
        if old.metadata.labels != labels:
            gone = {key: None for key in old.metadata.labels if key not in labels}
            patch["metadata"]["labels"] = {**labels, **gone}
        elif not change:
            return
        await self._client.patch(EndpointSlice, old.metadata.name, patch, namespace=old.metadata.namespace)

    async def _make(self, service: Service, packed: Packed, labels: Mapping[str, str], name: str) -> None:
        made = EndpointSlice(
            metadata=ObjectMeta(
                name=name,
                namespace=service.metadata.namespace,
                labels=dict(labels),
                owner_references=[reference_to(service)],
            ),
            address_type=IPV4,
            endpoints=packed.endpoints,
            ports=slice_ports(packed.ports),
        )
        try:
            await self._client.create(made)
        except Forbidden as error:
            if not is_terminating_namespace(error):
                raise

    async def _remove(self, old: EndpointSlice) -> None:
        meta = old.metadata
        try:
            await self._client.delete(EndpointSlice, meta.name, namespace=meta.namespace, options=this_version(old))
        except NotFound:
            return


def is_managed(slice_: EndpointSlice) -> bool:
    return slice_.metadata.labels.get(MANAGED_BY) == MANAGER


def is_of(slice_: EndpointSlice, service: Service) -> bool:
    """By the owner's UID: a Service of the same name that was there before had slices of its own."""
    return any(owner.uid == service.metadata.uid for owner in slice_.metadata.owner_references)


def labels_of(service: Service) -> dict[str, str]:
    """The Service's own, and those by which a slice is found."""
    found = {key: value for key, value in service.metadata.labels.items() if key not in _OURS}
    if pods_of.is_headless(service):
        found[HEADLESS_LABEL] = ""
    return {**found, SERVICE_LABEL: service.metadata.name, MANAGED_BY: MANAGER}


def reference_to(service: Service) -> OwnerReference:
    return OwnerReference(
        api_version="v1",
        kind="Service",
        name=service.metadata.name,
        uid=service.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


def is_terminating_namespace(error: ApiError) -> bool:
    """Nothing can be made any more where everything is about to go."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)


def of_slice(change: Change[EndpointSlice]) -> Sequence[Request]:
    """The Services of a slice of ours: somebody may have changed it."""
    found = {
        Request(each.metadata.namespace, each.metadata.labels.get(SERVICE_LABEL, ""))
        for each in (change.object, change.old)
        if each is not None and is_managed(each)
    }
    return [request for request in found if request.name]


def parts(context: Context) -> list[Part]:
    caches = context.caches
    informers: Iterable[Any] = (caches.services, caches.pods, caches.nodes, caches.endpoint_slices)
    made = Controller(NAME, EndpointSlices(context), context.queue(NAME), list(informers), workers=WORKERS)
    wakes = Wakes(caches, made)
    wakes.listen(caches.services, own_key)
    wakes.listen(caches.pods, wakes.of_pod)
    wakes.listen(caches.nodes, wakes.of_node)
    wakes.listen(caches.endpoint_slices, of_slice)
    return [made]
