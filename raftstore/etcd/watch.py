"""etcdserverpb.Watch: many watches on one stream, without I/O.

`WatchStream` takes the client's requests and gives out the responses to write, one by one; `server.py`
reads and writes. It holds no events itself: they stay in the store's bounded buffers until the client has
room for them, and everything a watch has pending leaves as one response. What must always hold:
- A watch's "created" leaves before its events, events leave in revision order, a revision is never split
  (unless the client asked for fragments), and after "canceled" there is nothing more of that watch.
- A progress answer of revision R leaves only after every event up to R of the watches it speaks for.
- A watch that was too slow for its buffer is begun again where it was cut off, from the store's history: the
  client sees no gap and no end. Only what is compacted meanwhile is lost, and then the client is told.
- When the replica can serve no watch any more the whole stream ends as unavailable: client libraries then
  resume every watch at another replica, which a watch merely canceled would not be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import grpc
import msgspec

from .. import limits
from ..errors import CapacityError, RequestError, SlowWatcher, StoreError, WatchCanceled, WatchCompacted
from . import wire
from .backend import Watcher
from .face import Face
from .gen import rpc_pb2 as pb
from .identity import Identity, KeyRange
from .status import COMPACTED, DUPLICATE_WATCH, PERMISSION_DENIED, Refused, Status, status_of

NO_WATCH = -1  # the id of answers that speak for no watch, or for all
CONTROLS_MAX = 1_024  # answers to requests that wait to be written; beyond it no request is read
WATCHES_MAX = 10_000  # on one stream
FRAGMENT_BYTES = limits.REQUEST_BYTES_MAX


class _Watch(msgspec.Struct, kw_only=True):
    id: int
    key: bytes
    range_end: bytes
    prev_kv: bool
    puts: bool
    deletes: bool
    fragment: bool
    notify: bool  # wants a progress answer when it was silent
    silent: bool = True
    watcher: Watcher | None = None


class WatchStream:
    """The watches of one stream. `wake` is called when `next` may have something to give."""

    def __init__(self, face: Face, identity: Identity, wake: Callable[[], None]) -> None:
        self._face = face
        self._identity = identity
        self._wake = wake
        self._watches: dict[int, _Watch] = {}
        self._next_id = 0
        self._controls: deque[bytes] = deque()
        self._fragments: Iterator[bytes] = iter(())
        self._ready: dict[int, None] = {}  # watch ids in the order they became ready
        self._progress_asked = False

    @property
    def congested(self) -> bool:
        """The client asks faster than it reads; read no further request until this is false."""
        return len(self._controls) >= CONTROLS_MAX

    @property
    def watching(self) -> bool:
        return bool(self._watches) or bool(self._controls)

    # --- requests ---

    def handle(self, message: pb.WatchRequest) -> None:
        """Raises Refused when the stream must end."""
        match message.WhichOneof("request_union"):
            case "create_request":
                self._create(message.create_request)
            case "cancel_request":
                self._cancel(message.cancel_request.watch_id)
            case "progress_request":
                self._progress_asked = True
            case _:
                return  # a request of a kind we do not know: etcd too leaves the stream as it is
        self._wake()

    def _create(self, message: pb.WatchCreateRequest) -> None:
        key = message.key or b"\0"
        range_end = message.range_end
        refusal = self._refusal(message, key, range_end)
        if refusal:
            self._refuse(refusal)
            return
        watch = _Watch(
            id=message.watch_id or self._free_id(),
            key=key,
            range_end=range_end,
            prev_kv=message.prev_kv,
            puts=pb.WatchCreateRequest.NOPUT not in message.filters,
            deletes=pb.WatchCreateRequest.NODELETE not in message.filters,
            fragment=message.fragment,
            notify=message.progress_notify,
        )
        created = wire.watch_created(self._face.header(self._face.backend.revision), watch.id)
        try:
            self._begin(watch, message.start_revision)
        except WatchCompacted as compacted:
            self._controls += (created, self._canceled_compacted(watch.id, compacted))
        except (RequestError, CapacityError) as error:
            self._refuse(status_of(error).text)
        except StoreError as error:
            raise _unavailable(error) from error
        else:
            self._watches[watch.id] = watch
            self._controls.append(created)

    def _refusal(self, message: pb.WatchCreateRequest, key: bytes, range_end: bytes) -> str:
        """Why a watch cannot be: "" when it can."""
        if message.start_revision < 0:
            return COMPACTED.text
        if not self._face.gate.allows(self._identity, "Watch.Watch", KeyRange(key, range_end)):
            return PERMISSION_DENIED.text
        if range_end not in (b"", b"\0") and key >= range_end:
            return "mvcc: watcher range is empty"
        if message.watch_id in self._watches and message.watch_id:
            return DUPLICATE_WATCH
        if len(self._watches) >= WATCHES_MAX:
            return f"etcdserver: a stream takes at most {WATCHES_MAX} watches"
        return ""

    def _refuse(self, reason: str) -> None:
        header = self._face.header(self._face.backend.revision)
        self._controls.append(wire.watch_canceled(header, NO_WATCH, reason=reason, created=True))

    def _free_id(self) -> int:
        """Ids count from 0, around those the client has chosen."""
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _begin(self, watch: _Watch, start_revision: int) -> None:
        watch.watcher = self._face.backend.watch(
            watch.key,
            watch.range_end,
            start_revision=start_revision,
            prev_kv=watch.prev_kv,
            puts=watch.puts,
            deletes=watch.deletes,
            on_ready=lambda: self._now_ready(watch.id),
        )

    def _now_ready(self, watch_id: int) -> None:
        self._ready[watch_id] = None
        self._wake()

    def _cancel(self, watch_id: int) -> None:
        watch = self._watches.get(watch_id)
        if watch is None:
            return
        self._drop(watch)
        self._controls.append(wire.watch_canceled(self._face.header(self._face.backend.revision), watch_id))

    def _drop(self, watch: _Watch) -> None:
        del self._watches[watch.id]
        self._ready.pop(watch.id, None)
        if watch.watcher is not None:
            watch.watcher.cancel()

    # --- responses ---

    def next(self) -> bytes | None:
        """The next response to write; None: nothing until `wake` is called. Raises Refused to end the stream."""
        for fragment in self._fragments:  # the rest of a response is never interrupted
            return fragment
        if self._controls:
            return self._controls.popleft()
        while self._ready:
            watch = self._watches[next(iter(self._ready))]
            response = self._advance(watch)
            if response is not None:
                return response
        return self._progress()

    def _advance(self, watch: _Watch) -> bytes | None:
        """One response of a ready watch; a watch with nothing left is no longer ready."""
        assert watch.watcher is not None  # set by _begin before the watch was known
        try:
            events = watch.watcher.take()
        except SlowWatcher as slow:
            return self._begin_again(watch, slow.resume_revision)
        except WatchCompacted as compacted:
            self._drop(watch)
            return self._canceled_compacted(watch.id, compacted)
        except WatchCanceled as ended:
            raise _unavailable(ended) from ended
        del self._ready[watch.id]
        if not events:
            return None
        self._ready[watch.id] = None  # at the end of the line: a busy watch does not starve the others
        watch.silent = False
        header = self._face.header(events[-1].kv.mod_revision)
        bodies = [wire.event(event) for event in events]
        if not watch.fragment:
            return wire.watch_events(header, watch.id, bodies)
        self._fragments = _fragments(header, watch.id, bodies)
        return next(self._fragments)

    def _begin_again(self, watch: _Watch, revision: int) -> bytes | None:
        if watch.watcher is not None:
            watch.watcher.cancel()
        try:
            self._begin(watch, revision)
        except WatchCompacted as compacted:
            self._drop(watch)
            return self._canceled_compacted(watch.id, compacted)
        except StoreError as error:
            raise _unavailable(error) from error
        return None

    def _canceled_compacted(self, watch_id: int, compacted: WatchCompacted) -> bytes:
        return wire.watch_canceled(
            self._face.header(self._face.backend.revision),
            watch_id,
            reason=COMPACTED.text,
            compact_revision=compacted.compact_revision,
        )

    # --- progress ---

    def _progress(self) -> bytes | None:
        """The answer to a progress request, once no watch of the stream is behind."""
        if not self._progress_asked or not self._watches:
            self._progress_asked = False  # without watches there is nothing to tell; etcd is silent too
            return None
        revision = min(_progress_of(watch) for watch in self._watches.values())
        if not revision:
            return None  # still catching up; the last to do so wakes us
        self._progress_asked = False
        return wire.watch_events(self._face.header(revision), NO_WATCH, ())

    def notify(self) -> None:
        """Once an interval: every watch that asked for it and was silent since is told how far it is."""
        for watch in self._watches.values():
            revision = _progress_of(watch)
            if watch.notify and watch.silent and revision and watch.id not in self._ready and not self.congested:
                self._controls.append(wire.watch_events(self._face.header(revision), watch.id, ()))
            watch.silent = True
        self._wake()

    def close(self) -> None:
        for watch in list(self._watches.values()):
            self._drop(watch)
        self._controls.clear()


def _unavailable(error: StoreError) -> Refused:
    return Refused(Status(grpc.StatusCode.UNAVAILABLE, f"etcdserver: {error.message}"))


def _progress_of(watch: _Watch) -> int:
    return watch.watcher.progress_revision if watch.watcher is not None else 0


def _fragments(header: bytes, watch_id: int, bodies: list[bytes]) -> Iterator[bytes]:
    """Responses of at most FRAGMENT_BYTES, but never without an event; all but the last are marked."""
    first, size = 0, 0
    for index, body in enumerate(bodies):
        if index > first and size + len(body) > FRAGMENT_BYTES:
            yield wire.watch_events(header, watch_id, bodies[first:index], fragment=True)
            first, size = index, 0
        size += len(body)
    yield wire.watch_events(header, watch_id, bodies[first:])
