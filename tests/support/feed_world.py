"""What a watch is made of, without HTTP: a real store, the feeds of its kinds, and watches that write into memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from store_cluster import StoreCluster, until

from apiserver.api.core.config import ConfigMap
from apiserver.api.errors import ApiError, ServiceUnavailable
from apiserver.api.meta import ObjectMeta
from apiserver.auth import keyring, pki
from apiserver.auth.user import User
from apiserver.encryption import Encryption
from apiserver.feed.feed import Feeds
from apiserver.http import negotiation
from apiserver.http.forms import Look, ResourceView
from apiserver.http.watch import Framing, WatchSession
from apiserver.registry.resource import Resource
from apiserver.registry.table import table
from apiserver.storage import Storage, Transaction, encode, key_of
from apiserver.verbs.call import Call
from apiserver.verbs.reading import Reader
from apiserver.verbs.selection import Selection
from raftstore import Store

USER = User(name="test")
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"


class MemoryWire:
    """A connection's transport in memory. One that is `stalled` keeps what is written as not yet read."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.stalled = False
        self.closing = False
        self._read = 0

    def write(self, data: bytes) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data) - self._read if self.stalled else 0

    def is_closing(self) -> bool:
        return self.closing

    async def drain(self, bytes_max: int) -> None:
        await asyncio.sleep(0)
        while self.get_write_buffer_size() > bytes_max and not self.closing:  # noqa: ASYNC110  # nobody signals it
            await asyncio.sleep(0.001)

    def body(self) -> bytes:
        """Everything written, without HTTP's chunks."""
        rest, body = bytes(self.data), b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            assert int(size, 16), "an empty chunk ends the answer"
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body().splitlines()]


class OpenWatch:
    """A watch that runs as a task."""

    def __init__(self, session: WatchSession, wire: MemoryWire, task: asyncio.Task[None]) -> None:
        self.session = session
        self.wire = wire
        self.task = task

    def told(self) -> list[tuple[str, str, str, int]]:
        """(type, namespace, name, resourceVersion) of each event."""
        return [told_of(event) for event in self.wire.events()]


def told_of(event: Mapping[str, Any]) -> tuple[str, str, str, int]:
    if event["type"] == "ERROR":
        return ("ERROR", "", event["object"]["reason"], event["object"]["code"])
    meta = event["object"]["metadata"]
    return (event["type"], meta.get("namespace", ""), meta.get("name", ""), int(meta["resourceVersion"]))


class FeedWorld:
    """`maps` are ConfigMaps: anything with labels would do."""

    def __init__(self, store: Store, encryption: Encryption) -> None:
        self.store = store
        self.table = table()
        self.storage = Storage(store, encryption)
        self.feeds = Feeds(self.storage)
        self.reader = Reader(self.storage, self.feeds)
        self.maps = self.table.of_key("configmaps")

    # --- writing --------------------------------------------------------------------------------------

    async def put(
        self, name: str, namespace: str = "default", labels: Mapping[str, str] | None = None, kind: str = "configmaps"
    ) -> int:
        return await self.write([(name, namespace, labels or {})], kind=kind)

    async def write(self, objects: list[tuple[str, str, Mapping[str, str]]], *, kind: str = "configmaps") -> int:
        """Several at one revision, which is returned."""
        row = self.table.of_key(kind)
        transaction = Transaction()
        for name, namespace, labels in objects:
            obj = ConfigMap() if kind == "configmaps" else row.type()
            obj.api_version, obj.kind = row.api_version, row.kind
            obj.metadata = ObjectMeta(name=name, namespace=namespace, labels=dict(labels))
            key = key_of(row, namespace, name)
            transaction.put(key, self.storage.sealed(row, key, encode(obj)))
        revision = await self.storage.commit(transaction)
        assert revision is not None
        return revision

    async def delete(self, name: str, namespace: str = "default", kind: str = "configmaps") -> int:
        transaction = Transaction()
        transaction.delete(key_of(self.table.of_key(kind), namespace, name))
        revision = await self.storage.commit(transaction)
        assert revision is not None
        return revision

    # --- watching -------------------------------------------------------------------------------------

    def framing(self, row: Resource, accept: str = JSON) -> Framing:
        accepted = negotiation.negotiate(accept, negotiation.WATCHES)
        stream = accepted.form is negotiation.Form.EVENT_STREAM
        view = ResourceView(row, self.table.stored(row))
        return Framing(Look(view, negotiation.PLAIN if stream else accepted), event_stream=stream)

    def watch(
        self,
        start: int,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        initial: bool = False,
        accept: str = JSON,
        bookmarks: bool = False,
        mark: bool = False,
        stalled: bool = False,
    ) -> OpenWatch:
        """What the dispatcher does for a watch of ConfigMaps that begins after revision `start`."""
        wire = MemoryWire()
        wire.stalled = stalled
        selection = Selection(self.maps, labels, fields)
        session = WatchSession(
            self.storage,
            self.feeds.of(self.maps),
            wire,
            self.framing(self.maps, accept),
            selection,
            namespace,
            bookmarks=bookmarks,
        )
        call = Call(user=USER, resource=self.maps, stored=self.maps, verb="watch", namespace=namespace)
        items = (lambda: self.reader.objects_at(call, selection, start)) if initial else None

        async def run() -> None:
            try:
                await session.run(start, items, mark_initial_end=mark)
            except ApiError as error:
                session.fail(error)

        return OpenWatch(session, wire, asyncio.create_task(run()))

    async def settled(self, *watches: OpenWatch) -> None:
        """Return once each of them has been told everything that is written by now, or is over."""
        feed = self.feeds.of(self.maps)
        for watch in watches:
            await until(lambda watch=watch: watch.task.done() or watch.session.joined)  # type: ignore[misc]
        feed.drain()

    async def end(self, *watches: OpenWatch) -> None:
        for watch in watches:
            watch.session.end()
            await watch.task

    def close(self) -> None:
        self.feeds.close(ServiceUnavailable("over"))
        self.reader.close()


@asynccontextmanager
async def feed_world(folder: Path) -> AsyncIterator[FeedWorld]:
    pki.init_shared(folder / "ring")
    cluster = StoreCluster(folder, 1)
    await cluster.start()
    try:
        store = await cluster.wait_for_leader()
        world = FeedWorld(store, Encryption.with_ring(keyring.load(folder / "ring" / keyring.FILE_NAME)))
        yield world
        world.close()
    finally:
        await cluster.close()
