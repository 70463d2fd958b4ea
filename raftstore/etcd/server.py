"""The gRPC server: which call is served by whom, over mutual TLS.

Handlers are registered with raw bytes, for the hot answers are written by hand (wire.py). What must always
hold: no call is served without a client certificate of the given CA, each call is put before the daemon's
rule by its service, and every error leaves as one of status.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import msgspec
from google.protobuf.message import Message

from .. import limits
from ..errors import StoreError
from .backend import Backend
from .cluster import ClusterService
from .face import Face
from .gen import health_pb2
from .gen import rpc_pb2 as pb
from .health import HealthService
from .identity import Authorize, Gate, Identity
from .kv import KeyValueService
from .lease import LeaseService
from .maintenance import MaintenanceService
from .status import NO_LEADER, Refused, Status, status_of
from .streams import Context, MessageType, OpenWatch, parse, requires_leader, serve_keep_alives

TICK_S = 1.0
CALLS_MAX = 20_000  # at one time, streams included
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a lottery
    ("grpc.max_receive_message_length", limits.REQUEST_BYTES_MAX + 512 * limits.KIB),  # as etcd's
    ("grpc.max_send_message_length", -1),
    # etcd's clients send pings as often as every two seconds; the library's default takes that for an attack.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files, read again when one changes: a renewed certificate needs no restart."""

    certificate: Path
    key: Path
    client_ca: Path

    def _stamp(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in (self.certificate, self.key, self.client_ca))

    def _configuration(self) -> Any:
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=self.client_ca.read_bytes())

    def credentials(self) -> grpc.ServerCredentials:
        """Raises OSError when a file cannot be read."""
        seen = self._stamp()

        def renewed() -> Any:  # asked at every handshake; None keeps what is in use
            nonlocal seen
            try:
                stamp = self._stamp()
                if stamp == seen:
                    return None
                configuration = self._configuration()
            except OSError:  # being replaced right now: the next handshake asks again
                return None
            seen = stamp
            return configuration

        return grpc.dynamic_ssl_server_credentials(self._configuration(), renewed, require_client_authentication=True)


