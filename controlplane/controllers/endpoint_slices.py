"""EndpointSlices: where the pods of each Service are, and in what state. What node proxies and DNS go by.

- A pod that ends stays listed, as terminating, until it is gone: who has nowhere else to go may still be served.
- Slices of others (another `managed-by`) and Services without a selector are not touched; so `default/kubernetes` is
  the API server's alone. A slice goes with its Service by its owner reference.
- Nothing is written that is there already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.discovery import Endpoint, EndpointConditions
from controlplane.runtime import DONE, Context, Controller, Part, Request, Result, own_key
from controlplane.runtime.caches import SERVICE_LABEL

from . import endpoint_pods as pods_of
from .endpoint_pods import HEADLESS_LABEL, Port
from .endpoint_wakes import LabelledPods, Wakes, zone_of
from .slice_packing import identity, pack
from .slice_writing import MANAGED_BY, Look, SliceWriter, is_of

NAME = "endpointslice"
WORKERS = 4
MANAGER = "endpointslice-controller.k8s.io"
IPV4 = "IPv4"
_OURS = (SERVICE_LABEL, MANAGED_BY, HEADLESS_LABEL)


class EndpointSlices:
    """The Reconciler of a Service's slices."""

    def __init__(self, context: Context, writer: SliceWriter) -> None:
        self._client = context.client
        self._pace = context.pace
        self._services = context.caches.services.cache
        self._pods = LabelledPods(context.caches.pods)
        self._nodes = context.caches.nodes.cache
        self._writer = writer

    async def reconcile(self, request: Request) -> Result:
        service = self._services.get(request.name, namespace=request.namespace)
        if service is None or service.metadata.deletion_timestamp is not None:
            return DONE  # its slices are collected with it
        if not pods_of.is_served_by_pods(service):
            return DONE
        there = self._writer.of(request.namespace, request.name)
        ours = [each for each in there if is_of(each, service) and each.address_type == IPV4]
        plan = pack(await self._wanted(service), ours)
        await self._writer.write(Look(service, labels_of(service)), IPV4, plan)
        await self._writer.remove(each for each in there if each not in ours)
        return DONE

    # --- what should be there ---------------------------------------------------------------------------

    async def _wanted(self, service: Service) -> Mapping[tuple[Port, ...], Mapping[str, Endpoint]]:
        found: dict[tuple[Port, ...], dict[str, Endpoint]] = {}
        for pod in pods_of.serving_pods(service, self._pods.candidates(service)):
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


def labels_of(service: Service) -> dict[str, str]:
    """The Service's own, and those by which a slice is found."""
    found = {key: value for key, value in service.metadata.labels.items() if key not in _OURS}
    if pods_of.is_headless(service):
        found[HEADLESS_LABEL] = ""
    return {**found, SERVICE_LABEL: service.metadata.name, MANAGED_BY: MANAGER}


def parts(context: Context) -> list[Part]:
    caches = context.caches
    informers: Iterable[Any] = (caches.services, caches.pods, caches.nodes, caches.endpoint_slices)
    writer = SliceWriter(context.client, caches.endpoint_slices, MANAGER)
    made = Controller(NAME, EndpointSlices(context, writer), context.queue(NAME), list(informers), workers=WORKERS)
    wakes = Wakes(caches, made)
    wakes.listen(caches.services, own_key)
    wakes.listen(caches.pods, wakes.of_pod)
    wakes.listen(caches.nodes, wakes.of_node)
    wakes.listen(caches.endpoint_slices, writer.services_of)
    return [made]
