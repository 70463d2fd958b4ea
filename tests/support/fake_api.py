"""An in-memory Kubernetes API: the server's own verbs over a store in memory, reached through the client's transport.

    api = FakeApi(seed=7, faults=Faults(latency_s=(0.001, 0.05), lost_answers=0.01))
    client = api.client()

Rules, defaults, messages and effects (fences, addresses, what is bound to nodes) are the real ones. It keeps time by
the running event loop, so on a virtual loop nothing takes time but what the faults say. Faults are off by default and
drawn from the seed. No rights are checked.

What a hook of `on_write` raises is kept and raised by `check`: a client never sees it, and no test may miss it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any, NamedTuple, TypeVar

import msgspec
from fake_api_feed import FakeStream, Feed, FeedFaults, Streams, WatchStream, WatchWish, no_lines
from fake_api_store import Changed, MemoryStore, storage_of
from fake_api_verbs import ADMIN, FakeVerbs, at_once, uid_of
from virtual_time import now_s

from apiserver.api.errors import ApiError, Forbidden, Gone, NotFound, ServiceUnavailable
from apiserver.api.kinds import kind_of
from apiserver.api.meta import ListMeta, TopObject
from apiserver.api.times import now_text
from apiserver.auth.user import User
from apiserver.client import Client
from apiserver.client.requests import Request
from apiserver.client.responses import Response
from apiserver.client.transport import TransportError
from apiserver.effects.effect import CREATE, UPDATE, Write
from apiserver.http.dispatch import check_allowed, verb_of
from apiserver.http.forms import ResourceView
from apiserver.http.paths import Target, in_namespace_of, parse_target, segments_of
from apiserver.registry.resource import Resource
from apiserver.storage import REGISTRY, Stored, Transaction, decode, encode, key_of, range_of
from apiserver.verbs.answer import Answer, ListAnswer, ObjectAnswer
from apiserver.verbs.call import Call, ListOptions
from apiserver.verbs.selection import Selection

T = TypeVar("T", bound=TopObject)

CONTROLLERS = "controllers"
_OBJECTS_MAX = 1_000_000


class Faults(FeedFaults, kw_only=True):
    """What goes wrong. Seconds are ranges, chances are from 0 to 1. Change it at any time."""

    latency_s: tuple[float, float] = (0.0, 0.0)  # before a request takes effect, and again until its answer is there
    lost_answers: float = 0.0  # per write: it happened, and nobody says so
    lost_requests: float = 0.0  # per write: it did not happen, and looks the same
    refused: float = 0.0  # per request: 503, nothing happened
    of: tuple[str, ...] = ()  # names of the clients that meet them; none: all

    def meets(self, client: str) -> bool:
        return not self.of or client in self.of


class Written(NamedTuple):
    """One write that changed something. `by` is the client's name; "" for what a test put there."""

    verb: str  # create, update, delete
    kind: str
    namespace: str
    name: str
    by: str
    at_s: float  # of the loop's clock


Hook = Callable[[str, Any, Any], None]


