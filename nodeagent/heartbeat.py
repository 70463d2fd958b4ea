"""A node's pulse: its Lease in kube-node-lease, renewed every ten seconds and good for forty, as the kubelet's.

Renewals are an update of the lease as it was last answered: one small write, and no read as long as nobody else
writes it. Each wait is a little different, so that a thousand nodes do not come at once.
"""

from __future__ import annotations

import logging
import time

import msgspec

from apiserver.api.coordination import Lease, LeaseSpec
from apiserver.api.core.node import Node
from apiserver.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from apiserver.api.meta import ObjectMeta, OwnerReference
from apiserver.api.times import now_micro_text
from apiserver.client import Client, WriteOptions

from .clock import Wall

log = logging.getLogger(__name__)

NAMESPACE = "kube-node-lease"
EVERY_S = 10.0
DURATION_S = 40
IN_TIME = WriteOptions(timeout_s=8.0)  # after that the next one is due, which another server may take


class Heartbeat:
    """Of one node. `beat` never raises for what the API answers."""

    def __init__(self, client: Client, node: str, *, wall: Wall = time.time) -> None:
        self.failures = 0
        self._client = client
        self._node = node
        self._wall = wall
        self._lease: Lease | None = None
        self._owner: OwnerReference | None = None

    def registered(self, node: Node) -> None:
        """The lease goes with the Node."""
        meta = node.metadata
        self._owner = OwnerReference(api_version="v1", kind="Node", name=meta.name, uid=meta.uid)

    async def beat(self) -> bool:
        """Whether the lease was renewed."""
        try:
            await self._renew()
        except ApiError as error:
            self._lease = None
            self.failures += 1
            log.warning("a node's lease was not renewed", extra={"node": self._node, "error": error.message})
            return False
        self.failures = 0
        return True

    async def _renew(self) -> None:
        if self._lease is not None:
            try:
                self._lease = await self._client.update(self._renewed(self._lease), options=IN_TIME)
                return
            except (Conflict, NotFound):
                self._lease = None  # somebody else wrote it, or it is gone
        try:
            known = await self._client.get(Lease, self._node, namespace=NAMESPACE)
        except NotFound:
            await self._create()
            return
        self._lease = await self._client.update(self._renewed(known), options=IN_TIME)

    async def _create(self) -> None:
        lease = self._renewed(Lease(metadata=ObjectMeta(name=self._node, namespace=NAMESPACE)))
        try:
            self._lease = await self._client.create(lease, options=IN_TIME)
        except AlreadyExists:
            known = await self._client.get(Lease, self._node, namespace=NAMESPACE)
            self._lease = await self._client.update(self._renewed(known), options=IN_TIME)

    def _renewed(self, lease: Lease) -> Lease:
        metadata = lease.metadata
        owner = self._owner
        if owner is not None and all(each.uid != owner.uid for each in metadata.owner_references):
            metadata = msgspec.structs.replace(metadata, owner_references=[owner])
        spec = LeaseSpec(
            holder_identity=self._node,
            lease_duration_seconds=DURATION_S,
            renew_time=now_micro_text(self._wall),
        )
        return msgspec.structs.replace(lease, metadata=metadata, spec=spec)
