"""The calls that are streams: watches, keep-alives, the snapshot and the health watch.

Here and nowhere else the face reads and writes a stream. A watch stream has one reader and one writer; the
writer takes the next response only when gRPC has taken the one before, so that a client that does not read
holds events in the store's bounded buffers and nowhere else.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from .face import Face
from .gen import rpc_pb2 as pb
from .identity import Identity
from .lease import LeaseService
from .status import NO_LEADER, Refused, Status
from .watch import WatchStream

#: What a handler is given by grpc.aio; messages are bytes both ways.
Context = Any

MessageType = TypeVar("MessageType", bound=Message)

LEADERLESS_TICKS_MAX = 3


def parse(kind: type[MessageType], data: bytes) -> MessageType:
    """Raises Refused when the bytes are no such message."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        text = f"etcdserver: the request is no {kind.DESCRIPTOR.name}"
        raise Refused(Status(grpc.StatusCode.INVALID_ARGUMENT, text)) from error


def requires_leader(context: Context) -> bool:
    """Whether the client wants an error rather than silence while no leader is known (clientv3's WithRequireLeader)."""
    return any(key == "hasleader" and value == "true" for key, value in context.invocation_metadata() or ())


class OpenWatch:
    """One Watch call while it lasts."""

    def __init__(self, face: Face, identity: Identity, context: Context) -> None:
        self._context = context
        self._needs_leader = requires_leader(context)
        self._failure: Status | None = None
        self._woken = asyncio.Event()
        self._drained = asyncio.Event()
        self.stream = WatchStream(face, identity, self._woken.set)

    def tick(self, leaderless_ticks: int) -> None:
        """Once a second: end the call when the client asked for that, and look for late progress."""
        if self._needs_leader and leaderless_ticks >= LEADERLESS_TICKS_MAX:
            self._failure = NO_LEADER
        self._woken.set()

    async def serve(self) -> None:
        """Until the client goes away, or has said its last word and has no watch left. Raises Refused."""
        reader = asyncio.ensure_future(self._read())
        reader.add_done_callback(lambda _: self._woken.set())
        try:
            await self._write(reader)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            self.stream.close()

    async def _read(self) -> None:
        while (data := await self._context.read()) is not grpc.aio.EOF:
            self.stream.handle(parse(pb.WatchRequest, data))
            while self.stream.congested:
                self._drained.clear()
                await self._drained.wait()

    async def _write(self, reader: asyncio.Future[None]) -> None:
        while True:
            if self._failure is not None:
                raise Refused(self._failure)
            response = self.stream.next()
            if response is not None:
                await self._context.write(response)
                self._drained.set()
                continue
            if reader.done():
                reader.result()  # raises what ended the reading
                if not self.stream.watching:
                    return
            self._woken.clear()
            await self._woken.wait()


async def serve_keep_alives(face: Face, service: LeaseService, identity: Identity, context: Context) -> None:
    """Answers in the order asked. Raises Refused and the store's errors."""
    needs_leader = requires_leader(context)
    while (data := await context.read()) is not grpc.aio.EOF:
        if needs_leader and not face.backend.leader:
            raise Refused(NO_LEADER)
        response = await service.keep_alive(identity, parse(pb.LeaseKeepAliveRequest, data))
        await context.write(response.SerializeToString())
