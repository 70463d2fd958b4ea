"""Real etcd for differential tests, and a small blocking client that speaks to it and to ours alike."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from ports import free_port

from raftstore.etcd.gen import rpc_pb2 as pb

MessageType = TypeVar("MessageType", bound=Message)
START_TIMEOUT_S = 60.0

needs_etcd = pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd (Debian: etcd-server) is not installed")
needs_etcdctl = pytest.mark.skipif(
    shutil.which("etcdctl") is None, reason="etcdctl (Debian: etcd-client) is not installed"
)


class Failure(NamedTuple):
    """An error as a client library sees it."""

    code: str
    text: str


class EtcdClient:
    """Blocking calls; an error of the server is returned as a `Failure`."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def call(self, method: str, request: Message, answer: type[MessageType]) -> MessageType | Failure:
        unary = self.channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            response: MessageType = unary(request, timeout=60)
        except grpc.RpcError as error:
            found: Any = error
            return Failure(found.code().name, found.details())
        return response

    def revision(self) -> int:
        response = self.call("KV/Range", pb.RangeRequest(key=b"\0"), pb.RangeResponse)
        assert isinstance(response, pb.RangeResponse), response
        return response.header.revision

    def watch(self, request: pb.WatchCreateRequest, *, up_to: int) -> list[pb.WatchResponse]:
        """Responses of a watch on every key until one holds an event of revision `up_to`, or it is canceled."""
        stream = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        call = stream(iter([pb.WatchRequest(create_request=request)]), timeout=60)
        responses: list[pb.WatchResponse] = []
        try:
            for response in call:
                responses.append(response)
                if response.canceled or any(event.kv.mod_revision >= up_to for event in response.events):
                    break
        except grpc.RpcError as error:
            raise AssertionError(f"no event of revision {up_to} after {responses}") from error
        call.cancel()
        return responses


@contextmanager
def etcd_running() -> Iterator[int]:
    """One member on loopback in a folder of its own; the client port."""
    client, peer = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="etcd-peer-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    "etcd",
                    *("--name", "peer", "--data-dir", f"{folder}/data", "--logger", "zap"),
                    *("--listen-client-urls", f"http://127.0.0.1:{client}"),
                    *("--advertise-client-urls", f"http://127.0.0.1:{client}"),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", f"peer=http://127.0.0.1:{peer}"),
                ],
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_it_answers(client, process, log)
            yield client
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = EtcdClient(channel)
        while isinstance(client.call("KV/Range", pb.RangeRequest(key=b"k"), pb.RangeResponse), Failure):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"etcd did not start:\n{log.read_text()}")
            time.sleep(0.05)
