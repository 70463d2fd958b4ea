"""etcdserverpb.KV: check rights, convert, ask the store, write the answer's bytes."""

from __future__ import annotations

import asyncio

from . import convert, wire
from .face import Face
from .gen import rpc_pb2 as pb
from .identity import Identity, KeyRange

SLICE_KEYS = 2_000  # encoded at one go: a few milliseconds


class KeyValueService:
    def __init__(self, face: Face) -> None:
        self._face = face

    async def range(self, identity: Identity, message: pb.RangeRequest) -> bytes:
        request = convert.range_of(message)
        self._face.gate.check(identity, "KV.Range", KeyRange(request.key, request.range_end))
        result = await self._face.backend.range(request, serializable=message.serializable)
        header = self._face.header(result.revision)
        if len(result.kvs) <= SLICE_KEYS:
            return wire.range_response(header, result)
        parts = [wire.range_head(header, result)]
        for first in range(0, len(result.kvs), SLICE_KEYS):
            parts.append(wire.range_keys(result.kvs[first : first + SLICE_KEYS]))
            await asyncio.sleep(0)  # others have their turn on the event loop
        return b"".join(parts)

    async def put(self, identity: Identity, message: pb.PutRequest) -> bytes:
        request = convert.put_of(message)
        self._face.gate.check(identity, "KV.Put", KeyRange(request.key))
        result = await self._face.backend.put(request)
        return wire.put_response(self._face.header(result.revision), result)

    async def delete_range(self, identity: Identity, message: pb.DeleteRangeRequest) -> bytes:
        request = convert.delete_of(message)
        self._face.gate.check(identity, "KV.DeleteRange", KeyRange(request.key, request.range_end))
        result = await self._face.backend.delete(request)
        return wire.delete_response(self._face.header(result.revision), result)

    async def txn(self, identity: Identity, message: pb.TxnRequest) -> bytes:
        request = convert.txn_of(message)
        gate = self._face.gate
        gate.check(identity, "KV.Txn")
        for rpc, keys in convert.parts_of(request):
            gate.check(identity, rpc, keys)
        result = await self._face.backend.txn(request)
        return wire.txn_response(self._face.header(result.revision), result)

    async def compact(self, identity: Identity, message: pb.CompactionRequest) -> pb.CompactionResponse:
        self._face.gate.check(identity, "KV.Compact")
        result = await self._face.backend.compact(message.revision, physical=message.physical)
        return pb.CompactionResponse(header=self._face.header_message(result.revision))
