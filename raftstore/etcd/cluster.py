"""etcdserverpb.Cluster: members as etcd shows them, with URLs where the store has addresses."""

from __future__ import annotations

from collections.abc import Sequence

from ..raft.engine import Member
from .face import Face
from .gen import rpc_pb2 as pb
from .identity import Identity
from .status import BAD_URLS, NOT_LEARNER, Refused

_SCHEMES = ("https://", "http://")


def address_of(urls: Sequence[str]) -> str:
    """The host:port of the one peer URL a member has here. Raises Refused."""
    if len(urls) != 1 or not urls[0].startswith(_SCHEMES):
        raise Refused(BAD_URLS)
    address = urls[0].split("://", 1)[1]
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise Refused(BAD_URLS)
    return address


def member_message(member: Member) -> pb.Member:
    return pb.Member(
        ID=member.id,
        name=member.name,
        peerURLs=[f"https://{member.address}"],
        clientURLs=[f"https://{member.client_address}"] if member.client_address else [],
        isLearner=member.learner,
    )


class ClusterService:
    def __init__(self, face: Face) -> None:
        self._face = face

    def _members(self) -> list[pb.Member]:
        return [member_message(member) for member in self._face.backend.members()]

    async def add(self, identity: Identity, message: pb.MemberAddRequest) -> pb.MemberAddResponse:
        self._face.gate.check(identity, "Cluster.MemberAdd")
        added = await self._face.backend.member_add(address_of(message.peerURLs), learner=message.isLearner)
        return pb.MemberAddResponse(
            header=self._face.header_message(), member=member_message(added), members=self._members()
        )

    async def remove(self, identity: Identity, message: pb.MemberRemoveRequest) -> pb.MemberRemoveResponse:
        self._face.gate.check(identity, "Cluster.MemberRemove")
        await self._face.backend.member_remove(message.ID)
        return pb.MemberRemoveResponse(header=self._face.header_message(), members=self._members())

    async def update(self, identity: Identity, message: pb.MemberUpdateRequest) -> pb.MemberUpdateResponse:
        self._face.gate.check(identity, "Cluster.MemberUpdate")
        await self._face.backend.member_update(message.ID, address_of(message.peerURLs))
        return pb.MemberUpdateResponse(header=self._face.header_message(), members=self._members())

    async def list(self, identity: Identity, message: pb.MemberListRequest) -> pb.MemberListResponse:
        self._face.gate.check(identity, "Cluster.MemberList")
        if message.linearizable:
            await self._face.backend.linearize()
        return pb.MemberListResponse(header=self._face.header_message(), members=self._members())

    async def promote(self, identity: Identity, message: pb.MemberPromoteRequest) -> pb.MemberPromoteResponse:
        self._face.gate.check(identity, "Cluster.MemberPromote")
        if any(member.id == message.ID and not member.learner for member in self._face.backend.members()):
            raise Refused(NOT_LEARNER)
        await self._face.backend.member_promote(message.ID)
        return pb.MemberPromoteResponse(header=self._face.header_message(), members=self._members())
