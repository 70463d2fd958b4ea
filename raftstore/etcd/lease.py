"""etcdserverpb.Lease. Times to live are in seconds, as the store's.

Revoking a lease deletes its keys and asking for its keys names them, so both need the right to each of them:
a lease must not be a way around the rule on keys.
"""

from __future__ import annotations

from ..errors import LeaseNotFound
from .face import Face
from .gen import rpc_pb2 as pb
from .identity import Identity, KeyRange


class LeaseService:
    def __init__(self, face: Face) -> None:
        self._face = face

    async def grant(self, identity: Identity, message: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        self._face.gate.check(identity, "Lease.LeaseGrant")
        result = await self._face.backend.lease_grant(message.ID, message.TTL)
        return pb.LeaseGrantResponse(header=self._face.header_message(result.revision), ID=result.id, TTL=result.ttl)

    async def revoke(self, identity: Identity, message: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        gate = self._face.gate
        gate.check(identity, "Lease.LeaseRevoke")
        attached = await self._face.backend.lease_time_to_live(message.ID, keys=True)
        for key in attached.keys:
            gate.check(identity, "KV.DeleteRange", KeyRange(key))
        result = await self._face.backend.lease_revoke(message.ID)
        return pb.LeaseRevokeResponse(header=self._face.header_message(result.revision))

    async def keep_alive(self, identity: Identity, message: pb.LeaseKeepAliveRequest) -> pb.LeaseKeepAliveResponse:
        """One message of the stream. A lease that is gone is no error there but a time to live of 0."""
        self._face.gate.check(identity, "Lease.LeaseKeepAlive")
        try:
            ttl = (await self._face.backend.lease_keep_alive(message.ID)).ttl
        except LeaseNotFound:
            ttl = 0
        return pb.LeaseKeepAliveResponse(header=self._face.header_message(), ID=message.ID, TTL=max(0, ttl))

    async def time_to_live(self, identity: Identity, message: pb.LeaseTimeToLiveRequest) -> pb.LeaseTimeToLiveResponse:
        gate = self._face.gate
        gate.check(identity, "Lease.LeaseTimeToLive")
        status = await self._face.backend.lease_time_to_live(message.ID, keys=message.keys)
        for key in status.keys:
            gate.check(identity, "KV.Range", KeyRange(key))
        return pb.LeaseTimeToLiveResponse(
            header=self._face.header_message(),
            ID=message.ID,
            TTL=status.remaining_s,
            grantedTTL=status.granted_ttl_s,
            keys=status.keys,
        )

    async def leases(self, identity: Identity, message: pb.LeaseLeasesRequest) -> pb.LeaseLeasesResponse:
        self._face.gate.check(identity, "Lease.LeaseLeases")
        found = await self._face.backend.leases()
        return pb.LeaseLeasesResponse(
            header=self._face.header_message(), leases=[pb.LeaseStatus(ID=lease_id) for lease_id in found]
        )
