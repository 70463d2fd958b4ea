"""Virtual clients: each asks one thing at a time, of any replica, and writes down what it was told.

A client waits a little longer than the replica's own timeout and then goes on; what it asked stays
`UNKNOWN`. Keys are of three kinds, so that each checker gets what it can judge: `r/` are registers (put,
get, swap, delete of one key), `m/` are written by transactions over several keys and range deletes, `l/`
hang on leases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from ..command import Command, Compact, GrantLease, RevokeLease
from ..errors import StoreError
from ..model import Compare, Delete, DeleteResult, KeyValue, LeaseResult, Put, Range, RangeResult, Txn, TxnResult
from .history import WRITES, History, Kind, Operation, Outcome
from .port import Port
from .schedule import Schedule
from .swarm import Options

_WEIGHTS = {
    Kind.PUT: 34,
    Kind.GET: 26,
    Kind.SWAP: 12,
    Kind.DELETE: 5,
    Kind.RANGE: 6,
    Kind.LOCAL_GET: 6,
    Kind.MULTI: 6,
}
_RANGE_DELETE_RATE = 0.3
_COMPACT_RATE = 0.02


class World:
    """What all clients of a run share."""

    def __init__(
        self, *, schedule: Schedule, options: Options, history: History, ports: Callable[[], Sequence[Port]]
    ) -> None:
        self.schedule = schedule
        self.options = options
        self.history = history
        self.ports = ports
        self.stopped = False
        self._values = 0

    def unique_value(self) -> bytes:
        """A value that names its write."""
        self._values += 1
        name = b"v%d" % self._values
        return name + b"." * (self.options.value_bytes - len(name))

    def alive(self) -> list[Port]:
        return [port for port in self.ports() if port.alive]


class Caller:
    """Asks one thing of one replica and goes on when it is answered, or has waited long enough."""

    def __init__(self, world: World, client: int, rng: random.Random) -> None:
        self.world = world
        self.client = client
        self.rng = rng
        self.port: Port | None = None

    def choose_port(self, *, stay_rate: float = 0.8) -> Port | None:
        """Mostly the replica of last time; None when nobody is there."""
        alive = self.world.alive()
        if self.port in alive and self.rng.random() < stay_rate:
            return self.port
        self.port = self.rng.choice(alive) if alive else None
        return self.port

    def begin(self, port: Port, kind: Kind, key: bytes, **fields: Any) -> Operation:
        number = len(self.world.history.operations)
        operation = Operation(number, self.client, port.member_id, kind, key, self.world.schedule.now_s, **fields)
        return self.world.history.add(operation)

    def wait_for(
        self, operation: Operation, ask: Callable[[Callable[[Any], None]], None], then: Callable[[], None]
    ) -> None:
        """`ask(done)` puts the question; `then` runs once, after the answer or the client's own timeout."""
        schedule = self.world.schedule
        open_ = [True]

        def answered(answer: Any) -> None:
            if open_:
                open_.clear()
                patience.cancel()
                self._note(operation, answer)
                then()

        def done(answer: Any) -> None:
            schedule.after(self._travel_s(), lambda: answered(answer))

        def impatient() -> None:
            open_.clear()
            schedule.trace(f"client {self.client} gives up on #{operation.number}")
            then()

        patience = schedule.after(self.world.options.request_timeout_s * 1.3 + 0.5, impatient)
        schedule.trace(f"client {self.client} asks {operation.replica} #{operation.number} {operation.kind.value}")
        schedule.after(self._travel_s(), lambda: ask(done))

    def _travel_s(self) -> float:
        """From a client to its replica or back. Never nothing: an operation must take time to be ordered by it."""
        return 0.0001 + 0.0009 * self.rng.random()

    def _note(self, operation: Operation, answer: Any) -> None:
        operation.completed_s = self.world.schedule.now_s
        if isinstance(answer, StoreError):
            failed = answer.definite or operation.kind not in WRITES
            operation.outcome = Outcome.FAILED if failed else Outcome.UNKNOWN
            operation.error = f"{type(answer).__name__}: {answer.message}"
        else:
            operation.outcome = Outcome.OK
            _take_answer(operation, answer)
        told = f"{operation.outcome.value} {operation.revision} {operation.error}"
        self.world.schedule.trace(f"client {self.client} told #{operation.number} {told}")


