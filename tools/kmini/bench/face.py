"""The loads through an etcd v3 gRPC port: the same for etcd's and for ours.

h2load drives what one repeated body can drive; the rest goes through `GrpcConnection`. Clients speak plain
HTTP/2 to both (h2load has no client certificates). Each load checks that the server did the work: the revision
moved by as many puts as were counted, answers carried the value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from . import h2load, protobuf
from .http2 import CallFailed, GrpcConnection
from .side import (
    CLIENTS,
    HOT_KEY,
    PROBE_INTERVAL_S,
    PROBE_KEY,
    RANGE_END,
    RANGE_KEYS,
    RANGE_PREFIX,
    VALUE,
    WATCH_KEY,
    WATCHERS,
    Latency,
    Rate,
    WorkNotDone,
)
from .within import within


class MemberStatus(msgspec.Struct, frozen=True):
    """What Maintenance.Status says of one member."""

    member_id: int
    leader: int
    revision: int


class Shape(msgspec.Struct, frozen=True):
    """How 64 clients share connections. A server may be faster with many connections or with few."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections} x {self.streams}"


SEPARATE = Shape(CLIENTS, 1)
SHARED = Shape(8, CLIENTS // 8)
ALONE = Shape(1, 1)

_RANGE_S_MIN = 1.5  # a range may take 0.2 s on a busy machine, and only whole ones count


async def status(port: int, *, timeout_s: float = 2.0) -> MemberStatus:
    """Raises CallFailed, TimeoutError or OSError when the member does not answer."""
    connection = await GrpcConnection.open(port)
    try:
        answer = await connection.call(protobuf.STATUS, b"", timeout_s=timeout_s)
    finally:
        connection.close()
    return MemberStatus(protobuf.integer(answer, 1, 2), protobuf.integer(answer, 4), protobuf.revision_of(answer))


async def answers(port: int, *, timeout_s: float = 2.0) -> bool:
    """Whether the member answers a linearizable read, which says that it has caught up."""
    try:
        connection = await GrpcConnection.open(port)
    except OSError:
        return False
    try:
        await connection.call(protobuf.RANGE, protobuf.range_request(PROBE_KEY), timeout_s=timeout_s)
    except (CallFailed, TimeoutError):
        return False
    finally:
        connection.close()
    return True


async def put(port: int, key: bytes) -> int:
    """One put of the standard value; its revision."""
    connection = await GrpcConnection.open(port)
    try:
        return protobuf.revision_of(await connection.call(protobuf.PUT, protobuf.put_request(key, VALUE)))
    finally:
        connection.close()


async def put_load(port: int, shape: Shape, duration_s: float) -> h2load.LoadResult:
    """Puts of 1 KiB on one key. Raises WorkNotDone when the revision moved by less than was counted."""
    before = await put(port, HOT_KEY)
    result = await h2load.run(
        port,
        protobuf.PUT,
        protobuf.put_request(HOT_KEY, VALUE),
        connections=shape.connections,
        streams=shape.streams,
        duration_s=duration_s,
    )
    after = await put(port, HOT_KEY)
    if after - before <= result.succeeded:
        raise WorkNotDone(f"{result.succeeded} puts counted, the revision moved by {after - before}")
    return result


async def get_load(port: int, shape: Shape, duration_s: float) -> h2load.LoadResult:
    """Linearizable reads of one key of 1 KiB. Raises WorkNotDone when answers lack the value."""
    await put(port, HOT_KEY)
    result = await h2load.run(
        port,
        protobuf.RANGE,
        protobuf.range_request(HOT_KEY),
        connections=shape.connections,
        streams=shape.streams,
        duration_s=duration_s,
    )
    _check_body(result, shape, len(VALUE))
    return result


def _check_body(result: h2load.LoadResult, shape: Shape, answer_bytes: int) -> None:
    """Raises WorkNotDone when answers are too short. One of each client may have begun before the count did."""
    whole = result.succeeded - shape.connections * shape.streams
    if result.body_bytes < whole * answer_bytes:
        raise WorkNotDone(f"{result.succeeded} answers counted, {result.body_bytes} bytes received")


def rate_of(result: h2load.LoadResult) -> Rate:
    return Rate(rate=result.rate, client_cpu=result.cpu_share)


def latency_of(result: h2load.LoadResult) -> Latency:
    return Latency(samples_s=result.latencies_s, client_cpu=result.cpu_share)


async def fill(port: int, prefix: bytes, count: int, *, timeout_s: float = 300.0) -> Rate:
    """Put `count` distinct keys under `prefix` with 64 in flight on one connection; each is acknowledged."""
    connection = await GrpcConnection.open(port)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    sent = acknowledged = 0

    def send() -> None:
        nonlocal sent
        if sent < count:
            sent += 1
            connection.call_soon(protobuf.PUT, protobuf.put_request(b"%s%08d" % (prefix, sent), VALUE), done)

    def done(answer: bytes | None) -> None:
        nonlocal acknowledged
        if finished.done():
            return
        if answer is None:
            finished.set_exception(CallFailed(f"put {sent} of {count} failed"))
            return
        acknowledged += 1
        if acknowledged == count:
            finished.set_result(None)
        send()

    begin, busy = time.monotonic(), time.process_time()
    try:
        for _ in range(CLIENTS):
            send()
        await within(finished, timeout_s)
    finally:
        connection.close()
    elapsed = time.monotonic() - begin
    return Rate(rate=count / elapsed, client_cpu=(time.process_time() - busy) / elapsed)


async def range_load(port: int, duration_s: float) -> h2load.LoadResult:
    """Read all keys of RANGE_PREFIX again and again. Raises WorkNotDone when answers are too short."""
    result = await h2load.run(
        port,
        protobuf.RANGE,
        protobuf.range_request(RANGE_PREFIX, RANGE_END),
        connections=ALONE.connections,
        streams=ALONE.streams,
        duration_s=max(duration_s, _RANGE_S_MIN),
    )
    _check_body(result, ALONE, RANGE_KEYS * len(VALUE))
    return result


async def watch_latency(port: int, events: int, *, interval_s: float = 0.02, timeout_s: float = 10.0) -> Latency:
    """100 watch streams on one connection, puts on another, one at a time: from its sending to the last event."""
    watching = await GrpcConnection.open(port)
    putting = await GrpcConnection.open(port)
    missing = WATCHERS
    reached = asyncio.Event()

    def on_message(message: bytes) -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            reached.set()

    samples = []
    create, request = protobuf.watch_create_request(WATCH_KEY), protobuf.put_request(WATCH_KEY, VALUE)
    begin, busy = time.monotonic(), time.process_time()
    try:
        for _ in range(WATCHERS):
            watching.stream(protobuf.WATCH, create, on_message)
        await within(reached.wait(), timeout_s)  # each answers that it was created
        for _ in range(events):
            missing = WATCHERS
            reached.clear()
            sent = time.monotonic()
            putting.call_soon(protobuf.PUT, request, lambda answer: None)
            await within(reached.wait(), timeout_s)
            samples.append(time.monotonic() - sent)
            await asyncio.sleep(interval_s)
    finally:
        watching.close()
        putting.close()
    client_cpu = (time.process_time() - busy) / (time.monotonic() - begin)
    return Latency(samples_s=samples, client_cpu=client_cpu)


async def first_put(ports: Sequence[int], *, timeout_s: float = 30.0) -> float:
    """When the first put was acknowledged by any of the ports (monotonic seconds).

    A put goes to every port each 10 ms and none waits for another: a put that a member lost with its leader
    holds nothing up. Ports that do not listen yet are tried again each time.
    """
    acknowledged: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    connections: dict[int, GrpcConnection] = {}
    request = protobuf.put_request(PROBE_KEY, VALUE)

    def done(answer: bytes | None) -> None:
        if answer is not None and not acknowledged.done():
            acknowledged.set_result(time.monotonic())

    async def probe(port: int) -> None:
        while not acknowledged.done():
            connection = connections.get(port)
            if connection is None or connection.closed:
                try:
                    connection = connections[port] = await GrpcConnection.open(port)
                except OSError:
                    connection = None
            if connection is not None:
                connection.call_soon(protobuf.PUT, request, done)
            await asyncio.sleep(PROBE_INTERVAL_S)

    tasks = [asyncio.ensure_future(probe(port)) for port in ports]
    try:
        return await within(acknowledged, timeout_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in connections.values():
            connection.close()
