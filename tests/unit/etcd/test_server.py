"""The server over real mutual TLS on loopback, with the in-memory twin behind it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from etcd_memory import MemoryBackend
from etcd_pki import Authority

from raftstore.errors import NoSpace, OutcomeUnknown
from raftstore.etcd.face import Face
from raftstore.etcd.gen import health_pb2
from raftstore.etcd.gen import rpc_pb2 as pb
from raftstore.etcd.identity import Gate, Identity, KeyRange
from raftstore.etcd.kv import KeyValueService
from raftstore.etcd.server import EtcdServer, TlsFiles
from raftstore.model import Alarm, AlarmType

ADMIN = "admins"


def rule(identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
    """Admins may do all; others what concerns keys, but not those under "secret/"."""
    if ADMIN in identity.groups:
        return True
    if keys is None:
        return rpc.startswith(("KV.Txn", "Lease."))
    below = keys.range_end or keys.key + b"\0"
    return keys.range_end != b"\0" and (below <= b"secret/" or keys.key >= b"secret0")


class Cluster:
    """One server and the PKI around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.backend = MemoryBackend()
        self.authority = Authority(folder)
        certificate, key = self.authority.issue("server")
        self.tls = TlsFiles(certificate=certificate, key=key, client_ca=self.authority.certificate)
        self.server = EtcdServer(self.backend, authorize=rule, tls=self.tls, address="127.0.0.1:0")
        self.port = 0

    @property
    def face(self) -> Face:
        return Face(self.backend, Gate(rule))

    def channel(self, group: str = ADMIN, authority: Authority | None = None) -> grpc.aio.Channel:
        certificate, key = (authority or self.authority).issue("client", (group,))
        credentials = grpc.ssl_channel_credentials(
            self.authority.certificate.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Cluster]:
    cluster = Cluster(folder)
    cluster.port = await cluster.server.start()
    try:
        yield cluster
    finally:
        await cluster.server.stop(0)


