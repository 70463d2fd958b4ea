"""Makes the slices in the API what a plan says they should be (slice_packing), for whichever controller manages them.

Writes name the version that was seen, so that who is behind fails and looks again; names of new slices do not depend on
chance, so that a controller that does not see its first slice yet cannot make a second one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from apiserver.api.discovery import EndpointSlice
from apiserver.api.errors import Forbidden, NotFound
from apiserver.api.meta import ObjectMeta, TopObject
from apiserver.client import Change, Client, Informer
from controlplane.runtime import Request
from controlplane.runtime.caches import BY_SERVICE, SERVICE_LABEL

from .claims import reference_to
from .slice_packing import Packed, Plan, names, slice_ports
from .writes import guarded, namespace_is_ending, this_version

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


class Look(msgspec.Struct, frozen=True):
    """What all slices of one owner have in common."""

    owner: TopObject
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = {}


class SliceWriter:
    """Of one controller, which `manager` names in the label MANAGED_BY."""

    def __init__(self, client: Client, slices: Informer[EndpointSlice], manager: str) -> None:
        self._client = client
        self._slices = slices.cache
        self._manager = manager

    def of(self, namespace: str, service: str) -> list[EndpointSlice]:
        """Those that this controller made and that stay, also for another object that had the name before."""
        return [
            each
            for each in self._slices.by_index(BY_SERVICE, service)
            if each.metadata.namespace == namespace and self.manages(each) and each.metadata.deletion_timestamp is None
        ]

    def manages(self, slice_: EndpointSlice) -> bool:
        return slice_.metadata.labels.get(MANAGED_BY) == self._manager

    def services_of(self, change: Change[EndpointSlice]) -> list[Request]:
        """Whose slice it is: somebody else may have changed it."""
        found = {
            Request(each.metadata.namespace, each.metadata.labels.get(SERVICE_LABEL, ""))
            for each in (change.object, change.old)
            if each is not None and self.manages(each)
        }
        return [request for request in found if request.name]

    async def write(self, look: Look, address_type: str, plan: Plan) -> None:
        """Raises ApiError."""
        meta = look.owner.metadata
        for packed in plan.kept:
            await self._change(look, packed)
        free = names(meta.name, f"{meta.uid}/{address_type}", lambda name: self._is_taken(meta.namespace, name))
        for packed, name in zip(plan.made, free, strict=False):
            await self._make(look, address_type, packed, name)
        await self.remove(plan.removed)

    def _is_taken(self, namespace: str, name: str) -> bool:
        return self._slices.get(name, namespace=namespace) is not None

    async def _change(self, look: Look, packed: Packed) -> None:
        old = packed.old
        assert old is not None
        meta = old.metadata
        change: dict[str, Any] = {}
        if packed.changed:
            change = {"endpoints": packed.endpoints, "ports": slice_ports(packed.ports)}
        patch = guarded(old, **change)
        if meta.labels != look.labels:
            gone = {key: None for key in meta.labels if key not in look.labels}
            patch["metadata"]["labels"] = {**look.labels, **gone}
        if not look.annotations.items() <= meta.annotations.items():
            patch["metadata"]["annotations"] = dict(look.annotations)
        if change or len(patch["metadata"]) > 2:
            await self._client.patch(EndpointSlice, meta.name, patch, namespace=meta.namespace)

    async def _make(self, look: Look, address_type: str, packed: Packed, name: str) -> None:
        made = EndpointSlice(
            metadata=ObjectMeta(
                name=name,
                namespace=look.owner.metadata.namespace,
                labels=dict(look.labels),
                annotations=dict(look.annotations),
                owner_references=[reference_to(look.owner)],
            ),
            address_type=address_type,
            endpoints=packed.endpoints,
            ports=slice_ports(packed.ports),
        )
        try:
            await self._client.create(made)
        except Forbidden as error:
            if not namespace_is_ending(error):
                raise

    async def remove(self, slices: Iterable[EndpointSlice]) -> None:
        for each in slices:
            meta = each.metadata
            try:
                await self._client.delete(
                    EndpointSlice, meta.name, namespace=meta.namespace, options=this_version(each)
                )
            except NotFound:
                continue


def is_of(slice_: EndpointSlice, owner: TopObject) -> bool:
    """By the UID: an object of the same name that was there before had slices of its own."""
    return any(each.uid == owner.metadata.uid for each in slice_.metadata.owner_references)
