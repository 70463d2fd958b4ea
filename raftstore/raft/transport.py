"""The peer transport: one mTLS link to every other member, kept up as long as there are members.

Either side may dial; of several connections the member with the lower id picks the link (the newest, but
for the twin of one that just came up), and both sides change over at its `link.open`. So a link is reported
`connected` once on each side, and nothing of an older connection is delivered after it. The lower id dials
again at once when a link is lost, the higher one a little later, in case the lower one's idea of its address
is old. See `hello` for who is let in, `connection` for bounds, `asking` for replicas that are no members.

The listener is called on the loop, never from within a call into the transport.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import secrets
from collections.abc import Callable, Iterable, Sequence

from ..identity import PeerIdentity
from ..limits import FRAME_BYTES_MAX, HANDSHAKES_MAX, PEER_BUFFER_BYTES_HIGH, PEER_BUFFER_BYTES_LOW
from .asking import Answer, Answerer, Desk, ask
from .connection import Connection, LinkMetrics
from .credentials import Credentials, Refusal, identity_of, load_contexts
from .dialling import Dialler, LinkTiming
from .engine import Member, Message, WireListener
from .frames import FrameTooLarge, encode
from .hello import Hello, check_peer, number_in, read_hello
from .sockets import Door, Refusals, dial

_log = logging.getLogger("raftstore.transport")

_PING = encode({"type": "link.ping"})


class _Link(Connection):
    """A connection on its way to being a peer's link, or being it."""

    dialled = 0  # the member we called; 0: it called us
    hello: Hello | None = None
    peer: _Peer | None = None  # set when it becomes the link
    number = 0
    since = 0.0
    twin = False  # turned away because the link had just come up through another connection


class _Peer:
    """Another member: its link, and our attempts at one."""

    def __init__(self, member: Member, dialler: Callable[[_Peer], Dialler]) -> None:
        self.id = member.id
        self.member = member
        self.link: _Link | None = None
        self.reported = False  # the listener believes it connected
        self.dialler = dialler(self)


