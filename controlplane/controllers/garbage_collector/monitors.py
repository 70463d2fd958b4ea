"""What tells the graph: the shared informers for kinds that somebody keeps anyway, watches of metadata for the rest.

Not watched are Events, which end by age and belong to nobody, and the leases of nodes, which are renewed all the time
and have a controller of their own that removes them (lease_cleanup). v1alpha1 and events.k8s.io show objects that are
watched under their own kinds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from apiserver.api.errors import ApiError, Gone
from apiserver.api.kinds import KINDS, Kind
from apiserver.api.meta import ObjectMeta
from apiserver.client import Change, Client, Informer, ListOptions, metadata
from apiserver.client.metadata import Metadata
from apiserver.client.retry import Backoff
from controlplane.controllers.stored_kinds import EVENT, LEASE, POD, stored_kinds
from controlplane.runtime.caches import NODE_LEASES, Caches
from controlplane.runtime.pace import Pace

from .graph import Graph

log = logging.getLogger("controlplane.garbage_collector")

PAGE_SIZE = 500
_RELIST = Backoff(first_s=0.2, longest_s=30.0)


def collectable() -> list[Kind]:
    """Every kind that may be deleted, and may have owners or dependents."""
    return [kind for kind in stored_kinds() if kind is not EVENT]


def kept_anyway(caches: Caches) -> Mapping[Kind, Informer[Any]]:
    """The informers that other controllers run as well."""
    return {
        POD: caches.pods,
        KINDS["core", "Node"]: caches.nodes,
        KINDS["core", "Service"]: caches.services,
        KINDS["core", "Endpoints"]: caches.endpoints,
        KINDS["core", "Namespace"]: caches.namespaces,
        KINDS["core", "PersistentVolume"]: caches.persistent_volumes,
        KINDS["core", "PersistentVolumeClaim"]: caches.persistent_volume_claims,
        KINDS["discovery", "EndpointSlice"]: caches.endpoint_slices,
        KINDS["apps", "Deployment"]: caches.deployments,
        KINDS["apps", "ReplicaSet"]: caches.replica_sets,
        KINDS["storage", "StorageClass"]: caches.storage_classes,
        KINDS["certificates", "CertificateSigningRequest"]: caches.certificate_signing_requests,
    }


def listen(graph: Graph, kind: Kind, informer: Informer[Any]) -> None:
    """From now on the graph is told what the informer is told."""

    def changed(change: Change[Any]) -> None:
        meta = change.object.metadata
        if change.type == "deleted":
            graph.drop(meta.uid)
        elif change.old is None or not _same(change.old.metadata, meta):  # most changes are of the status
            graph.put(kind, summary(meta))

    informer.add_handler(changed)


def _same(old: ObjectMeta, new: ObjectMeta) -> bool:
    return (old.owner_references, old.finalizers, old.deletion_timestamp) == (
        new.owner_references,
        new.finalizers,
        new.deletion_timestamp,
    )


def summary(meta: ObjectMeta) -> Metadata:
    return Metadata(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        deletion_timestamp=meta.deletion_timestamp,
        owner_references=meta.owner_references,
        finalizers=meta.finalizers,
    )


class Monitor:
    """Lists and watches the metadata of one kind, for ever. `synced` once all that was there is in the graph."""

    def __init__(self, client: Client, kind: Kind, graph: Graph, pace: Pace) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        self._client = client
        self._graph = graph
        self._pace = pace
        fields = f"metadata.namespace!={NODE_LEASES}" if kind is LEASE else ""
        self._options = ListOptions(fields=fields, limit=PAGE_SIZE)
        self._failures = 0

    async def run(self) -> None:
        while True:
            try:
                await self._watch(await self._list())
            except Gone:
                await self._wait()
            except ApiError as error:
                log.warning(
                    "a kind has to be listed again",
                    extra={"resource": self.kind.group_resource, "error": error.message},
                )
                await self._wait()

    async def _wait(self) -> None:
        caller = self._client.caller
        await caller.sleep(_RELIST.wait_s(self._failures, caller.random))
        self._failures += 1

    async def _list(self) -> str:
        """The resource version to watch from."""
        options, there = self._options, set[str]()
        while True:
            page = await metadata.list_page(self._client, self.kind, options=options)
            for each in page.items:
                there.add(each.uid)
                self._put(each)
                await self._pace.breathe()
            if not page.metadata.continue_:
                break
            options = msgspec.structs.replace(self._options, continue_=page.metadata.continue_)
        self._graph.keep_only(self.kind, there)
        self.synced.set()
        return page.metadata.resource_version

    async def _watch(self, resource_version: str) -> None:
        options = msgspec.structs.replace(self._options, limit=0, resource_version=resource_version)
        watch = metadata.open_watch(self._client, self.kind, options=options)
        async with aclosing(watch.events()) as events:
            async for event in events:
                self._failures = 0
                if event.type == "DELETED":
                    self._graph.drop(event.object.uid)
                elif event.type != "BOOKMARK":
                    self._put(event.object)

    def _put(self, each: Metadata) -> None:
        self._graph.put(self.kind, each)
