"""etcdserverpb.Maintenance: how a replica is, its digest, its copy, and who leads."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import grpc

from ..model import Alarm, AlarmType, HashResult
from .face import ETCD_VERSION, Face
from .gen import rpc_pb2 as pb
from .identity import Identity
from .status import BAD_TRANSFEREE, NOT_LEADER, Refused, Status

SNAPSHOT_ALIGNMENT_BYTES = 512  # etcdctl tells a file with a digest by its size modulo this


def hash_number(result: HashResult) -> int:
    """etcd's hashes have 32 bits: the first four bytes of ours."""
    return int.from_bytes(result.digest[:4], "big")


class MaintenanceService:
    def __init__(self, face: Face) -> None:
        self._face = face

    async def status(self, identity: Identity, message: pb.StatusRequest) -> pb.StatusResponse:
        """Answered by this replica alone, at once: it is asked most when there is no leader."""
        self._face.gate.check(identity, "Maintenance.Status")
        found = self._face.backend.status()
        return pb.StatusResponse(
            header=self._face.header_message(),
            version=ETCD_VERSION,
            dbSize=found.size_bytes,
            dbSizeInUse=found.used_bytes,
            dbSizeQuota=found.quota_bytes,
            leader=found.leader,
            raftIndex=found.commit_index,
            raftAppliedIndex=found.applied_index,
            raftTerm=found.term,
            errors=found.problems,
            isLearner=found.learner,
            storageVersion=ETCD_VERSION,
        )

    async def alarm(self, identity: Identity, message: pb.AlarmRequest) -> pb.AlarmResponse:
        """GET answers the alarms that match, the others those they changed. Member 0, type NONE: any."""
        self._face.gate.check(identity, "Maintenance.Alarm")
        backend = self._face.backend
        if message.action == pb.AlarmRequest.ACTIVATE:
            alarms = [_named_alarm(message)]
            await backend.alarm_set(alarms[0], raised=True)
        else:
            alarms = [alarm for alarm in await backend.alarms() if _matches(alarm, message)]
        if message.action == pb.AlarmRequest.DEACTIVATE:
            for alarm in alarms:
                await backend.alarm_set(alarm, raised=False)
        return pb.AlarmResponse(
            header=self._face.header_message(),
            alarms=[pb.AlarmMember(memberID=alarm.member, alarm=_alarm_value(alarm)) for alarm in alarms],
        )

    async def defragment(self, identity: Identity, message: pb.DefragmentRequest) -> pb.DefragmentResponse:
        """Nothing to do: LMDB uses freed pages again by itself, so the file never needs rewriting."""
        self._face.gate.check(identity, "Maintenance.Defragment")
        return pb.DefragmentResponse(header=self._face.header_message())

    async def hash(self, identity: Identity, message: pb.HashRequest) -> pb.HashResponse:
        self._face.gate.check(identity, "Maintenance.Hash")
        result = await self._face.backend.hash_kv(0)
        return pb.HashResponse(header=self._face.header_message(), hash=hash_number(result))

    async def hash_kv(self, identity: Identity, message: pb.HashKVRequest) -> pb.HashKVResponse:
        self._face.gate.check(identity, "Maintenance.HashKV")
        result = await self._face.backend.hash_kv(max(0, message.revision))
        return pb.HashKVResponse(
            header=self._face.header_message(),
            hash=hash_number(result),
            compact_revision=result.compact_revision,
            hash_revision=result.revision,
        )

    async def snapshot(self, identity: Identity, message: pb.SnapshotRequest) -> AsyncIterator[pb.SnapshotResponse]:
        """The copy, zeros up to a multiple of 512 bytes, and the SHA-256 of all that."""
        self._face.gate.check(identity, "Maintenance.Snapshot")
        header = self._face.header_message()
        size_bytes, chunks = await self._face.backend.snapshot()
        padding = bytes(-size_bytes % SNAPSHOT_ALIGNMENT_BYTES)
        remaining = size_bytes + len(padding) + hashlib.sha256().digest_size
        digest = hashlib.sha256()
        async for chunk in chunks:
            digest.update(chunk)
            remaining -= len(chunk)
            yield pb.SnapshotResponse(header=header, remaining_bytes=remaining, blob=chunk)
        digest.update(padding)
        yield pb.SnapshotResponse(header=header, blob=padding + digest.digest())

    async def move_leader(self, identity: Identity, message: pb.MoveLeaderRequest) -> pb.MoveLeaderResponse:
        self._face.gate.check(identity, "Maintenance.MoveLeader")
        backend = self._face.backend
        if backend.leader != backend.member_id:
            raise Refused(NOT_LEADER)
        if not any(member.id == message.targetID and not member.learner for member in backend.members()):
            raise Refused(BAD_TRANSFEREE)
        await backend.transfer_leadership(message.targetID)
        return pb.MoveLeaderResponse(header=self._face.header_message())


def _alarm_value(alarm: Alarm) -> pb.AlarmType:
    return pb.NOSPACE if alarm.type is AlarmType.NOSPACE else pb.CORRUPT


def _matches(alarm: Alarm, message: pb.AlarmRequest) -> bool:
    return message.memberID in (0, alarm.member) and message.alarm in (pb.NONE, _alarm_value(alarm))


def _named_alarm(message: pb.AlarmRequest) -> Alarm:
    kinds = {pb.NOSPACE: AlarmType.NOSPACE, pb.CORRUPT: AlarmType.CORRUPT}
    if message.alarm not in kinds:
        raise Refused(Status(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: an alarm needs a type"))
    return Alarm(member=message.memberID, type=kinds[message.alarm])