def _take_answer(operation: Operation, answer: Any) -> None:
    operation.revision = answer.revision
    if isinstance(answer, RangeResult):
        operation.read, operation.count = tuple(answer.kvs), answer.count
    elif isinstance(answer, DeleteResult):
        operation.deleted = answer.deleted
    elif isinstance(answer, LeaseResult):
        operation.ttl_s = answer.ttl
    elif isinstance(answer, TxnResult) and operation.kind is Kind.SWAP:
        operation.succeeded = answer.succeeded
        if not answer.succeeded:
            found = answer.responses[0]
            assert isinstance(found, RangeResult)
            operation.read = tuple(found.kvs)


class Client(Caller):
    """Puts, gets, swaps and the rest, as the weights decide."""

    def __init__(self, world: World, client: int, rng: random.Random) -> None:
        super().__init__(world, client, rng)
        self._known: dict[bytes, tuple[int, bytes | None]] = {}  # by key: mod revision and value last heard of

    def start(self) -> None:
        self._later()

    def _later(self) -> None:
        pause_s = self.world.options.client_pause_s * (0.2 + 1.6 * self.rng.random())
        self.world.schedule.after(pause_s, self._next)

    def _next(self) -> None:
        if self.world.stopped:
            return
        port = self.choose_port()
        if port is None:
            self._later()
            return
        kind = self.rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if self.world.options.compact_requests and self.rng.random() < _COMPACT_RATE:
            kind = Kind.COMPACT
        {
            Kind.PUT: self._put,
            Kind.GET: self._get,
            Kind.SWAP: self._swap,
            Kind.DELETE: self._delete,
            Kind.RANGE: self._range,
            Kind.LOCAL_GET: self._local_get,
            Kind.MULTI: self._multi,
            Kind.COMPACT: self._compact,
        }[kind](port)

    def _register(self) -> bytes:
        return b"r/%d" % self.rng.randrange(self.world.options.keys)

    def _write(self, port: Port, operation: Operation, command: Command, then: Callable[[], None]) -> None:
        timeout_s = self.world.options.request_timeout_s
        self.wait_for(operation, lambda done: port.write(command, timeout_s, done), then)

    # --- one kind each

    def _put(self, port: Port) -> None:
        key, value = self._register(), self.world.unique_value()
        operation = self.begin(port, Kind.PUT, key, values={key: value})

        def then() -> None:
            if operation.outcome is Outcome.OK:
                self._known[key] = (operation.revision, value)
            self._later()

        self._write(port, operation, Put(key, value), then)

    def _get(self, port: Port) -> None:
        key = self._register()
        operation = self.begin(port, Kind.GET, key)
        timeout_s = self.world.options.request_timeout_s
        self.wait_for(operation, lambda done: port.read(Range(key), timeout_s, done), lambda: self._learn(operation))

    def _local_get(self, port: Port) -> None:
        key = self._register()
        operation = self.begin(port, Kind.LOCAL_GET, key)
        self.wait_for(operation, lambda done: port.read_local(Range(key), done), lambda: self._learn(operation))

    def _learn(self, operation: Operation) -> None:
        if operation.outcome is Outcome.OK:
            found: KeyValue | None = operation.read[0] if operation.read else None
            self._known[operation.key] = (found.mod_revision, found.value) if found else (0, None)
        self._later()

    def _swap(self, port: Port) -> None:
        key, value = self._register(), self.world.unique_value()
        revision, before = self._known.get(key, (0, None))
        operation = self.begin(
            port, Kind.SWAP, key, values={key: value}, expected_revision=revision, expected_value=before
        )
        command = Txn((Compare.mod_revision(key) == revision,), (Put(key, value),), (Range(key),))

        def then() -> None:
            if operation.succeeded:
                self._known[key] = (operation.revision, value)
                self._later()
            else:
                self._learn(operation)

        self._write(port, operation, command, then)

    def _delete(self, port: Port) -> None:
        if self.rng.random() < _RANGE_DELETE_RATE:
            operation = self.begin(port, Kind.DELETE, b"m/", range_end=b"m0")
        else:
            operation = self.begin(port, Kind.DELETE, self._register())
        self._write(port, operation, Delete(operation.key, operation.range_end), self._later)

    def _range(self, port: Port) -> None:
        prefix = self.rng.choice((b"r", b"m"))
        operation = self.begin(port, Kind.RANGE, prefix + b"/", range_end=prefix + b"0")
        request, timeout_s = Range(operation.key, operation.range_end), self.world.options.request_timeout_s
        self.wait_for(operation, lambda done: port.read(request, timeout_s, done), self._later)

    def _multi(self, port: Port) -> None:
        keys = sorted({b"m/%d" % self.rng.randrange(4) for _ in range(3)})
        values = {key: self.world.unique_value() for key in keys}
        operation = self.begin(port, Kind.MULTI, keys[0], values=values)
        puts = tuple(Put(key, value) for key, value in values.items())
        self._write(port, operation, Txn(success=puts), self._later)

    def _compact(self, port: Port) -> None:
        newest = max((operation.revision for operation in self.world.history.operations[-50:]), default=0)
        revision = max(1, newest - self.rng.randrange(30))
        operation = self.begin(port, Kind.COMPACT, b"")
        self._write(port, operation, Compact(revision), self._later)


