"""Calls to containerd over its socket: gRPC, loaded when it is first needed.

Failures come out in the runtime's own words (interface.py). A channel that lost its peer is back within a second of the
peer, not after gRPC's long waits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from nodeagent.timings import Timing

from .interface import NotThere, RuntimeFailure, TookTooLong, Unavailable

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # as the kubelet's
CALL_WITHIN_S = 120.0
_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # of one try: a busy containerd accepts long before it speaks
)
#: containerd's CRI half says this until it has read what it left on disk.
_NOT_YET = "server is not initialized yet"

Answer = TypeVar("Answer", bound="Message", covariant=True)


class AnswerType(Protocol[Answer]):
    @staticmethod
    def FromString(s: bytes, /) -> Answer: ...  # protobuf's name


class Connection:
    """To one socket; used from one event loop. A longer answer is a failure. `close` when done."""

    def __init__(self, socket: Path, *, answer_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self.socket = socket
        self._options = (*_OPTIONS, ("grpc.max_receive_message_length", answer_bytes_max))
        self.timings: dict[str, Timing] = {}  # by method, of `call`
        self._channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close(None)

    async def call(
        self,
        method: str,
        request: Message,
        answer: AnswerType[Answer],
        *,
        within_s: float = CALL_WITHIN_S,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """`method` as in `/runtime.v1.RuntimeService/Version`. Raises RuntimeFailure."""
        made = self._open().unary_unary(method, request_serializer=_serialized, response_deserializer=answer.FromString)
        with self.timings.setdefault(method, Timing()).measured(), failures(method):
            result: Answer = await made(request, timeout=within_s, metadata=tuple(headers))
            return result

    async def exchange(
        self,
        method: str,
        requests: AsyncIterator[Message],
        answer: AnswerType[Answer],
        *,
        within_s: float,
        headers: Sequence[tuple[str, str]] = (),
    ) -> list[Answer]:
        """Send all; all answers. Raises RuntimeFailure."""
        made = self._open().stream_stream(
            method, request_serializer=_serialized, response_deserializer=answer.FromString
        )
        with failures(method):
            return [each async for each in made(requests, timeout=within_s, metadata=tuple(headers))]

    async def collect(
        self,
        method: str,
        request: Message,
        answer: AnswerType[Answer],
        *,
        within_s: float,
        headers: Sequence[tuple[str, str]] = (),
    ) -> list[Answer]:
        """All answers. Raises RuntimeFailure."""
        made = self._open().unary_stream(
            method, request_serializer=_serialized, response_deserializer=answer.FromString
        )
        with failures(method):
            return [each async for each in made(request, timeout=within_s, metadata=tuple(headers))]

    async def listen(self, method: str, request: Message, answer: AnswerType[Answer]) -> AsyncGenerator[Answer, None]:
        """What the other side tells, until it goes away (raises Unavailable)."""
        made = self._open().unary_stream(
            method, request_serializer=_serialized, response_deserializer=answer.FromString
        )
        call = made(request)
        try:
            with failures(method):
                async for each in call:
                    yield each
            raise Unavailable(f"{method} ended")
        finally:
            call.cancel()

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # nobody of ours goes on in a fork
            import grpc.aio

            self._channel = grpc.aio.insecure_channel(f"unix:{self.socket}", options=self._options)
        return self._channel


@contextmanager
def failures(method: str) -> Iterator[None]:
    """gRPC's errors as ours."""
    import grpc

    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _failure(method, error) from error
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:  # the channel was closed meanwhile
        raise Unavailable(f"{method}: {error}") from error


def _failure(method: str, error: grpc.aio.AioRpcError) -> RuntimeFailure:
    import grpc

    code, words = error.code(), error.details() or error.code().name
    if code is grpc.StatusCode.UNAVAILABLE or _NOT_YET in words:
        return Unavailable(words)
    if code is grpc.StatusCode.NOT_FOUND:
        return NotThere(words)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TookTooLong(f"{method.rpartition('/')[2]} took too long")
    return RuntimeFailure(words)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
