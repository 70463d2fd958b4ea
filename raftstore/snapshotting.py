"""Snapshots at work: taken on schedule, sent to replicas that need one, installed over this one's state.

What must hold: the journal is trimmed only behind a snapshot that is durable; the state is replaced only by
a snapshot whose whole digest held; while it is replaced nobody reads it and nothing is applied. Files are
touched on the snapshot lane only, one thing at a time.

A replica is sent a snapshot when the engine says that its entries are gone, or when it asks for one because
its own state is quarantined. Chunks are read as the receiver's window allows; a transfer that stalls is
offered again and goes on where it stopped.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .errors import NoSpace, StateDamaged, StoreError, UnavailableError
from .failpoint import failpoint
from .house import House
from .limits import SNAPSHOT_MESSAGES_MAX
from .mvcc.machine import StateMachine
from .raft.engine import Entry, Message
from .runtime import Timer
from .snapshot import Manifest, SnapshotStore
from .snapshot_transfer import CHUNK, OFFER, Reply, SnapshotReceiver, SnapshotSender, installed
from .state_folder import StateFolder

LANE = "snapshot"
STALLED_S = 3.0  # nothing heard of a transfer for so long: offer it again
FULL_WIRE_S = 0.02  # until a chunk is tried again
KEEP_MIN = 2  # the newest, and one in case it turns out bad

log = logging.getLogger(__name__)


class Places(NamedTuple):
    """Where snapshots and state are kept."""

    snapshots: SnapshotStore
    state: StateFolder
    scratch: Path  # for copies when the snapshots' disk is not a real one


class _Transfer:
    __slots__ = ("heard_s", "reading", "sender")

    def __init__(self, sender: SnapshotSender, now_s: float) -> None:
        self.sender = sender
        self.heard_s = now_s
        self.reading = False


class Snapshots:
    """`replaced(machine, manifest)` puts the new state in use; `failed(error)` stops the replica."""

    def __init__(
        self,
        house: House,
        places: Places,
        *,
        hold: Callable[[], None],
        replaced: Callable[[StateMachine, Manifest], None],
        failed: Callable[[StoreError], None],
    ) -> None:
        self._house = house
        self._places = places
        self._hold = hold
        self._replaced = replaced
        self._failed = failed
        self._receiver = SnapshotReceiver(places.snapshots)
        self._receiving = 0  # messages on their way through the lane
        self._transfers: dict[int, _Transfer] = {}
        self._finding: set[int] = set()  # peers for whom a snapshot is being looked for
        self._taking = False
        self._not_before_s = 0.0
        self._installing: tuple[int, Manifest] | None = None
        machine = house.machine
        self._terms: list[tuple[int, int]] = [(machine.applied_index, machine.applied_term)]  # (from index, term)
        self._bytes_since = 0
        self._taken_index = 0
        self._taken_s = house.runtime.now()
        self._timer: Timer | None = None

    @property
    def age_s(self) -> float:
        """Since the last snapshot, or since this replica was opened."""
        return self._house.runtime.now() - self._taken_s

    # --- of our own -----------------------------------------------------------------------------------

    def applied(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._bytes_since += len(entry.payload)
            if entry.term != self._terms[-1][1]:
                self._terms.append((entry.index, entry.term))

    def pulse(self) -> None:
        """Take a snapshot when one is due."""
        house, options = self._house, self._house.options.snapshot
        if house.refusal is not None or self._busy or house.runtime.now() < self._not_before_s:
            return
        limit_bytes = max(options.journal_bytes_min, int(options.state_share * house.machine.used_bytes))
        changed = house.machine.applied_index > self._taken_index
        if changed and (self._bytes_since >= limit_bytes or 0 < options.every_s <= self.age_s):
            self.take(lambda outcome: None)

    @property
    def _busy(self) -> bool:
        return self._taking or self._installing is not None

    def take(self, done: Callable[[Manifest | StoreError], None]) -> None:
        """Take one now, off the loop; `done` gets its manifest once it is durable."""
        house = self._house
        if house.refusal is not None or self._busy:
            refusal = house.refusal or UnavailableError("a snapshot is being taken or installed: ask again")
            house.runtime.call_soon(lambda: done(refusal))
            return
        if house.machine.configuration is None and not house.engine.status().configuration_committed:
            # The state has not seen a configuration yet, and the log's may still be undone (thesis §4.1).
            house.runtime.call_soon(lambda: done(UnavailableError("a membership change is not committed: ask again")))
            return
        failpoint("before_snapshot")
        self._taking = True
        self._bytes_since = 0
        status, machine, runtime = house.engine.status(), house.machine, house.runtime
        own = status.configuration.member(house.member_id)
        work = partial(
            self._places.snapshots.take,
            machine.copy,
            scratch=self._places.scratch,
            member_name=own.name if own is not None else "",
            configuration=status.configuration,
            now_wall_s=runtime.wall(),
        )
        runtime.run_blocking(LANE, work, partial(self._taken, done))

    def _taken(
        self, done: Callable[[Manifest | StoreError], None], manifest: Manifest | None, error: BaseException | None
    ) -> None:
        self._taking = False
        house = self._house
        if manifest is None:
            house.metrics.snapshots_failed += 1
            self._not_before_s = house.runtime.now() + house.options.snapshot.retry_s
            log.error("snapshot not taken", extra={"reason": str(error)})
            done(error if isinstance(error, StoreError) else NoSpace(f"snapshot not taken: {error}"))
        else:
            house.metrics.snapshots += 1
            before, self._taken_index, self._taken_s = self._taken_index, manifest.index, house.runtime.now()
            log.info("snapshot taken", extra={"index": manifest.index, "bytes": manifest.size})
            self._trim(min(manifest.index, before))
            done(manifest)
        self._install_next()

    def _trim(self, held_index: int) -> None:
        """Let the journal drop what the last *two* snapshots hold, but for a tail, and forget older snapshots.

        Two, so that one that goes bad does not leave a gap between the other and the journal.
        """
        house = self._house
        if house.refusal is not None:
            return
        index = held_index - house.options.snapshot.tail_entries
        place = bisect_right(self._terms, index, key=lambda known: known[0]) - 1
        if place >= 0 and index > house.engine.status().first_index:
            failpoint("before_trim")
            try:
                house.engine.trim(index, self._terms[place][1])
            except StoreError as error:
                self._failed(error)
                return
            del self._terms[:place]
        if not self._transfers:
            keep = max(KEEP_MIN, house.options.snapshot.keep)
            house.runtime.run_blocking(LANE, partial(self._places.snapshots.prune, keep), self._pruned)

    def _pruned(self, _: Any, error: BaseException | None) -> None:
        if error is not None:
            log.error("old snapshots not removed", extra={"reason": str(error)})

    # --- to others ------------------------------------------------------------------------------------

    def needed_by(self, peer: int) -> None:
        """The peer cannot go on from our journal. May be called as often as one likes."""
        if peer in self._transfers or peer in self._finding or self._house.refusal is not None:
            return
        self._finding.add(peer)
        index_min = self._house.engine.status().first_index - 1
        store = self._places.snapshots
        self._house.runtime.run_blocking(
            LANE, lambda: store.newest_good(index_min=index_min), partial(self._found, peer)
        )

    def _found(self, peer: int, manifest: Manifest | None, error: BaseException | None) -> None:
        if error is not None:
            self._finding.discard(peer)
            log.error("snapshots cannot be read", extra={"reason": str(error)})
        elif manifest is None:
            self.take(lambda taken: self._offer(peer, taken))
        else:
            self._offer(peer, manifest)

    def _offer(self, peer: int, manifest: Manifest | StoreError) -> None:
        self._finding.discard(peer)
        if isinstance(manifest, StoreError) or self._house.refusal is not None:
            return  # the engine asks again
        transfer = _Transfer(SnapshotSender(manifest), self._house.runtime.now())
        self._transfers[peer] = transfer
        log.info("snapshot offered", extra={"peer": peer, "index": manifest.index, "bytes": manifest.size})
        self._house.engine.send(peer, transfer.sender.offer())
        self._watch_transfers()

    def _answered(self, peer: int, message: Message) -> None:
        transfer = self._transfers.get(peer)
        if transfer is None:
            return
        transfer.heard_s = self._house.runtime.now()
        transfer.sender.received(message)
        if transfer.sender.finished:
            del self._transfers[peer]
            log.info("snapshot sent", extra={"peer": peer, "refusal": transfer.sender.refusal})
        else:
            self._pump(peer, transfer)

    def _pump(self, peer: int, transfer: _Transfer) -> None:
        """Read the next chunk that the receiver's window has room for."""
        due = transfer.sender.due()
        if due is None or transfer.reading or self._transfers.get(peer) is not transfer:
            return
        transfer.reading = True
        offset, length = due
        work = partial(self._places.snapshots.read, transfer.sender.manifest, offset, length)
        self._house.runtime.run_blocking(LANE, work, partial(self._chunk_read, peer, transfer, offset))

    def _chunk_read(
        self, peer: int, transfer: _Transfer, offset: int, data: bytes | None, error: BaseException | None
    ) -> None:
        transfer.reading = False
        if self._transfers.get(peer) is not transfer:
            return
        if not data:
            del self._transfers[peer]
            log.error("snapshot cannot be read on", extra={"peer": peer, "reason": str(error)})
        elif self._house.engine.send(peer, transfer.sender.chunk(offset, data)):
            self._pump(peer, transfer)
        else:
            transfer.sender.unsent(offset)
            runtime = self._house.runtime
            runtime.call_at(runtime.now() + FULL_WIRE_S, lambda: self._pump(peer, transfer))

    def connected(self, peer: int) -> None:
        transfer = self._transfers.get(peer)
        if transfer is not None:
            self._house.engine.send(peer, transfer.sender.offer())

    def _watch_transfers(self) -> None:
        if self._timer is None and self._transfers:
            runtime = self._house.runtime
            self._timer = runtime.call_at(runtime.now() + STALLED_S, self._revive)

    def _revive(self) -> None:
        """Offer again what stalled; what a replica that leads no more began is somebody else's now."""
        self._timer = None
        if not self._house.leading:
            self._transfers.clear()
        now_s = self._house.runtime.now()
        for peer, transfer in self._transfers.items():
            if now_s - transfer.heard_s >= STALLED_S:
                self._house.engine.send(peer, transfer.sender.offer())
        self._watch_transfers()

    # --- from another ---------------------------------------------------------------------------------

    def received(self, peer: int, message: Message) -> None:
        if message["type"] not in (OFFER, CHUNK):
            self._answered(peer, message)
        elif self._receiving < SNAPSHOT_MESSAGES_MAX and not self._house.leading and self._installing is None:
            self._receiving += 1
            have_index = 0 if self._house.quarantined else self._house.machine.applied_index
            work = partial(self._receiver.handle, message, have_index=have_index)
            self._house.runtime.run_blocking(LANE, work, partial(self._handled, peer))

    def _handled(self, peer: int, reply: Reply | None, error: BaseException | None) -> None:
        self._receiving -= 1
        if reply is None:
            log.error("snapshot not received", extra={"peer": peer, "reason": str(error)})
            return
        if reply.message is not None:
            self._house.engine.send(peer, reply.message)
        if reply.snapshot is not None:
            self._installing = (peer, reply.snapshot)
            self._install_next()

    def _install_next(self) -> None:
        """Replace the state, unless a copy of it is being made or it has come further by itself."""
        if self._installing is None or self._taking or self._house.stopped:
            return
        house, (peer, manifest) = self._house, self._installing
        if manifest.index <= house.machine.applied_index and not house.quarantined:
            self._installing = None
            house.engine.send(peer, installed(manifest))
            return
        failpoint("before_install")
        self._hold()
        house.machine.close()
        house.runtime.run_blocking(LANE, partial(self._rebuild, manifest), partial(self._rebuilt, peer, manifest))

    def _rebuild(self, manifest: Manifest) -> StateMachine:
        state = self._places.state
        state.rebuild(self._places.snapshots, manifest)
        return StateMachine.open(state.folder, quota_bytes=self._house.options.quota_bytes)

    def _rebuilt(
        self, peer: int, manifest: Manifest, machine: StateMachine | None, error: BaseException | None
    ) -> None:
        self._installing = None
        if machine is None:
            reason = f"the snapshot at entry {manifest.index} could not be installed: {error}"
            self._failed(StateDamaged(f"{reason}; the state is rebuilt at the next start"))
            return
        if self._house.stopped:
            machine.close()
            return
        house = self._house
        house.metrics.snapshots_installed += 1
        self._terms = [(manifest.index, manifest.term)]
        self._taken_index, self._taken_s, self._bytes_since = manifest.index, house.runtime.now(), 0
        self._replaced(machine, manifest)
        failpoint("after_install")
        log.info("snapshot installed", extra={"index": manifest.index, "revision": manifest.revision})
        house.engine.send(peer, installed(manifest))

    def distrust_state(self) -> None:
        """The state must not be continued by a later start. Durable in a moment, off the loop."""
        self._house.runtime.run_blocking(LANE, self._places.state.distrust, self._distrusted)

    def _distrusted(self, _: Any, error: BaseException | None) -> None:
        if error is not None:
            self._failed(StateDamaged(f"the state's mark could not be removed: {error}: remove the state folder"))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transfers.clear()
        self._house.runtime.run_blocking(LANE, self._receiver.close, lambda _, error: None)