class FakeApi:
    """See the module. Made within a running loop or before."""

    def __init__(self, *, seed: int = 0, faults: Faults | None = None) -> None:
        self.random = Random(seed)
        self.faults = faults or Faults()
        self.on_write: list[Hook] = []  # (verb, old, new), at once after each write; old or new may be None
        self.denied: set[str] = set()  # ends of paths that nobody may write at, as if admission said no
        self.log: list[Written] = []
        self.requests = 0
        self.failures: list[BaseException] = []
        self.store = MemoryStore(self._changed)
        self._verbs = FakeVerbs(storage_of(self.store), Random(seed + 1))
        self._by = ""
        self._crash_at: dict[str, int] = {}  # client -> writes it may still do
        self._dead: set[str] = set()
        self._crashed: dict[str, asyncio.Event] = {}
        table = self._verbs.table
        self._views = {row: ResourceView(row, table.stored(row)) for row in table.rows}
        self._feeds = {
            REGISTRY + row.key.encode() + b"/": Feed(row, self._views[row]) for row in table.rows if not row.stored_as
        }
        self._streams = Streams(Random(seed + 2), lambda: self.store.revision)
        self._targets: dict[str, Target] = {}
        for obj in self._verbs.first_objects():
            self.put(obj)

    # --- for tests ------------------------------------------------------------------------------------

    def client(self, name: str = "test", *, user: User = ADMIN) -> Client:
        """One whose writes are logged under `name`. Needs a running loop."""
        loop = asyncio.get_running_loop()
        transport = FakeTransport(self, name, user)
        random = Random(self.random.getrandbits(32))
        return Client(servers=("https://fake:1",), transport=transport, learn=False, clock=loop.time, random=random)

    @property
    def writes(self) -> int:
        return len(self.log)

    def objects(self, type_: type[T], namespace: str = "") -> list[T]:
        """All there are now, in the order of their names."""
        resource = self._stored(type_)
        page = self._verbs.storage.page(*range_of(resource, namespace), limit=_OBJECTS_MAX)
        return [decode(resource, stored) for _, stored in page.items]

    def get(self, type_: type[T], name: str, namespace: str = "default") -> T | None:
        resource = self._stored(type_)
        found = self._verbs.storage.peek(resource, namespace if resource.namespaced else "", name)
        return None if found is None else decode(resource, found)

    def put(self, obj: T) -> T:
        """Make it so, whatever the rules say. Defaults are filled in, as are name space, uid and time. Its effects on
        nodes, addresses and fences are those of a usual write."""
        resource = self._stored(type(obj))
        meta = obj.metadata
        if resource.namespaced:
            meta.namespace = meta.namespace or "default"
        old = self.get(type(obj), meta.name, meta.namespace)
        meta.uid = meta.uid or (old.metadata.uid if old else uid_of(self.random))
        meta.creation_timestamp = meta.creation_timestamp or now_text(now_s)
        if resource.strategy.has_generation:
            meta.generation = meta.generation or 1
        obj.api_version, obj.kind = resource.api_version, resource.kind
        resource.strategy.default(obj)
        _begin_status(obj, resource.strategy.initial_status(obj))
        write = Write(
            resource=resource,
            verb=CREATE if old is None else UPDATE,
            namespace=meta.namespace,
            name=meta.name,
            obj=obj,
            old=old,
            transaction=Transaction(),
            user=ADMIN,
        )
        at_once(self._put(write))
        found = self.get(type(obj), meta.name, meta.namespace)
        assert found is not None
        return found

    @contextmanager
    def acting_as(self, client: str) -> Iterator[None]:
        """What is put within is logged under that name."""
        self._by = client
        try:
            yield
        finally:
            self._by = ""

    async def _put(self, write: Write) -> None:
        for effect in self._verbs.effects[write.resource.key]:
            await effect.plan(write)
        assert write.obj is not None
        write.transaction.put(key_of(write.resource, write.namespace, write.name), encode(write.obj))
        done = await self._verbs.storage.commit(write.transaction)
        assert done is not None, "nobody else writes in a step of the loop"

    def remove(self, type_: type[TopObject], name: str, namespace: str = "default") -> None:
        """Make it gone, whatever the rules say. What it held of nodes and addresses is freed."""
        resource = self._stored(type_)
        old = self.get(type_, name, namespace)
        assert old is not None, f"there is no {type_.__name__} {name}"
        place = old.metadata.namespace
        write = Write(
            resource=resource, verb="delete", namespace=place, name=name, obj=None, old=old,
            transaction=Transaction(), user=ADMIN,
        )  # fmt: skip
        write.transaction.delete(key_of(resource, place, name))
        at_once(self._remove(write))

    async def _remove(self, write: Write) -> None:
        for effect in self._verbs.effects[write.resource.key]:
            await effect.plan(write)
        await self._verbs.storage.commit(write.transaction)

    def compact(self) -> None:
        """History is gone: who is behind gets a 410."""
        self.store.compact()
        for feed in self._feeds.values():
            feed.drop()
            feed.wake()

    def break_watches(self) -> None:
        """Every stream there is ends with an error."""
        self._streams.breaks += 1
        for feed in self._feeds.values():
            feed.wake()

    def crash_after(self, writes: int, client: str = CONTROLLERS) -> None:
        """The client of this name does `writes` more writes. With the last one it is dead: no answer
        reaches it any more, and nothing it asks for happens until `revive`."""
        self._crash_at[client] = writes

    def crashed(self, client: str = CONTROLLERS) -> asyncio.Event:
        """Set from the death of the client until it is revived."""
        return self._crashed.setdefault(client, asyncio.Event())

    def kill(self, client: str = CONTROLLERS) -> None:
        self._dead.add(client)
        self._crash_at.pop(client, None)
        self.crashed(client).set()

    def revive(self, client: str = CONTROLLERS) -> None:
        self._dead.discard(client)
        self._crash_at.pop(client, None)
        self.crashed(client).clear()

    def heal(self) -> None:
        """Nothing goes wrong from now on. What was delayed already comes when it was to come."""
        for name, value in msgspec.structs.asdict(Faults()).items():
            setattr(self.faults, name, value)

    def check(self) -> None:
        """Raise the first error that a hook met."""
        if self.failures:
            raise self.failures[0]

    def _stored(self, type_: type[TopObject]) -> Resource:
        kind = kind_of(type_)
        table = self._verbs.table
        return table.stored(table.of_kind(kind.api_version, kind.kind))

    # --- what follows a write -------------------------------------------------------------------------

    def _changed(self, changes: Sequence[Changed]) -> None:
        for changed in changes:
            feed = self._feed_of(changed.key)
            if feed is None:
                continue
            feed.add(changed, _loop_time())
            feed.wake()
            self._note(feed, changed)
        if self._by in self._crash_at:
            self._crash_at[self._by] -= 1
            if self._crash_at[self._by] <= 0:
                self.kill(self._by)

    def _feed_of(self, key: bytes) -> Feed | None:
        """None for what the server keeps for itself."""
        first = key.find(b"/", len(REGISTRY)) + 1
        found = self._feeds.get(key[:first])
        return found or self._feeds.get(key[: key.find(b"/", first) + 1])

    def _note(self, feed: Feed, changed: Changed) -> None:
        change = feed.changes[-1]
        verb = "create" if changed.before is None else "delete" if changed.after is None else "update"
        kind = feed.resource.kind
        self.log.append(Written(verb, kind, change.namespace, change.name, self._by, _loop_time()))
        if not self.on_write:
            return
        old, new = (self._decoded(feed.resource, each) for each in (changed.before, changed.after))
        for hook in self.on_write:
            try:
                hook(verb, old, new)
            except BaseException as error:
                self.failures.append(error)

    @staticmethod
    def _decoded(resource: Resource, found: Any) -> Any:
        return None if found is None else decode(resource, Stored(found.value, found.mod_revision))

    # --- requests -------------------------------------------------------------------------------------

    async def answer(self, request: Request, client: str, user: User) -> Response:
        """One request with all that may go wrong. Raises TransportError."""
        self.requests += 1
        faults, random = self.faults, self.random
        at_risk = faults.meets(client)
        await self._pass(at_risk)
        await self._stop_if_dead(client)
        if at_risk and faults.refused and random.random() < faults.refused:
            return _answer(503, ServiceUnavailable("no leader", retry_after_s=1).status())
        if request.is_write and request.path.endswith(tuple(self.denied)):
            return _answer(403, Forbidden("admission said no").status())
        risky = at_risk and request.is_write
        if risky and faults.lost_requests and random.random() < faults.lost_requests:
            await self._pass(at_risk)
            raise TransportError("the connection was reset", sent=True)
        answer = self.do(request, client, user)
        if risky and faults.lost_answers and random.random() < faults.lost_answers:
            await self._pass(at_risk)
            raise TransportError("the connection was reset", sent=True)
        if at_risk and faults.latency_s[1]:
            await asyncio.sleep(random.uniform(*faults.latency_s))
        await self._stop_if_dead(client)
        return answer

    async def _pass(self, at_risk: bool) -> None:
        await asyncio.sleep(self.random.uniform(*self.faults.latency_s) if at_risk else 0)

    async def _stop_if_dead(self, client: str) -> None:
        if client in self._dead:
            await asyncio.get_running_loop().create_future()  # for ever: who waits here is about to be cancelled

    def do(self, request: Request, client: str = "test", user: User = ADMIN) -> Response:
        """The request in one step of the loop, and with no fault."""
        self._by = client
        try:
            call = self._call(request, user)
            answer: Answer = at_once(self._verbs.verbs.run(call))
            return self._shown(answer)
        except ApiError as error:
            return _answer(error.status_code, error.status())
        finally:
            self._by = ""

    def _call(self, request: Request, user: User) -> Call:
        """Raises ApiError."""
        target = self._target(request.path)
        headers = {name.lower(): value for name, value in request.headers}
        query: dict[str, str] = {}
        for name, value in request.query:
            query.setdefault(name, value)
        verb = verb_of(request.method, target, query)
        content_type = headers.get("content-type", "")
        if verb == "create" and target.resource.conversion is not None and not target.namespace:
            target = in_namespace_of(request.body or b"", content_type, target)
        check_allowed(verb, target)
        return Call(
            user=user,
            resource=target.resource,
            stored=self._verbs.table.stored(target.resource),
            verb=verb,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            query=query,
            body=request.body or b"",
            content_type=content_type,
            fence=headers.get("x-kmini-fence", ""),
            warnings=[],
        )

    def _target(self, path: str) -> Target:
        known = self._targets.get(path)
        if known is None:
            known = parse_target(self._verbs.table, segments_of(path))
            if known is None:
                raise NotFound("the server could not find the requested resource")
            self._targets[path] = known
        return known

    def _shown(self, answer: Answer) -> Response:
        if isinstance(answer, ObjectAnswer):
            return Response(answer.code, {}, self._views[answer.resource].object(answer.stored))
        if isinstance(answer, ListAnswer):
            metadata = ListMeta(
                resource_version=str(answer.revision),
                continue_=answer.following,
                remaining_item_count=answer.remaining,
            )
            return Response(200, {}, self._views[answer.resource].list(answer.items, metadata))
        return _answer(answer.code, answer.value)

    # --- watches --------------------------------------------------------------------------------------

    async def open_watch(self, request: Request, client: str, user: User) -> FakeStream:
        self.requests += 1
        at_risk = self.faults.meets(client)
        await self._pass(at_risk)
        await self._stop_if_dead(client)
        try:
            return self._watch(request, user, at_risk)
        except ApiError as error:
            return FakeStream(error.status_code, no_lines(), msgspec.json.encode(error.status()))

    def _watch(self, request: Request, user: User, at_risk: bool) -> FakeStream:
        """Raises ApiError."""
        call = self._call(request, user)
        options = ListOptions.parse({**call.query, "watch": "1"})
        selection = Selection(call.stored, options.labels, options.fields)
        namespace = call.namespace or (selection.namespace if call.stored.namespaced else "")
        start, initial = self.store.revision, bool(options.initial_events)
        if options.version:
            at_once(self._verbs.reader.applied(options.version))
            start = start if initial else options.version
        else:
            initial = initial or options.initial_events is None
        gone = at_risk and not initial and self.random.random() < self.faults.history_gone
        if gone or (not initial and start < self.store.compact_revision):
            raise Gone(f"too old resource version: {start} ({self.store.compact_revision})")
        items = self._initial(call, selection, start) if initial else None
        timeout_s = float(options.timeout_s or 3600)
        wish = WatchWish(selection, namespace, start, items, bool(options.initial_events), options.bookmarks, timeout_s)
        feed = self._feeds[REGISTRY + call.stored.key.encode() + b"/"]
        faults = self.faults if at_risk else FeedFaults()
        return FakeStream(200, WatchStream(self._streams, feed, wish, faults).lines(), b"")

    def _initial(self, call: Call, selection: Selection, revision: int) -> list[Stored]:
        async def all_of_them() -> list[Stored]:
            return [each async for each in self._verbs.reader.objects_at(call, selection, revision)]

        found: list[Stored] = at_once(all_of_them())
        return found


class FakeTransport:
    """See apiserver/client/transport.py, Transport."""

    def __init__(self, api: FakeApi, name: str, user: User) -> None:
        self._api = api
        self._name = name
        self._user = user

    async def send(self, server: str, request: Request, *, timeout_s: float) -> Response:
        return await self._api.answer(request, self._name, self._user)

    @asynccontextmanager
    async def stream(
        self, server: str, request: Request, *, timeout_s: float, idle_s: float
    ) -> AsyncIterator[FakeStream]:
        stream = await self._api.open_watch(request, self._name, self._user)
        yield stream

    async def close(self) -> None:
        return


def _begin_status(obj: Any, initial: Any | None) -> None:
    """What a status begins with, where the object does not say otherwise."""
    if initial is None:
        return
    nothing = type(obj.status)()
    for name in initial.__struct_fields__:
        if getattr(obj.status, name) == getattr(nothing, name):
            setattr(obj.status, name, getattr(initial, name))


def _loop_time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


def _answer(code: int, value: Any) -> Response:
    return Response(code, {}, msgspec.json.encode(value))