def call(channel: grpc.aio.Channel, method: str, request: Any, answer: Any, **options: Any) -> Awaitable[Any]:
    service, name = method.split(".")
    prefix = "etcdserverpb." if service != "Health" else "grpc.health.v1."
    unary = channel.unary_unary(
        f"/{prefix}{service}/{name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    result: Awaitable[Any] = unary(request, timeout=10, **options)
    return result


async def failure(awaitable: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value.code().name, caught.value.details() or ""


def run(folder: Path, body: Callable[[Cluster, grpc.aio.Channel], Awaitable[None]], group: str = ADMIN) -> None:
    async def main() -> None:
        async with running(folder) as cluster, cluster.channel(group) as channel:
            await asyncio.wait_for(body(cluster, channel), 20)

    asyncio.run(main())


def test_put_and_range(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        put = await call(channel, "KV.Put", pb.PutRequest(key=b"k", value=b"v"), pb.PutResponse)
        assert (put.header.revision, put.header.cluster_id, put.header.member_id) == (2, 77, 5)
        got = await call(channel, "KV.Range", pb.RangeRequest(key=b"k"), pb.RangeResponse)
        assert [(kv.key, kv.value, kv.version) for kv in got.kvs] == [(b"k", b"v", 1)]
        assert got.count == 1

    run(tmp_path, body)


def test_a_range_of_many_slices_is_whole_and_lets_others_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftstore.etcd.kv.SLICE_KEYS", 10)

    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        for number in range(95):
            cluster.backend.put_now(b"k%03d" % number, b"v")
        request = pb.RangeRequest(key=b"k", range_end=b"l")
        ticks = 0

        async def others() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        service = KeyValueService(cluster.face)
        running = asyncio.create_task(others())
        answer = await service.range(Identity(name="n", groups=frozenset({ADMIN})), request)
        running.cancel()
        got = pb.RangeResponse.FromString(answer)
        assert [kv.key for kv in got.kvs] == sorted(cluster.backend.data)
        assert (got.count, got.header.revision) == (95, 96)
        assert ticks >= 9

    run(tmp_path, body)


def test_errors_leave_with_etcds_code_and_text(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        put = pb.PutRequest(key=b"k")
        assert await failure(call(channel, "KV.Put", pb.PutRequest(), pb.PutResponse)) == (
            "INVALID_ARGUMENT",
            "etcdserver: key is not provided",
        )
        cluster.backend.error = NoSpace("full")
        assert await failure(call(channel, "KV.Put", put, pb.PutResponse)) == (
            "RESOURCE_EXHAUSTED",
            "etcdserver: mvcc: database space exceeded",
        )
        cluster.backend.error = OutcomeUnknown("who knows")
        code, _ = await failure(call(channel, "KV.Put", put, pb.PutResponse))
        assert code == "UNAVAILABLE"

    run(tmp_path, body)


def test_bytes_that_are_no_message_are_a_named_error(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        put: Any = channel.unary_unary("/etcdserverpb.KV/Put")
        assert await failure(put(b"\xff\xff\xff", timeout=10)) == (
            "INVALID_ARGUMENT",
            "etcdserver: the request is no PutRequest",
        )
        watch: Any = channel.stream_stream("/etcdserverpb.Watch/Watch")(timeout=10)
        await watch.write(b"\xff\xff\xff")
        assert (await failure(watch.read()))[0] == "INVALID_ARGUMENT"

    run(tmp_path, body)


def test_auth_and_downgrade_are_unimplemented(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        for method in ("/etcdserverpb.Auth/Authenticate", "/etcdserverpb.Maintenance/Downgrade"):
            unknown: Any = channel.unary_unary(method)
            assert (await failure(unknown(b"", timeout=10)))[0] == "UNIMPLEMENTED"

    run(tmp_path, body)


def test_a_caller_without_a_certificate_of_the_ca_gets_nowhere(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        folder = tmp_path / "foreign"
        folder.mkdir()
        bare = grpc.ssl_channel_credentials(cluster.authority.certificate.read_bytes())
        for stranger in (
            cluster.channel(authority=Authority(folder)),
            grpc.aio.secure_channel(f"localhost:{cluster.port}", bare),
            grpc.aio.insecure_channel(f"localhost:{cluster.port}"),
        ):
            async with stranger:
                get = call(stranger, "KV.Range", pb.RangeRequest(key=b"k"), pb.RangeResponse)
                assert (await failure(get))[0] == "UNAVAILABLE"

    run(tmp_path, body)


def test_the_rule_is_asked_for_every_key_of_a_transaction_and_of_a_lease(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        cluster.backend.lease_table[9] = 60
        cluster.backend.put_now(b"secret/x", b"v", lease=9)
        hidden = pb.TxnRequest(failure=[pb.RequestOp(request_put=pb.PutRequest(key=b"secret/x"))])
        for method, request in (
            ("KV.Put", pb.PutRequest(key=b"secret/y")),
            ("KV.Range", pb.RangeRequest(key=b"a", range_end=b"\0")),
            ("KV.DeleteRange", pb.DeleteRangeRequest(key=b"a", range_end=b"z")),
            ("KV.Txn", pb.TxnRequest(success=[pb.RequestOp(request_txn=hidden)])),
            ("KV.Txn", pb.TxnRequest(compare=[pb.Compare(key=b"secret/x")])),
            ("KV.Compact", pb.CompactionRequest(revision=2)),
            ("Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=9)),
            ("Lease.LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=9, keys=True)),
            ("Cluster.MemberRemove", pb.MemberRemoveRequest(ID=5)),
            ("Maintenance.Snapshot", pb.SnapshotRequest()),
            ("Maintenance.Status", pb.StatusRequest()),
            ("Maintenance.MoveLeader", pb.MoveLeaderRequest(targetID=5)),
        ):
            found = await failure(call(channel, method, request, pb.PutResponse))
            assert found == ("PERMISSION_DENIED", "etcdserver: permission denied"), method
        assert b"secret/x" in cluster.backend.data
        await call(channel, "KV.Put", pb.PutRequest(key=b"open"), pb.PutResponse)

    run(tmp_path, body, group="people")


def test_a_watch_stream_gives_events_and_ends_with_its_client(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        watch: Any = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )(timeout=10)
        await watch.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k")))
        assert (await watch.read()).created
        cluster.backend.put_now(b"k", b"v")
        assert (await watch.read()).events[0].kv.value == b"v"
        await watch.done_writing()
        ended = asyncio.Event()
        cluster.backend.on_watch_cancelled = ended.set
        cluster.backend.put_now(b"k", b"w")
        assert (await watch.read()).events[0].kv.value == b"w"
        watch.cancel()
        await ended.wait()

    run(tmp_path, body)


def test_a_stream_that_requires_a_leader_ends_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raftstore.etcd.server.TICK_S", 0.01)

    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        watch: Any = channel.stream_stream("/etcdserverpb.Watch/Watch")(timeout=10, metadata=(("hasleader", "true"),))
        await watch.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"k")).SerializeToString())
        await watch.read()
        cluster.backend.leader = 0
        assert await failure(watch.read()) == ("UNAVAILABLE", "etcdserver: no leader")
        get = call(
            channel,
            "KV.Range",
            pb.RangeRequest(key=b"k"),
            pb.RangeResponse,
            metadata=(("hasleader", "true"),),
        )
        assert await failure(get) == ("UNAVAILABLE", "etcdserver: no leader")
        await call(channel, "KV.Range", pb.RangeRequest(key=b"k"), pb.RangeResponse)

    run(tmp_path, body)


def test_leases(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        granted = await call(channel, "Lease.LeaseGrant", pb.LeaseGrantRequest(TTL=60), pb.LeaseGrantResponse)
        assert (granted.ID, granted.TTL) == (1234, 60)
        cluster.backend.put_now(b"k", b"v", lease=1234)
        left = await call(
            channel,
            "Lease.LeaseTimeToLive",
            pb.LeaseTimeToLiveRequest(ID=1234, keys=True),
            pb.LeaseTimeToLiveResponse,
        )
        assert (left.TTL, left.grantedTTL, list(left.keys)) == (59, 60, [b"k"])
        keep: Any = channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=pb.LeaseKeepAliveRequest.SerializeToString,
            response_deserializer=pb.LeaseKeepAliveResponse.FromString,
        )(timeout=10)
        for lease_id, ttl in ((1234, 60), (4321, 0)):
            await keep.write(pb.LeaseKeepAliveRequest(ID=lease_id))
            answer = await keep.read()
            assert answer == pb.LeaseKeepAliveResponse(header=answer.header, ID=lease_id, TTL=ttl)
        await keep.done_writing()
        assert await keep.read() is grpc.aio.EOF
        found = await call(channel, "Lease.LeaseLeases", pb.LeaseLeasesRequest(), pb.LeaseLeasesResponse)
        assert [lease.ID for lease in found.leases] == [1234]
        await call(channel, "Lease.LeaseRevoke", pb.LeaseRevokeRequest(ID=1234), pb.LeaseRevokeResponse)
        assert cluster.backend.data == {}
        gone = await call(
            channel,
            "Lease.LeaseTimeToLive",
            pb.LeaseTimeToLiveRequest(ID=1234),
            pb.LeaseTimeToLiveResponse,
        )
        assert (gone.TTL, gone.grantedTTL) == (-1, 0)

    run(tmp_path, body)


def test_members_have_urls_and_bad_urls_are_refused(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        listed = await call(
            channel, "Cluster.MemberList", pb.MemberListRequest(linearizable=True), pb.MemberListResponse
        )
        assert cluster.backend.linearized == 1
        assert listed.members[0].peerURLs == ["https://127.0.0.1:2380"]
        assert listed.members[0].clientURLs == ["https://127.0.0.1:2379"]
        assert [member.isLearner for member in listed.members] == [False, True]
        added = await call(
            channel,
            "Cluster.MemberAdd",
            pb.MemberAddRequest(peerURLs=["https://10.0.0.9:2380"], isLearner=True),
            pb.MemberAddResponse,
        )
        assert (added.member.ID, added.member.isLearner, len(added.members)) == (99, True, 3)
        for urls in ([], ["10.0.0.9:2380"], ["https://10.0.0.9"], ["https://h:x"], ["https://h:1", "https://h:2"]):
            bad = call(channel, "Cluster.MemberAdd", pb.MemberAddRequest(peerURLs=urls), pb.MemberAddResponse)
            assert await failure(bad) == ("INVALID_ARGUMENT", "etcdserver: given member URLs are invalid")
        again = call(channel, "Cluster.MemberPromote", pb.MemberPromoteRequest(ID=5), pb.MemberPromoteResponse)
        assert await failure(again) == (
            "FAILED_PRECONDITION",
            "etcdserver: can only promote a learner member",
        )
        missing = call(channel, "Cluster.MemberRemove", pb.MemberRemoveRequest(ID=1), pb.MemberRemoveResponse)
        assert await failure(missing) == ("NOT_FOUND", "etcdserver: member not found")

    run(tmp_path, body)


def test_a_snapshot_is_padded_and_ends_with_its_digest(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        stream: Any = channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=pb.SnapshotRequest.SerializeToString,
            response_deserializer=pb.SnapshotResponse.FromString,
        )(pb.SnapshotRequest(), timeout=10)
        responses = [response async for response in stream]
        file = b"".join(response.blob for response in responses)
        assert len(file) % 512 == 32
        assert hashlib.sha256(file[:-32]).digest() == file[-32:]
        assert file[:800] == b"".join(cluster.backend.snapshot_chunks)
        left = len(file)
        for response in responses:
            left -= len(response.blob)
            assert response.remaining_bytes == left

    run(tmp_path, body)


def test_status_hash_alarms_and_move_leader(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        backend = cluster.backend
        backend.problems = ["no leader is known"]
        backend.raised = [Alarm(5, AlarmType.NOSPACE), Alarm(6, AlarmType.CORRUPT)]
        found = await call(channel, "Maintenance.Status", pb.StatusRequest(), pb.StatusResponse)
        assert (found.leader, found.raftIndex, found.raftAppliedIndex, found.raftTerm) == (5, 40, 39, 3)
        assert (found.dbSize, found.dbSizeInUse, found.isLearner) == (4096, 1024, False)
        assert list(found.errors) == ["no leader is known"]
        hashed = await call(channel, "Maintenance.HashKV", pb.HashKVRequest(), pb.HashKVResponse)
        assert (hashed.hash, hashed.hash_revision) == (0x00010203, 1)
        listed = await call(channel, "Maintenance.Alarm", pb.AlarmRequest(alarm=pb.CORRUPT), pb.AlarmResponse)
        assert [(alarm.memberID, alarm.alarm) for alarm in listed.alarms] == [(6, pb.CORRUPT)]
        disarm = pb.AlarmRequest(action=pb.AlarmRequest.DEACTIVATE, memberID=5, alarm=pb.NOSPACE)
        await call(channel, "Maintenance.Alarm", disarm, pb.AlarmResponse)
        assert backend.alarm_set_calls == [(Alarm(5, AlarmType.NOSPACE), False)]
        await call(channel, "Maintenance.MoveLeader", pb.MoveLeaderRequest(targetID=5), pb.MoveLeaderResponse)
        assert backend.transferred_to == 5
        for target in (6, 8):  # a learner, a stranger
            moved = call(
                channel, "Maintenance.MoveLeader", pb.MoveLeaderRequest(targetID=target), pb.MoveLeaderResponse
            )
            assert await failure(moved) == ("FAILED_PRECONDITION", "etcdserver: bad leader transferee")
        backend.leader = 6
        moved = call(channel, "Maintenance.MoveLeader", pb.MoveLeaderRequest(targetID=5), pb.MoveLeaderResponse)
        assert await failure(moved) == ("FAILED_PRECONDITION", "etcdserver: not leader")

    run(tmp_path, body)


def test_health_follows_the_leader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftstore.etcd.health.WATCH_INTERVAL_S", 0.01)

    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        serving = health_pb2.HealthCheckResponse
        request = health_pb2.HealthCheckRequest()
        stream: Any = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=serving.FromString,
        )(request, timeout=10)
        assert (await stream.read()).status == serving.SERVING
        assert (await call(channel, "Health.Check", request, serving)).status == serving.SERVING
        cluster.backend.leader = 0
        assert (await stream.read()).status == serving.NOT_SERVING
        assert (await call(channel, "Health.Check", request, serving)).status == serving.NOT_SERVING
        unknown = call(channel, "Health.Check", health_pb2.HealthCheckRequest(service="x"), serving)
        assert (await failure(unknown))[0] == "NOT_FOUND"
        stream.cancel()

    run(tmp_path, body)


def test_a_renewed_certificate_is_used_without_a_restart(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        async def served() -> bool:
            async with cluster.channel() as fresh:
                try:
                    await call(fresh, "KV.Range", pb.RangeRequest(key=b"k"), pb.RangeResponse)
                except grpc.aio.AioRpcError:
                    return False
                return True

        assert await served()
        folder = tmp_path / "new"
        folder.mkdir()
        old, cluster.authority = cluster.authority, Authority(folder)
        certificate, key = cluster.authority.issue("server")
        assert not await served()
        cluster.tls.key.write_bytes(key.read_bytes())
        cluster.tls.certificate.write_bytes(certificate.read_bytes())
        cluster.tls.client_ca.write_bytes(cluster.authority.certificate.read_bytes())
        assert await served()
        cluster.authority = old
        assert not await served()

    run(tmp_path, body)


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    async def body(cluster: Cluster, channel: grpc.aio.Channel) -> None:
        second = EtcdServer(cluster.backend, authorize=rule, tls=cluster.tls, address=f"127.0.0.1:{cluster.port}")
        with pytest.raises(RuntimeError):
            await second.start()

    run(tmp_path, body)