class EtcdServer:
    """etcd's v3 services for one replica. `start` gives the port; `stop` ends every call."""

    def __init__(
        self,
        backend: Backend,
        *,
        authorize: Authorize,
        tls: TlsFiles,
        address: str,
        progress_interval_s: float = 600.0,
    ) -> None:
        """`address` is host:port, port 0 takes a free one. `progress_interval_s`: for watches that ask for it."""
        self._face = Face(backend, Gate(authorize))
        self._health = HealthService(self._face)
        self._tls = tls
        self._address = address
        self._progress_ticks = max(1, round(progress_interval_s / TICK_S))
        self._watches: set[OpenWatch] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen; the port. Raises RuntimeError when the address cannot be had, OSError for the PEM files."""
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
        server.add_generic_rpc_handlers(self._handlers())
        port = server.add_secure_port(self._address, self._tls.credentials())
        await server.start()
        self._server = server
        self._ticker = asyncio.create_task(self._tick())
        return port

    async def stop(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give running ones `grace_s`, end the rest. Idempotent."""
        self._health.stopping = True
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    async def _tick(self) -> None:
        leaderless_ticks = ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            leaderless_ticks = 0 if self._face.backend.leader else leaderless_ticks + 1
            for watch in self._watches:
                if ticks % self._progress_ticks == 0:
                    watch.stream.notify()
                watch.tick(leaderless_ticks)

    # --- calls ---

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        kv, lease = KeyValueService(self._face), LeaseService(self._face)
        cluster, maintenance = ClusterService(self._face), MaintenanceService(self._face)
        services = {
            "etcdserverpb.KV": {
                "Range": self._unary(pb.RangeRequest, kv.range),
                "Put": self._unary(pb.PutRequest, kv.put),
                "DeleteRange": self._unary(pb.DeleteRangeRequest, kv.delete_range),
                "Txn": self._unary(pb.TxnRequest, kv.txn),
                "Compact": self._unary(pb.CompactionRequest, kv.compact),
            },
            "etcdserverpb.Watch": {"Watch": self._stream(self._watch)},
            "etcdserverpb.Lease": {
                "LeaseGrant": self._unary(pb.LeaseGrantRequest, lease.grant),
                "LeaseRevoke": self._unary(pb.LeaseRevokeRequest, lease.revoke),
                "LeaseKeepAlive": self._stream(
                    lambda identity, context: serve_keep_alives(self._face, lease, identity, context)
                ),
                "LeaseTimeToLive": self._unary(pb.LeaseTimeToLiveRequest, lease.time_to_live),
                "LeaseLeases": self._unary(pb.LeaseLeasesRequest, lease.leases),
            },
            "etcdserverpb.Cluster": {
                "MemberAdd": self._unary(pb.MemberAddRequest, cluster.add),
                "MemberRemove": self._unary(pb.MemberRemoveRequest, cluster.remove),
                "MemberUpdate": self._unary(pb.MemberUpdateRequest, cluster.update),
                "MemberList": self._unary(pb.MemberListRequest, cluster.list),
                "MemberPromote": self._unary(pb.MemberPromoteRequest, cluster.promote),
            },
            "etcdserverpb.Maintenance": {
                "Alarm": self._unary(pb.AlarmRequest, maintenance.alarm),
                "Status": self._unary(pb.StatusRequest, maintenance.status),
                "Defragment": self._unary(pb.DefragmentRequest, maintenance.defragment),
                "Hash": self._unary(pb.HashRequest, maintenance.hash),
                "HashKV": self._unary(pb.HashKVRequest, maintenance.hash_kv),
                "Snapshot": self._server_stream(pb.SnapshotRequest, maintenance.snapshot),
                "MoveLeader": self._unary(pb.MoveLeaderRequest, maintenance.move_leader),
            },
            "grpc.health.v1.Health": {
                "Check": self._unary(health_pb2.HealthCheckRequest, self._health.check),
                "Watch": self._server_stream(health_pb2.HealthCheckRequest, self._health.watch),
            },
        }
        return tuple(grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items())

    async def _answer(self, context: Context, serve: Callable[[Identity], Awaitable[Any]]) -> Any:
        """Identify the caller and serve it; errors become statuses."""
        try:
            return await serve(self._face.gate.identify(context.auth_context()))
        except Refused as refused:
            status = refused.status
        except StoreError as error:
            status = status_of(error)
        return await _abort(context, status)

    def _unary(
        self, kind: type[MessageType], handler: Callable[[Identity, MessageType], Awaitable[bytes | Message]]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        backend = self._face.backend

        async def call(data: bytes, context: Context) -> bytes:
            async def serve(identity: Identity) -> bytes:
                if not backend.leader and requires_leader(context):
                    raise Refused(NO_LEADER)
                response = await handler(identity, parse(kind, data))
                return response if isinstance(response, bytes) else response.SerializeToString()

            answer: bytes = await self._answer(context, serve)
            return answer

        return grpc.unary_unary_rpc_method_handler(call)

    def _server_stream(
        self, kind: type[MessageType], handler: Callable[[Identity, MessageType], AsyncIterator[Message]]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        async def call(data: bytes, context: Context) -> None:
            async def serve(identity: Identity) -> None:
                async for response in handler(identity, parse(kind, data)):
                    await context.write(response.SerializeToString())

            await self._answer(context, serve)

        return grpc.unary_stream_rpc_method_handler(call)

    def _stream(self, handler: Callable[[Identity, Context], Awaitable[None]]) -> grpc.RpcMethodHandler[Any, Any]:
        async def call(_: object, context: Context) -> None:
            await self._answer(context, lambda identity: handler(identity, context))

        return grpc.stream_stream_rpc_method_handler(call)

    async def _watch(self, identity: Identity, context: Context) -> None:
        watch = OpenWatch(self._face, identity, context)
        self._watches.add(watch)
        try:
            await watch.serve()
        finally:
            self._watches.discard(watch)


async def _abort(context: Context, status: Status) -> None:
    await context.abort(status.code, status.text)
