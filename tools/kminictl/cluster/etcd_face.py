"""The etcd face of the replicas, asked with the kubeconfig's client certificate: what `raft` and `doctor` look at.

Only certificates of `system:masters` may; the face says so to all others. Its messages are etcd's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import msgspec
from google.protobuf.message import Message

from raftstore.etcd.gen import rpc_pb2 as pb

from ..failures import CommandError

if TYPE_CHECKING:
    from apiserver.client import Access

PORT = 2379
TIMEOUT_S = 10.0
MEMBER_TIMEOUT_S = 3.0
Answer = TypeVar("Answer", bound=Message)


class Member(msgspec.Struct, kw_only=True):
    """A replica as the group knows it, and what it says of itself (`problem` empty)."""

    id: int
    name: str
    peer: str = ""
    client: str = ""
    learner: bool = False
    leader: bool = False
    term: int = 0
    index: int = 0
    applied: int = 0
    revision: int = 0
    version: str = ""
    size_bytes: int = 0
    used_bytes: int = 0
    problem: str = ""

    @property
    def shown_id(self) -> str:
        return f"{self.id:016x}"


class EtcdFace:
    """One replica. Blocking; a call is never repeated. Use as a context manager; methods raise CommandError."""

    def __init__(self, address: str, access: Access, *, timeout_s: float = TIMEOUT_S) -> None:
        if not access.certificate or not access.key:
            raise CommandError(
                "the etcd face asks for a client certificate, and this kubeconfig has none: use the administrator's"
            )
        self.address = address
        self._timeout_s = timeout_s
        credentials = grpc.ssl_channel_credentials(
            access.authority.read() or None, access.key.read(), access.certificate.read()
        )
        self._channel = grpc.secure_channel(address, credentials, options=[("grpc.max_receive_message_length", -1)])

    def __enter__(self) -> EtcdFace:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> pb.StatusResponse:
        return self._call("Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)

    def members(self) -> list[pb.Member]:
        """As this replica knows them: also without a leader."""
        answer = self._call("Cluster/MemberList", pb.MemberListRequest(linearizable=False), pb.MemberListResponse)
        return list(answer.members)

    def add(self, peer: str, *, learner: bool) -> pb.MemberAddResponse:
        request = pb.MemberAddRequest(peerURLs=[f"https://{peer}"], isLearner=learner)
        return self._call("Cluster/MemberAdd", request, pb.MemberAddResponse)

    def remove(self, member: int) -> None:
        self._call("Cluster/MemberRemove", pb.MemberRemoveRequest(ID=member), pb.MemberRemoveResponse)

    def promote(self, member: int) -> None:
        self._call("Cluster/MemberPromote", pb.MemberPromoteRequest(ID=member), pb.MemberPromoteResponse)

    def transfer(self, member: int) -> None:
        self._call("Maintenance/MoveLeader", pb.MoveLeaderRequest(targetID=member), pb.MoveLeaderResponse)

    def compact(self, revision: int, *, physical: bool) -> None:
        request = pb.CompactionRequest(revision=revision, physical=physical)
        self._call("KV/Compact", request, pb.CompactionResponse)

    def snapshot(self) -> Iterator[bytes]:
        call = self._channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=pb.SnapshotRequest.SerializeToString,
            response_deserializer=pb.SnapshotResponse.FromString,
        )
        try:
            for part in call(pb.SnapshotRequest()):
                yield part.blob
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: Answer = call(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from None
        return found

    def _translated(self, error: Any) -> CommandError:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.UNAVAILABLE and not details.startswith("etcdserver:"):
            return CommandError(f"the etcd face {self.address} cannot be reached: {details}")
        return CommandError(f"{self.address}: {details}")


def addresses(endpoints: str, server: str) -> list[str]:
    """Those named, or the API server's own host."""
    from .connection import Place

    named = [each.removeprefix("https://") for each in endpoints.split(",") if each]
    if named:
        return named
    place = Place.of(server)
    return [f"[{place.host}]:{PORT}" if ":" in place.host else f"{place.host}:{PORT}"]


def first_that_answers(endpoints: list[str], access: Access) -> EtcdFace:
    """Raises CommandError with what the last one said."""
    problem: CommandError | None = None
    for address in endpoints:
        face = EtcdFace(address, access)
        try:
            face.status()
        except CommandError as error:
            face.__exit__()
            problem = error
            continue
        return face
    raise problem or CommandError("no etcd face is named")


def look(face: EtcdFace, access: Access) -> list[Member]:
    """Every member, asked itself where it can be reached; by name."""
    own = face.status().header.member_id
    found = []
    for each in face.members():
        client = next((url.removeprefix("https://") for url in each.clientURLs), "")
        known = Member(
            id=each.ID,
            name=each.name,
            peer=next((url.removeprefix("https://") for url in each.peerURLs), ""),
            client=client,
            learner=each.isLearner,
        )
        found.append(_asked(known, face.address if own == each.ID else client, access))
    return sorted(found, key=lambda member: member.name)


def _asked(member: Member, address: str, access: Access) -> Member:
    if not address:
        member.problem = "its client address is not known"
        return member
    try:
        with EtcdFace(address, access, timeout_s=MEMBER_TIMEOUT_S) as face:
            status = face.status()
    except CommandError as error:
        member.problem = str(error)
        return member
    return msgspec.structs.replace(
        member,
        leader=status.leader == member.id,
        term=status.raftTerm,
        index=status.raftIndex,
        applied=status.raftAppliedIndex,
        revision=status.header.revision,
        version=status.version,
        size_bytes=status.dbSize,
        used_bytes=status.dbSizeInUse,
        problem="; ".join(text.strip() for text in status.errors),
    )
