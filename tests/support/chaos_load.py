"""Load on real servers while faults happen: writers, a counter with readers, and watchers that resume.

Each keeps what it was told, so that a test can hold the servers to it afterwards: nothing acknowledged is
lost, no read is older than what was acknowledged before it was asked, and a watch that is resumed after its
last revision tells every event once and in order.

A write whose outcome nobody told may take effect once, at any time after it was asked for: also over a later one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import grpc
from kmini.client import EtcdClient
from kmini.errors import CommandError
from kmini_process import Server

from raftstore.etcd.gen import rpc_pb2 as pb
from raftstore.model import KeyValue, prefix_end
from raftstore.sim.checkers import Violation, registers
from raftstore.sim.history import History, Kind, Operation, Outcome

PREFIX = b"w/"
COUNTER = b"counter"
CALL_TIMEOUT_S = 5.0


class Load:
    def __init__(self, servers: list[Server], *, writers: int = 3, readers: int = 2, watchers: int = 2) -> None:
        self.servers = servers
        self.acknowledged: dict[bytes, int] = {}  # key → revision
        self.indefinite: set[bytes] = set()
        self.reads = 0
        self.counting = History()  # every call about the counter
        self.watched: list[list[tuple[int, bytes]]] = [[] for _ in range(watchers)]  # (revision, key)
        self.resumed = 0
        self.errors: list[str] = []
        self._numbers = itertools.count()  # of those calls
        self._stop = threading.Event()
        self._watch_until = 0
        jobs: list[Callable[[], None]] = [self._count]
        jobs += [lambda number=number: self._write(number) for number in range(writers)]  # type: ignore[misc]
        jobs += [lambda number=number: self._read(number) for number in range(readers)]  # type: ignore[misc]
        self._threads = [threading.Thread(target=self._guarded, args=(job,)) for job in jobs]
        self._watching = [
            threading.Thread(target=self._guarded, args=(lambda number=number: self._watch(number),))
            for number in range(watchers)
        ]

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Faults go in the body; after it the load has ended and the watchers have seen everything."""
        for thread in (*self._threads, *self._watching):
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)
            self._watch_until = self.newest_revision()
            for thread in self._watching:
                thread.join(60)
        assert not any(thread.is_alive() for thread in (*self._threads, *self._watching))

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _clients(self, first: int) -> Iterator[EtcdClient]:
        """A client of each server in turn, for ever: the next one after an error."""
        for server in itertools.islice(itertools.cycle(self.servers), first, None):
            with EtcdClient(server.etcd_address, server.pki, timeout_s=CALL_TIMEOUT_S) as etcd:
                yield etcd

    def newest_revision(self) -> int:
        for etcd in self._clients(0):
            try:
                return etcd.range(COUNTER).header.revision
            except CommandError:
                continue
        raise AssertionError

    def _write(self, writer: int) -> None:
        clients = self._clients(writer)
        etcd = next(clients)
        for number in itertools.count():
            if self._stop.is_set():
                break
            key = PREFIX + f"{writer}/{number:06}".encode()
            try:
                self.acknowledged[key] = etcd.put(key, b"v" * 100).header.revision
            except CommandError:
                self.indefinite.add(key)
                etcd = next(clients)

    def stale(self) -> list[Violation]:
        """The first read of the counter that no order of the calls explains, if there is one."""
        return list(registers.check_key(self.counting.operations))

    def _asked(self, kind: Kind, client: int, **fields: Any) -> Operation:
        """A call about the counter that begins now; nobody knows what becomes of it until it is answered."""
        return self.counting.add(Operation(next(self._numbers), client, 0, kind, COUNTER, time.monotonic(), **fields))

    def _count(self) -> None:
        clients = self._clients(0)
        etcd = next(clients)
        for number in itertools.count(1):
            if self._stop.is_set():
                break
            value = b"%d" % number
            raising = self._asked(Kind.PUT, 0, values={COUNTER: value})
            try:
                etcd.put(COUNTER, value)
            except CommandError:
                etcd = next(clients)
            else:
                _answered(raising)

    def _read(self, reader: int) -> None:
        clients = self._clients(reader + 1)
        etcd = next(clients)
        while not self._stop.is_set():
            reading = self._asked(Kind.GET, reader + 1)
            try:
                found = etcd.range(COUNTER).kvs
            except CommandError:
                etcd = next(clients)
                continue
            reading.read = tuple(KeyValue(kv.key, kv.value, 0, kv.mod_revision, kv.version) for kv in found)
            _answered(reading)
            self.reads += 1

    def _watch(self, watcher: int) -> None:
        seen = self.watched[watcher]
        for etcd in self._clients(watcher):
            start = seen[-1][0] + 1 if seen else 1
            try:
                self._follow(etcd, start, seen)
            except grpc.RpcError:
                self.resumed += 1
            if self._watch_until and seen and seen[-1][0] >= self._last_written():
                return

    def _last_written(self) -> int:
        return max(self.acknowledged.values())

    def _follow(self, etcd: EtcdClient, start: int, seen: list[tuple[int, bytes]]) -> None:
        stream: Any = etcd._channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )
        requests: Queue[pb.WatchRequest | None] = Queue()
        create = pb.WatchCreateRequest(key=PREFIX, range_end=prefix_end(PREFIX), start_revision=start)
        requests.put(pb.WatchRequest(create_request=create))
        call = stream(iter(requests.get, None), timeout=CALL_TIMEOUT_S)
        try:
            for response in call:
                seen += [(event.kv.mod_revision, event.kv.key) for event in response.events]
                done = self._watch_until and seen and seen[-1][0] >= self._last_written()
                if response.canceled or done:
                    return
        finally:
            requests.put(None)
            call.cancel()


def _answered(operation: Operation) -> None:
    operation.completed_s, operation.outcome = time.monotonic(), Outcome.OK