class LeaseClient(Caller):
    """Grants a lease, hangs a key on it, keeps it alive a while, then revokes or abandons it."""

    def __init__(self, world: World, client: int, rng: random.Random) -> None:
        super().__init__(world, client, rng)
        self._lease = 0
        self._ttl_s = 0
        self._keep_alives_left = 0
        self._leases = 0

    def start(self) -> None:
        self._soon(self._grant)

    def _soon(self, step: Callable[[], None], delay_s: float = 0.2) -> None:
        def checked() -> None:
            if not self.world.stopped:
                step()

        self.world.schedule.after(delay_s * (0.5 + self.rng.random()), checked)

    def _ask(self, kind: Kind, command: Command | None, then: Callable[[Operation], None], **fields: Any) -> None:
        """A write, or for no command a keep-alive; asked again from the start when nobody is there."""
        port = self.choose_port()
        if port is None:
            self._soon(self._grant)
            return
        operation = self.begin(port, kind, fields.pop("key", b""), lease=self._lease, **fields)
        timeout_s = self.world.options.request_timeout_s

        def ask(done: Callable[[Any], None]) -> None:
            if command is None:
                port.keep_alive(self._lease, timeout_s, done)
            else:
                port.write(command, timeout_s, done)

        self.wait_for(operation, ask, lambda: then(operation))

    def _grant(self) -> None:
        self._leases += 1
        self._lease = self.client * 1_000_000 + self._leases
        self._ttl_s = self.world.options.lease_ttl_s
        self._keep_alives_left = self.rng.randrange(6)
        self._ask(Kind.GRANT, GrantLease(self._lease, self._ttl_s), self._granted, ttl_s=self._ttl_s)

    def _granted(self, operation: Operation) -> None:
        if operation.outcome is not Outcome.OK:
            self._soon(self._grant)
            return
        self._ttl_s = operation.ttl_s
        key, value = b"l/%d" % self.rng.randrange(3), self.world.unique_value()
        put = Put(key, value, lease=self._lease)
        self._ask(Kind.PUT, put, lambda _: self._soon(self._keep, self._ttl_s / 3), key=key, values={key: value})

    def _keep(self) -> None:
        if self._keep_alives_left == 0:
            if self.rng.random() < 0.3:
                self._ask(Kind.REVOKE, RevokeLease(self._lease), lambda _: self._soon(self._grant))
            else:
                self._soon(self._grant, self.world.options.lease_ttl_s)
            return
        self._keep_alives_left -= 1
        self._ask(Kind.KEEP_ALIVE, None, self._kept, ttl_s=self._ttl_s)

    def _kept(self, operation: Operation) -> None:
        if operation.outcome is Outcome.OK and operation.ttl_s <= 0:
            self._soon(self._grant)
        else:
            self._soon(self._keep, self._ttl_s / 3)
