"""What the store itself says happened, and the judgement of what clients of the API were told against it.

The history comes from the store's own watch, below the API. From it follows what was there at every revision: the
objects of the load for the checkers of the simulator, and for each revision whether what the server keeps beside its
objects (records of nodes, keys of addresses and ports) says the same as the objects do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from queue import Queue
from typing import Any

import msgspec
from api_load import NAMESPACE, ROOT_CA, ApiLoad
from kmini.client import EtcdClient

from apiserver.api.core.pod import Pod
from apiserver.api.core.service import Service
from apiserver.api.pod_requests import requests_of
from apiserver.effects.addresses import ADDRESSES, PORTS, keys_of
from apiserver.effects.bound import BOUND, Bound, counted_node
from apiserver.storage import REGISTRY
from raftstore import Event, EventType, KeyValue, Store, prefix_end
from raftstore.etcd.gen import rpc_pb2 as pb
from raftstore.sim.checkers import Violation, linearizability, registers, watches, writes
from raftstore.sim.history import History, Kind, Outcome
from raftstore.sim.truth import TrueEvent, Truth

MAPS = REGISTRY + f"configmaps/{NAMESPACE}/".encode()
PODS = REGISTRY + b"pods/"
SERVICES = REGISTRY + b"services/"
READ_TIMEOUT_S = 30.0


# --- the store's own word -----------------------------------------------------------------------------------


def events_of_server(etcd: EtcdClient) -> list[Event]:
    """Everything under /registry/ from the first revision to the newest, from a server's etcd face."""
    last = etcd.range(REGISTRY + b"-").header.revision
    stream: Any = etcd._channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=pb.WatchRequest.SerializeToString,
        response_deserializer=pb.WatchResponse.FromString,
    )
    requests: Queue[pb.WatchRequest | None] = Queue()
    create = pb.WatchCreateRequest(key=REGISTRY, range_end=prefix_end(REGISTRY), start_revision=1)
    requests.put(pb.WatchRequest(create_request=create))
    call = stream(iter(requests.get, None), timeout=READ_TIMEOUT_S)
    found: list[Event] = []
    try:
        for response in call:
            assert not response.canceled, response
            found += [_event(each) for each in response.events]
            if response.created:
                requests.put(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
            elif not response.events and response.header.revision >= last:
                return found  # everything before it was told
    finally:
        requests.put(None)
        call.cancel()
    raise AssertionError("the history ended early")


def _event(event: Any) -> Event:
    kv = event.kv
    held = KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
    return Event(EventType.DELETE if event.type else EventType.PUT, held)


async def events_of_store(store: Store) -> list[Event]:
    """The same of a store in this process; on its own loop."""
    await store.linearize()
    last = store.revision
    watch = store.watch(REGISTRY, prefix=True, start_revision=1)
    watch.request_progress()
    found: list[Event] = []
    async with asyncio.timeout(READ_TIMEOUT_S):
        async for batch in watch:
            found += batch.events
            if batch.revision >= last:
                break
    watch.cancel()
    return found


# --- the load's objects -------------------------------------------------------------------------------------


def truth_of(events: Sequence[Event]) -> Truth:
    """What every replica must show of the load's objects. Their values are the tokens, each written by one request."""
    truth = Truth()
    ours = [event for event in events if event.kv.key.startswith(MAPS) and not event.kv.key.endswith(ROOT_CA.encode())]
    truth.events_applied(0, map(_of_token, ours), 0.0)
    return truth


def _of_token(event: Event) -> Event:
    kv = event.kv
    token = json.loads(kv.value)["data"]["token"].encode() if event.type is EventType.PUT else b""
    return Event(event.type, KeyValue(kv.key.removeprefix(MAPS), token, 0, kv.mod_revision, 0))


def point_history(history: History) -> History:
    """Without lists."""
    return _only(history, lambda kind: kind is not Kind.RANGE)


def revision_history(history: History) -> History:
    """Without reads of one object: these tell its version, not the store's."""
    return _only(history, lambda kind: kind is not Kind.GET)


def _only(history: History, wanted: Any) -> History:
    found = History()
    found.operations = [operation for operation in history if wanted(operation.kind)]
    return found


def date_deletions(history: History, truth: Truth) -> None:
    """An answer to a deletion has no version of its own: it is the change that followed the state it was about."""
    following = _following(truth)
    for operation in history:
        if operation.kind is Kind.DELETE and operation.outcome is Outcome.OK:
            followed = following.get((operation.key, operation.expected_revision))
            operation.revision = followed.revision if followed is not None else 0


def _following(truth: Truth) -> dict[tuple[bytes, int], TrueEvent]:
    """Key and version → the change after it."""
    found: dict[tuple[bytes, int], TrueEvent] = {}
    last: dict[bytes, int] = {}
    for revision in sorted(truth.events):
        for event in truth.events[revision]:
            found[event.key, last.get(event.key, 0)] = event
            last[event.key] = revision
    return found


def lost_or_twice(load: ApiLoad, truth: Truth) -> Iterator[Violation]:
    """Writes: acknowledged ones are there at their version, refused ones never happened, none happened twice."""
    yield from _deletions(load.history, truth)
    yield from writes.check(load.history, truth)


def _deletions(history: History, truth: Truth) -> Iterator[Violation]:
    following = _following(truth)
    fates: dict[tuple[bytes, int], list[Outcome]] = {}
    for operation in history:
        if operation.kind is Kind.DELETE:
            fates.setdefault((operation.key, operation.expected_revision), []).append(operation.outcome)
    for place, outcomes in fates.items():
        followed = following.get(place)
        happened = followed is not None and followed.value is None
        if Outcome.OK in outcomes and not happened:
            yield Violation(writes.LOST, f"deletion of {place}: what follows is {followed}")
        if outcomes.count(Outcome.OK) > 1 or (happened and set(outcomes) == {Outcome.FAILED}):
            yield Violation("refused deletes never happen", f"{place}: {outcomes}, and then {followed}")


def stale_or_wrong(load: ApiLoad, truth: Truth) -> Iterator[Violation]:
    """Reads: single objects as registers, by search and with no trust in versions; lists by their revision."""
    yield from registers.check(point_history(load.history))
    yield from linearizability.check(revision_history(load.history), truth)
    for operation in load.history:
        for kv in operation.read if operation.kind is Kind.GET else ():
            true = truth.value_at(kv.key, kv.mod_revision)
            if true is None or not linearizability.same(kv, true):
                yield Violation("read what was never written", f"{operation}: {kv}")


def missed_or_invented(load: ApiLoad, truth: Truth) -> Iterator[Violation]:
    """Watches, over all their resumptions."""
    for log in load.history.watches:
        yield from watches.check(log, truth)
        yield from watches.check_complete(log, truth, up_to=load.end_revision)


def expected_changes(truth: Truth, up_to: int) -> list[tuple[str, str, int]]:
    """What an informer that never had to list again must have told."""
    there: set[bytes] = set()
    found = []
    for event in truth.between(b"\0", b"\0", 1, up_to):
        if event.value is None:
            type_ = "deleted"
            there.discard(event.key)
        else:
            type_ = "updated" if event.key in there else "added"
            there.add(event.key)
        found.append((type_, event.key.decode(), event.revision))
    return found


# --- what is kept beside the objects ------------------------------------------------------------------------


class Replay:
    """All of /registry/, revision after revision."""

    def __init__(self) -> None:
        self.pods: dict[bytes, Pod] = {}
        self.services: dict[bytes, Service] = {}
        self.own: dict[bytes, bytes] = {}

    def states(self, events: Sequence[Event]) -> Iterator[tuple[int, Replay]]:
        """The state after each revision that changed any of it."""
        before = 0
        for event in events:
            revision = event.kv.mod_revision
            if before and revision != before:
                yield before, self
                before = 0
            if self._take(event):
                before = revision
        if before:
            yield before, self

    def _take(self, event: Event) -> bool:
        key, value = event.kv.key, event.kv.value if event.type is EventType.PUT else None
        for prefix, type_, held in ((PODS, Pod, self.pods), (SERVICES, Service, self.services)):
            if key.startswith(prefix):
                _set(held, key, None if value is None else msgspec.json.decode(value, type=type_))
                return True
        if key.startswith((BOUND, ADDRESSES, PORTS)):
            _set(self.own, key, value)
            return True
        return False

    def bound(self) -> dict[str, dict[str, int]]:
        """What the pods that count ask of each node."""
        found: dict[str, dict[str, int]] = {}
        for pod in self.pods.values():
            if node := counted_node(pod):
                total = found.setdefault(node, {})
                for name, number in requests_of(pod).items():
                    total[name] = total.get(name, 0) + number
        return {node: {name: number for name, number in used.items() if number} for node, used in found.items()}

    def records(self) -> dict[str, dict[str, int]]:
        """What the records of nodes say."""
        return {
            key.removeprefix(BOUND).decode(): msgspec.msgpack.decode(value, type=Bound).used
            for key, value in self.own.items()
            if key.startswith(BOUND)
        }

    def held(self) -> list[bytes]:
        """The keys that Services hold, sorted; one that two of them hold is there twice."""
        return sorted(key for service in self.services.values() for key in keys_of(service))

    def taken(self) -> list[bytes]:
        """The keys that are there, sorted."""
        return sorted(key for key in self.own if key.startswith((ADDRESSES, PORTS)))


def _set(held: dict[bytes, Any], key: bytes, value: Any) -> None:
    if value is None:
        held.pop(key, None)
    else:
        held[key] = value
