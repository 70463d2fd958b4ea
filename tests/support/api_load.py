"""Load on the API of three replicas while faults happen, through the SDK: writers, readers, watchers, an informer.

Each keeps what it asked for and what it was told in the history that the simulator's checkers read (api_history.py
judges it), so that the servers can be held to it afterwards. Every value is written by one request only. Clients of
writers go to another replica when theirs fails, as the SDK does; readers stay with one, so that each replica is asked.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from kmini.dev.loops import LoopThread

from apiserver.api.core.config import ConfigMap
from apiserver.api.core.namespace import Namespace
from apiserver.api.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from apiserver.api.kinds import kind_of
from apiserver.api.meta import DeleteOptions, ObjectMeta, Preconditions, TopObject
from apiserver.client import CallOptions, Change, Client, Informer, ListOptions, requests
from apiserver.client.kubeconfig import load
from apiserver.client.responses import decode_event, decode_object
from apiserver.client.transport import TransportError
from raftstore import KeyValue
from raftstore.sim.history import (
    History,
    Kind,
    Operation,
    Outcome,
    WatchBatch,
    WatchedEvent,
    WatchLog,
    WatchProgress,
    WatchSegment,
)

NAMESPACE = "load"
ROOT_CA = "kube-root-ca.crt"  # comes with the namespace, and is none of ours
COUNTER, COUNT = "counter", "count"
REGISTERS = 4
EVERYTHING = (b"\0", b"\0")
REGISTER_RANGE = (b"r", b"s")
LABEL = "set"
OPTIONS = CallOptions(timeout_s=8.0, try_timeout_s=3.0)
PINNED = CallOptions(timeout_s=4.0, try_timeout_s=4.0)
PACE_S = 0.005
SILENCE_S = 2.0  # a watch that tells nothing for so long is taken up elsewhere
WATCH_S = (1, 3)  # bounds of a watch's own time, so that many are resumed without any fault
END_TIMEOUT_S = 90.0
UNIQUE_KEPT = 20
#: What may come while replicas die; anything else is a defect.
EXPECTED = (AlreadyExists, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests)


class CountingInformer(Informer[ConfigMap]):
    """Knows how often it had to list: a watch that goes on by itself needs that once."""

    lists = 0

    async def _list(self) -> None:
        self.lists += 1
        await super()._list()


class ApiLoad:
    """`with load.running():` faults go in the body; after it the load has ended and all watchers have seen its end."""

    def __init__(self, kubeconfig: Path, urls: Sequence[str], *, seed: int = 1) -> None:
        self.urls = list(urls)
        self.history = History()
        self.counted = 0  # acknowledged increments
        self.errors: list[str] = []
        self.answers: Counter[str] = Counter()
        self.changes: list[tuple[str, str, int]] = []  # the informer's: type, name, resource version
        self.cached: dict[str, int] = {}  # what its cache held at the end
        self.lists = 0
        self.end_revision = 0
        self.stopping = False
        self._begin_revision = 0
        self._informed = asyncio.Event()
        self._access = load(kubeconfig)
        self._seed = seed
        self._tokens = itertools.count(1)
        self._stack = AsyncExitStack()
        self._jobs: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []
        self._more: list[Callable[[ApiLoad], Sequence[Awaitable[None]]]] = []

    def also(self, jobs: Callable[[ApiLoad], Sequence[Awaitable[None]]]) -> None:
        """Further workers; each ends soon after `stopping`."""
        self._more.append(jobs)

    @property
    def progress(self) -> int:
        """Writes that were acknowledged."""
        return self.answers["acknowledged"]

    @contextmanager
    def running(self) -> Iterator[ApiLoad]:
        thread = LoopThread("load")
        try:
            thread.call(self._begin(), timeout_s=END_TIMEOUT_S)
            try:
                yield self
            finally:
                thread.call(self._end(), timeout_s=END_TIMEOUT_S)
        finally:
            thread.close()

    async def _begin(self) -> None:
        made = await self.client(0).create(Namespace(metadata=ObjectMeta(name=NAMESPACE)))
        self._begin_revision = int(made.metadata.resource_version)
        watching = [self._watch(number) for number in range(len(self.urls))] + [self._inform()]
        self._watching = [asyncio.ensure_future(self._guarded(job)) for job in watching]
        await asyncio.wait_for(self._informed.wait(), END_TIMEOUT_S / 2)  # a list tells what is there in no order
        jobs: list[Awaitable[None]] = [self._registers(number) for number in range(3)]
        jobs += [self._count(number) for number in range(3)]
        jobs += [self._unique(number) for number in range(2)]
        jobs += [self._read(number) for number in range(len(self.urls))]
        for more in self._more:
            jobs += more(self)
        self._jobs = [asyncio.ensure_future(self._guarded(job)) for job in jobs]

    async def _end(self) -> None:
        self.stopping = True
        await asyncio.gather(*self._jobs)
        random, client = Random(0), self.client(0)
        made = None
        while made is None:  # an attempt whose fate is unknown takes another name
            made = await self._create(client, f"z{next(self._tokens)}", "end", random)
        self.end_revision = int(made.metadata.resource_version)
        await asyncio.wait_for(asyncio.gather(*self._watching), END_TIMEOUT_S / 2)
        await self._stack.aclose()

    async def _guarded(self, job: Awaitable[None]) -> None:
        try:
            await job
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    # --- asking -------------------------------------------------------------------------------------------

    def client(self, first: int) -> Client:
        """Of all replicas, one of them preferred. It is closed at the end."""
        return self._client(self.urls[first % len(self.urls) :] + self.urls[: first % len(self.urls)], OPTIONS)

    def pinned(self, replica: int) -> Client:
        """Of one replica only."""
        return self._client([self.urls[replica]], PINNED)

    def _client(self, urls: Sequence[str], options: CallOptions) -> Client:
        access = msgspec.structs.replace(self._access, servers=tuple(urls), namespace=NAMESPACE)
        made = Client(access, options=options, learn=False)
        self._stack.push_async_callback(made.close)
        return made

    def random(self, *of: object) -> Random:
        return Random(f"{self._seed} {of}")

    def token(self) -> str:
        return f"t{next(self._tokens)}"

    async def judged(self, work: Awaitable[Any], *allowed: type[ApiError]) -> tuple[Outcome, Any]:
        """What came of a request: its outcome, and the answer or the error."""
        try:
            answer = await work
        except ApiError as error:
            self.answers[type(error).__name__ + ("" if error.definite else ", indefinite")] += 1
            if not isinstance(error, (*EXPECTED, *allowed)):
                self.errors.append(f"{type(error).__name__}: {error.message}")
            return (Outcome.FAILED if error.definite else Outcome.UNKNOWN), error
        return Outcome.OK, answer

    async def _ask(self, work: Awaitable[Any], kind: Kind, key: str, **fields: Any) -> tuple[Operation, Any]:
        """Keep the request in the history. The answer is None unless it was acknowledged."""
        operation = self.history.add(
            Operation(len(self.history.operations), 0, 0, kind, key.encode(), time.monotonic(), **fields)
        )
        outcome, answer = await self.judged(work)
        if outcome is Outcome.UNKNOWN and kind in (Kind.GET, Kind.RANGE):
            outcome = Outcome.FAILED  # a read that was not answered says nothing
        if outcome is not Outcome.UNKNOWN:
            operation.completed_s = time.monotonic()
        operation.outcome = outcome
        if outcome is Outcome.OK:
            self.answers["read" if kind in (Kind.GET, Kind.RANGE) else "acknowledged"] += 1
            if isinstance(answer, TopObject):
                operation.revision = int(answer.metadata.resource_version)
            return operation, answer
        operation.error = str(answer)
        if kind is Kind.GET and isinstance(answer, NotFound):
            operation.outcome = Outcome.OK  # it says that nothing is there
        return operation, None

    # --- single objects -----------------------------------------------------------------------------------

    def _object(self, name: str, label: str, **data: str) -> tuple[ConfigMap, dict[bytes, bytes]]:
        token = self.token()
        obj = ConfigMap(metadata=ObjectMeta(name=name, labels={LABEL: label}), data={"token": token, **data})
        return obj, {name.encode(): token.encode()}

    async def _create(self, client: Client, name: str, label: str, _random: Random, **data: str) -> ConfigMap | None:
        obj, values = self._object(name, label, **data)
        operation, made = await self._ask(client.create(obj), Kind.SWAP, name, values=values)
        operation.succeeded = made is not None
        return made  # type: ignore[no-any-return]

    async def _update(self, client: Client, old: ConfigMap, **data: str) -> ConfigMap | None:
        """Only if nobody changed it since."""
        name, token = old.metadata.name, self.token()
        obj = msgspec.structs.replace(old, data={**old.data, "token": token, **data})
        operation, made = await self._ask(
            client.update(obj),
            Kind.SWAP,
            name,
            values={name.encode(): token.encode()},
            expected_revision=int(old.metadata.resource_version),
            expected_value=old.data["token"].encode(),
        )
        operation.succeeded = made is not None
        return made  # type: ignore[no-any-return]

    async def _patch(self, client: Client, name: str) -> ConfigMap | None:
        token = self.token()
        values = {name.encode(): token.encode()}
        _, made = await self._ask(
            client.patch(ConfigMap, name, {"data": {"token": token}}), Kind.PUT, name, values=values
        )
        return made  # type: ignore[no-any-return]

    async def _delete(self, client: Client, old: ConfigMap) -> bool:
        """The very state that was seen; `expected_revision` tells the judge which one."""
        version = old.metadata.resource_version
        options = DeleteOptions(preconditions=Preconditions(resource_version=version))
        operation, _ = await self._ask(
            client.delete(ConfigMap, old.metadata.name, options=options),
            Kind.DELETE,
            old.metadata.name,
            expected_revision=int(version),
        )
        operation.deleted = int(operation.outcome is Outcome.OK)
        return operation.outcome is Outcome.OK

    async def _get(self, client: Client, name: str) -> ConfigMap | None:
        operation, found = await self._ask(client.get(ConfigMap, name), Kind.GET, name)
        if found is not None:
            operation.read = (_key_value(found),)
        return found  # type: ignore[no-any-return]

    async def _list(self, client: Client, random: Random) -> None:
        """By a label, whole, or page by page; all of it shows one revision."""
        way = random.choice(("label", "whole", "pages"))
        key, range_end = REGISTER_RANGE if way == "label" else EVERYTHING
        options = ListOptions(labels={LABEL: "registers"} if way == "label" else "", limit=7 if way == "pages" else 0)
        operation, found = await self._ask(_pages(client, options), Kind.RANGE, key.decode(), range_end=range_end)
        if found is not None:
            items, operation.revision = found
            operation.read = tuple(_key_value(item) for item in items if item.metadata.name != ROOT_CA)
            operation.count = len(operation.read)

    # --- workers ------------------------------------------------------------------------------------------

    async def _registers(self, number: int) -> None:
        """A few objects that all writers fight over."""
        random, client = self.random("registers", number), self.client(number)
        while not self.stopping:
            name = f"r{random.randrange(REGISTERS)}"
            found = await self._get(client, name)
            act = random.random()
            if found is None:
                await self._create(client, name, "registers", random)
            elif act < 0.5:
                await self._update(client, found)
            elif act < 0.8:
                await self._patch(client, name)
            else:
                await self._delete(client, found)
            await asyncio.sleep(PACE_S)

    async def _count(self, number: int) -> None:
        """One counter, raised by several clients: no increment is lost, and none is made twice."""
        random, client = self.random("count", number), self.client(number + 1)
        while not self.stopping:
            found = await self._get(client, COUNTER)
            if found is None:
                await self._create(client, COUNTER, "counter", random, **{COUNT: "0"})
            elif await self._update(client, found, **{COUNT: str(int(found.data[COUNT]) + 1)}) is not None:
                self.counted += 1
            await asyncio.sleep(PACE_S)

    async def _unique(self, number: int) -> None:
        """Objects of which each is made once; all but the newest are deleted again."""
        random, client = self.random("unique", number), self.client(number + 2)
        kept: list[ConfigMap] = []
        for count in itertools.count():
            if self.stopping:
                return
            made = await self._create(client, f"u{number}-{count:05}", "unique", random)
            kept += [made] if made is not None else []
            if len(kept) > UNIQUE_KEPT:
                await self._delete(client, kept.pop(0))
            await asyncio.sleep(PACE_S)

    async def _read(self, replica: int) -> None:
        random, client = self.random("read", replica), self.pinned(replica)
        while not self.stopping:
            if random.random() < 0.3:
                await self._list(client, random)
            else:
                await self._get(client, random.choice((COUNTER, f"r{random.randrange(REGISTERS)}")))
            await asyncio.sleep(PACE_S)

    # --- watchers -----------------------------------------------------------------------------------------

    async def _watch(self, number: int) -> None:
        """The server's own words, without the SDK's help: resumed on the next replica after the last version heard."""
        random = self.random("watch", number)
        log = WatchLog(number, *EVERYTHING)
        self.history.watches.append(log)
        clients = [self.pinned(replica) for replica in range(len(self.urls))]
        heard = self._begin_revision
        for turn in itertools.count(number):
            replica = turn % len(clients)
            segment = WatchSegment(replica, heard + 1)
            log.segments.append(segment)
            try:
                await self._follow(clients[replica], segment, random.randint(*WATCH_S))
            except (Timeout, ServiceUnavailable, TransportError):
                self.answers["watch broken"] += 1
            heard = max(heard, _heard(segment))
            if 0 < self.end_revision <= heard:
                return
            await asyncio.sleep(PACE_S)

    async def _follow(self, client: Client, segment: WatchSegment, seconds: int) -> None:
        options = ListOptions(resource_version=str(segment.start_revision - 1))
        request = requests.watch(requests.path_of(kind_of(ConfigMap), NAMESPACE), options, timeout_s=seconds)
        async with (
            client.caller.open_stream(request, idle_s=SILENCE_S) as (_, stream),
            aclosing(stream.lines()) as lines,
        ):
            async for line in lines:
                event = decode_event(line)
                obj = decode_object(event.object, ConfigMap)
                revision, now_s = int(obj.metadata.resource_version), time.monotonic()
                if event.type == "BOOKMARK":
                    segment.received.append(WatchProgress(now_s, revision))
                else:
                    value = None if event.type == "DELETED" else obj.data["token"].encode()
                    watched = WatchedEvent(revision, obj.metadata.name.encode(), value, 0)
                    segment.received.append(WatchBatch(now_s, (watched,)))
                if 0 < self.end_revision <= revision:
                    return

    async def _inform(self) -> None:
        """The SDK's own way: one informer of all replicas."""
        over = asyncio.Event()

        def told(change: Change[ConfigMap]) -> None:
            meta = change.object.metadata
            if meta.name != ROOT_CA:
                self.changes.append((change.type, meta.name, int(meta.resource_version)))
            over.set()

        async with CountingInformer(self.client(1), ConfigMap, namespace=NAMESPACE) as informer:
            informer.add_handler(told)
            await informer.wait_for_sync()
            self._informed.set()
            while not 0 < self.end_revision <= int(informer.resource_version or 0):
                over.clear()
                await asyncio.wait({asyncio.ensure_future(over.wait())}, timeout=0.2)
            self.cached = {
                obj.metadata.name: int(obj.metadata.resource_version)
                for obj in informer.cache
                if obj.metadata.name != ROOT_CA
            }
            self.lists = informer.lists


def _key_value(obj: ConfigMap) -> KeyValue:
    return KeyValue(obj.metadata.name.encode(), obj.data["token"].encode(), 0, int(obj.metadata.resource_version), 0)


def _heard(segment: WatchSegment) -> int:
    if not segment.received:
        return 0
    last = segment.received[-1]
    return last.revision if isinstance(last, WatchProgress) else last.events[-1].revision


async def _pages(client: Client, options: ListOptions) -> tuple[list[ConfigMap], int]:
    found: list[ConfigMap] = []
    while True:
        page = await client.list_page(ConfigMap, namespace=NAMESPACE, options=options)
        found += page.items
        if not page.metadata.continue_:
            return found, int(page.metadata.resource_version)
        options = msgspec.structs.replace(options, continue_=page.metadata.continue_)