class PeerTransport:
    """Implements `Wire` (raft/engine.py)."""

    def __init__(
        self,
        identity: PeerIdentity,
        name: str,
        *,
        bind: tuple[str, int],
        credentials: Credentials,
        kinds: Iterable[str],
        report: Callable[[BaseException], None],
        answerer: Answerer | None = None,
        refused_by_member: Callable[[int, str], None] | None = None,
        timing: LinkTiming | None = None,
        buffer_high: int = PEER_BUFFER_BYTES_HIGH,
        buffer_low: int = PEER_BUFFER_BYTES_LOW,
    ) -> None:
        """`report` takes errors raised by the listener or the answerer; the replica must then stop.

        `refused_by_member(member id, reason)` hears when a member of our cluster turns us away:
        "not_a_member" may mean that we were removed (ask the leader with `join.check`).
        Raises OSError for credentials that do not load.
        """
        self.metrics = LinkMetrics()
        self._own = identity
        self._bind = bind
        self._report = report
        self._refused_by_member = refused_by_member
        self._timing = timing or LinkTiming()
        self._high, self._low = buffer_high, buffer_low
        self._contexts = load_contexts(credentials)
        self._generation, self._generation_since = 1, 0.0
        self._hello = Hello(identity, name, secrets.randbits(62), self._generation, frozenset(kinds))
        self._refusals = Refusals(self.metrics)
        self._desk = Desk(answerer, self.metrics, report) if answerer else None
        self._peers: dict[int, _Peer] = {}
        self._connections: set[_Link] = set()
        self._callers: set[_Link] = set()  # inbound connections that are no link yet
        self._last_number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: WireListener | None = None
        self._door: Door | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._stopped = False

    # --- Wire ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        assert self._door is not None, "start() first"
        return self._door.port

    def start(self, listener: WireListener) -> None:
        """Open the peer port and call every member. On the running loop; raises OSError when the port is taken."""
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._door = Door(
            *self._bind,
            make=self._new_link,
            contexts=lambda: self._contexts,
            metrics=self.metrics,
            handshake_s=self._timing.greeting_s,
            dead_s=self._timing.dead_s,
        )
        self._last_tick = self._loop.time()
        self._plan_tick()
        for peer in self._peers.values():
            peer.dialler.call_after(0.0)

    def set_members(self, members: Sequence[Member]) -> None:
        wanted = {member.id: member for member in members if member.id != self._own.member_id}
        for peer_id in [peer_id for peer_id in self._peers if peer_id not in wanted]:
            self._forget(self._peers.pop(peer_id))
        for member in wanted.values():
            peer = self._peers.get(member.id)
            if peer is not None and peer.member.address == member.address:
                peer.member = member
                continue
            if peer is None:
                peer = self._peers[member.id] = _Peer(member, self._new_dialler)
            peer.member = member
            peer.dialler.forgive()
            if self._listener is not None:
                peer.dialler.call_after(0.0)

    def send(self, peer: int, message: Message) -> bool:
        entry = self._peers.get(peer)
        link = entry.link if entry is not None else None
        if link is None:
            self.metrics.sends_refused += 1
            return False
        try:
            frame = encode(message)
        except FrameTooLarge as error:
            self.metrics.refused["own_frame_oversized"] += 1
            _log.error("message too large for a frame", extra={"why": str(error)})
            return False
        if link.send(frame):
            return True
        self.metrics.sends_refused += 1
        return False

    def stop(self) -> None:
        """Hang up on everybody; the listener hears nothing more. `wait_closed` awaits the end."""
        if self._stopped:
            return
        self._stopped = True
        self._listener = None
        if self._door is not None:
            self._door.close()
        if self._desk is not None:
            self._desk.close()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        for peer in self._peers.values():
            peer.dialler.stop()
        for connection in list(self._connections):
            connection.drop("stopped")

    # --- beyond Wire --------------------------------------------------------------------------------

    async def wait_closed(self) -> None:
        """After `stop`: every socket and task of ours is gone."""
        if self._door is not None:
            await self._door.wait_closed()
        if self._desk is not None:
            await self._desk.wait_closed()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(connection.closed for connection in list(self._connections)))

    def set_credentials(self, credentials: Credentials) -> None:
        """Use these from now on, and renew every link under them without a gap.

        Links made with the former ones are dropped after `retire_s`. Raises OSError when a file is missing
        or bad; then the former ones stay. Reads files: a few milliseconds.
        """
        self._contexts = load_contexts(credentials)
        self._generation += 1
        self._hello = self._hello._replace(generation=self._generation)
        if self._listener is None:
            return
        self._generation_since = self._loop.time()
        for peer in self._peers.values():
            peer.dialler.forgive()
            peer.dialler.call_after(random.uniform(0.0, self._timing.settled_s))

    async def ask(self, address: str, message: Message, *, timeout_s: float = 5.0) -> Answer:
        """Ask any replica of this cluster a `found.*` or `join.*` question. Raises as `asking.ask`."""
        return await ask(
            address,
            message,
            self._contexts,
            cluster_id=self._own.cluster_id,
            timeout_s=timeout_s,
            metrics=self.metrics,
        )

    def connected(self) -> frozenset[int]:
        return frozenset(peer.id for peer in self._peers.values() if peer.reported and peer.link is not None)

    def waiting_bytes(self, peer: int) -> int:
        """Bytes queued for a peer and not handed to TLS yet."""
        entry = self._peers.get(peer)
        return entry.link.waiting_bytes if entry is not None and entry.link is not None else 0

    # --- dialling -----------------------------------------------------------------------------------

    def _new_link(self, dialled: int = 0) -> _Link:
        link = _Link(self, self.metrics, generation=self._generation, high=self._high, low=self._low)
        link.dialled = dialled
        return link

    def _new_dialler(self, peer: _Peer) -> Dialler:
        async def connect() -> None:
            timing, address = self._timing, peer.member.address
            make = functools.partial(self._new_link, peer.id)
            await dial(address, make, self._contexts, timeout_s=timing.greeting_s, dead_s=timing.dead_s)

        def wanted() -> bool:
            return not self._has_current_link(peer)

        return Dialler(self._timing, self.metrics, connect=connect, wanted=wanted, tasks=self._tasks)

    def _has_current_link(self, peer: _Peer) -> bool:
        link = peer.link
        return link is not None and not link.dropped and link.generation == self._generation

    # --- ConnectionHandler: from TLS to link ----------------------------------------------------------

    def made(self, connection: Connection) -> None:
        assert isinstance(connection, _Link)
        self._connections.add(connection)
        peer = self._peers.get(connection.dialled) if connection.dialled else None
        if self._listener is None or (connection.dialled and peer is None):
            connection.drop("not wanted any more")
            return
        connection.end_after(self._timing.greeting_s, "said no hello in time")
        if peer is not None:
            peer.dialler.greeting = connection
        else:
            self._callers.add(connection)
        try:
            proven = identity_of(connection.certificate)
            connection.identity = proven
            check_peer(proven, self._own, connection.dialled)
            if len(self._callers) > HANDSHAKES_MAX:
                raise Refusal("too_many_handshakes", f"more than {HANDSHAKES_MAX} callers without a hello")
        except Refusal as refusal:
            self._refuse(connection, refusal)
            return
        if connection.dialled:
            connection.send(encode(self._hello.message()))

    def frame(self, connection: Connection, message: Message) -> None:
        assert isinstance(connection, _Link)
        kind: str = message["type"]
        if connection.peer is not None and not kind.startswith("link."):
            if self._listener is not None:
                self._tell(self._listener.received, connection.peer.id, message)
        elif connection.peer is None:
            try:
                self._greet(connection, kind, message)
            except Refusal as refusal:
                self._refuse(connection, refusal)
        elif kind != "link.ping":
            self._refuse(connection, Refusal("bad_greeting", f"{kind!r:.40} on a link that is up"))

    def _greet(self, connection: _Link, kind: str, message: Message) -> None:
        assert connection.identity is not None
        if kind == "link.hello" and connection.hello is None:
            self._heard_hello(connection, read_hello(message, connection.identity))
        elif kind == "link.open" and connection.hello is not None and not self._decides(connection.identity):
            self._heard_open(connection, number_in(message, "number"))
        elif kind == "link.ask" and not connection.dialled and self._desk is not None:
            connection.keep()
            self._desk.serve(connection, connection.identity, message)
        elif kind == "link.refused":
            self._heard_refusal(connection, f"{message.get('reason')!s:.100}")
        else:
            raise Refusal("bad_greeting", f"{kind!r:.40} before the link was open")

    def _heard_hello(self, connection: _Link, hello: Hello) -> None:
        peer = self._peers.get(hello.identity.member_id)
        if hello.identity.cluster_id != self._own.cluster_id or peer is None:
            raise Refusal("not_a_member", f"{hello.identity.uri} ({hello.name!r:.80}) is not in the member list")
        connection.hello = hello
        if not connection.dialled:
            connection.send(encode(self._hello.message()))
        if not self._decides(hello.identity):
            return
        if self._is_twin(peer, connection, hello):
            connection.twin = True
            connection.finish(encode({"type": "link.refused", "reason": "twin"}), "twin of the link")
            return
        self._last_number += 1
        connection.number = self._last_number
        connection.send(encode({"type": "link.open", "number": connection.number}))
        self._adopt(peer, connection)

    def _heard_open(self, connection: _Link, number: int) -> None:
        assert connection.hello is not None
        peer = self._peers.get(connection.hello.identity.member_id)
        if peer is None:
            raise Refusal("not_a_member", "removed from the member list during the greeting")
        link = peer.link
        if (
            link is not None
            and link.hello is not None
            and link.hello.incarnation == connection.hello.incarnation
            and number <= link.number
        ):
            connection.drop("replaced")  # its open was overtaken by a later one
            return
        connection.number = number
        self._adopt(peer, connection)

    def _heard_refusal(self, connection: _Link, reason: str) -> None:
        identity = connection.identity
        connection.twin = reason == "twin"
        connection.drop(f"refused by the peer: {reason}")
        if reason == "twin" or identity is None:
            return
        self.metrics.refused["refused_by_peer"] += 1
        _log.info("a peer refused us", extra={"member": identity.member_id, "reason": reason})
        if self._refused_by_member is not None and identity.cluster_id == self._own.cluster_id:
            self._tell(self._refused_by_member, identity.member_id, reason)

    def _decides(self, other: PeerIdentity) -> bool:
        return self._own.member_id < other.member_id

    def _is_twin(self, peer: _Peer, connection: _Link, hello: Hello) -> bool:
        """Both sides dialled at once: the second connection gains nothing and would cost the first's messages."""
        link = peer.link
        return (
            link is not None
            and not link.dropped
            and link.hello is not None
            and (link.hello.incarnation, link.hello.generation) == (hello.incarnation, hello.generation)
            and link.generation == connection.generation
            and self._loop.time() - link.since < self._timing.settled_s
        )

    def _adopt(self, peer: _Peer, connection: _Link) -> None:
        """This connection is the link now."""
        assert connection.hello is not None
        former = peer.link
        if former is not None:
            self.metrics.links_replaced += 1
            former.drop("replaced")
            self._unlink(peer, former)
        self._end_greeting(connection)
        connection.keep()
        connection.accept_frames_of(FRAME_BYTES_MAX)
        connection.peer = peer
        connection.since = self._loop.time()
        peer.link = connection
        peer.reported = True
        self.metrics.links += 1
        _log.info("peer connected", extra={"member": peer.id, "peer": connection.address})
        if self._listener is not None:
            self._tell(self._listener.connected, peer.id, connection.hello.kinds)

    def _refuse(self, connection: _Link, refusal: Refusal) -> None:
        self._refusals.note(refusal, connection.address)
        connection.finish(encode({"type": "link.refused", "reason": refusal.reason}), str(refusal))

    # --- the end of connections -----------------------------------------------------------------------

    def drained(self, connection: Connection) -> None:
        assert isinstance(connection, _Link)
        peer = connection.peer
        if peer is not None and peer.link is connection and self._listener is not None:
            self._tell(self._listener.drained, peer.id)

    def lost(self, connection: Connection) -> None:
        assert isinstance(connection, _Link)
        self._connections.discard(connection)
        if connection.peer is not None:
            self._unlink(connection.peer, connection)
            return
        self._end_greeting(connection)
        peer = self._peers.get(connection.dialled)
        if peer is None or self._has_current_link(peer):
            return
        if connection.twin:  # no failure; but the credentials were replaced while it was under way
            peer.dialler.call_again()
        else:
            peer.dialler.failed(connection.ending)

    def _end_greeting(self, connection: _Link) -> None:
        """It became the link, or is gone."""
        self._callers.discard(connection)
        peer = self._peers.get(connection.dialled)
        if peer is not None and peer.dialler.greeting is connection:
            peer.dialler.greeting = None

    def _unlink(self, peer: _Peer, link: _Link) -> None:
        """The link is no more: tell the listener, and plan the next. Idempotent."""
        if peer.link is not link:
            return
        peer.link = None
        self.metrics.links_lost += 1
        _log.info("peer disconnected", extra={"member": peer.id, "why": link.ending})
        peer.dialler.link_ended(settled=self._loop.time() - link.since >= self._timing.settled_s)
        if self._own.member_id < peer.id:
            peer.dialler.call_again()
        else:
            peer.dialler.call_after(self._timing.fallback_dial_s * random.uniform(1.0, 1.5))
        if peer.reported:
            peer.reported = False
            if self._listener is not None:
                self._tell(self._listener.disconnected, peer.id)

    def _forget(self, peer: _Peer) -> None:
        peer.dialler.stop()
        link = peer.link
        if link is not None:
            link.finish(encode({"type": "link.refused", "reason": "not_a_member"}), "not a member any more")
            self._loop.call_soon(self._unlink, peer, link)

    # --- time -----------------------------------------------------------------------------------------

    def _plan_tick(self) -> None:
        self._tick_timer = self._loop.call_later(self._timing.keepalive_s, self._tick)

    def _tick(self) -> None:
        """Ping quiet links, drop dead ones and those of retired credentials."""
        timing, now = self._timing, self._loop.time()
        paused = now - self._last_tick > 2 * timing.keepalive_s  # by our own silence we judge nobody
        self._last_tick = now
        self._plan_tick()
        retire = self._generation_since and now - self._generation_since >= timing.retire_s
        for peer in list(self._peers.values()):
            link = peer.link
            if link is None or link.dropped:
                continue
            if paused:
                link.last_received = now
            if now - link.last_received >= timing.dead_s:
                self.metrics.links_dead += 1
                link.drop(f"heard nothing for {timing.dead_s} s")
            elif retire and link.generation != self._generation:
                link.drop("its credentials were replaced")
            elif now - link.last_sent >= timing.keepalive_s:
                link.send(_PING)

    def _tell(self, function: Callable[..., None], *arguments: object) -> None:
        """Call out. Listeners must not raise; one that does is reported, and the connection lives on."""
        try:
            function(*arguments)
        except Exception as error:
            self._report(error)
