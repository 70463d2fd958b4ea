"""A blocking client of a replica's etcd face, for the commands that look at one.

It speaks with the admin certificate of the data directory, to one replica, and never repeats a call. Errors
become CommandErrors that name the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from raftstore.etcd.gen import rpc_pb2 as pb

from .errors import CommandError

TIMEOUT_S = 10.0
Answer = TypeVar("Answer", bound=Message)


class Unreachable(CommandError):
    """No connection to the replica."""


class EtcdClient:
    """Use as a context manager. Methods raise Unreachable and CommandError."""

    def __init__(self, address: str, pki: Path, *, user: str = "admin", timeout_s: float = TIMEOUT_S) -> None:
        """`address` is host:port; `pki` holds ca.crt and the user's certificate and key."""
        self.address = address
        self._timeout_s = timeout_s
        try:
            authority = (pki / "ca.crt").read_bytes()
            key, certificate = (pki / f"{user}.key").read_bytes(), (pki / f"{user}.crt").read_bytes()
        except OSError as error:
            raise CommandError(f"cannot read {error.filename}: {error.strerror}") from error
        credentials = grpc.ssl_channel_credentials(authority, key, certificate)
        self._channel = grpc.secure_channel(address, credentials, options=[("grpc.max_receive_message_length", -1)])

    def __enter__(self) -> EtcdClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def put(self, key: bytes, value: bytes) -> pb.PutResponse:
        return self._call("KV/Put", pb.PutRequest(key=key, value=value), pb.PutResponse)

    def range(self, key: bytes, range_end: bytes = b"") -> pb.RangeResponse:
        return self._call("KV/Range", pb.RangeRequest(key=key, range_end=range_end), pb.RangeResponse)

    def delete(self, key: bytes) -> pb.DeleteRangeResponse:
        return self._call("KV/DeleteRange", pb.DeleteRangeRequest(key=key), pb.DeleteRangeResponse)

    def status(self) -> pb.StatusResponse:
        return self._call("Maintenance/Status", pb.StatusRequest(), pb.StatusResponse)

    def members(self) -> pb.MemberListResponse:
        """As this replica knows them: also without a leader."""
        return self._call("Cluster/MemberList", pb.MemberListRequest(linearizable=False), pb.MemberListResponse)

    def snapshot(self) -> Iterator[bytes]:
        """The chunks of `Maintenance.Snapshot`: the copy and its sha256."""
        call = self._channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=pb.SnapshotRequest.SerializeToString,
            response_deserializer=pb.SnapshotResponse.FromString,
        )
        try:
            for part in call(pb.SnapshotRequest()):
                yield part.blob
        except grpc.RpcError as error:
            raise self._translated(error) from error

    def _call(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        call = self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: Answer = call(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from error
        return found

    def _translated(self, error: Any) -> CommandError:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.UNAVAILABLE and not details.startswith("etcdserver:"):
            return Unreachable(f"{self.address} cannot be reached: {details}")
        return CommandError(f"{self.address}: {details}")
