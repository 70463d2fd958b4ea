"""pysyncobj 0.3.17 behind seams: its clock, chance, poller, serialiser, journal and transport are ours.

The core decides three things here and nothing else: the term and the vote, who leads, and the commit
index. It never sees what an entry says (its log answers with no-ops, so its apply loop has nothing to
unpickle), keeps no snapshot, opens no socket and starts no thread. Messages pass through
`Core.deliver` and the `send` callback, where the guard stands.

Its election timeouts are set to expire at once: whether a campaign may begin is decided by hiding and
exposing connections (a core that believes to be connected to nobody does not campaign), see election.py.

Module attributes of `pysyncobj.syncobj` are replaced once, at import, because the library has no
parameters for them; `tests/unit/raft/test_core_pin.py` holds the digest of every function relied on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from ..command import KIND_NOOP
from .engine import Message
from .journal import Journal
from .library import Node as CoreNode
from .library import SyncObj, SyncObjConf, syncobj
from .library import Transport as CoreTransportBase

_NOOP = bytes((KIND_NOOP,))
_NEVER = 1 << 62

#: How many entries one slice of the log answers at most: its apply loop only counts, and goes on at the next tick.
_SLICE_MAX = 4096


class _NoPickle:
    """Stands where the core had pickle: nothing here may ever be pickled or unpickled."""

    @staticmethod
    def _refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("pickle is not reachable in kmini")

    dumps = loads = dump = load = to_bytes = _refuse


class _NoPoller:
    """The core polls nothing: ticks come from the runtime."""

    def subscribe(self, *_: Any) -> None: ...
    def unsubscribe(self, *_: Any) -> None: ...
    def poll(self, _timeout: float) -> None: ...


class _NoSerializer:
    """Snapshots are the store's own; the core is told that none is ever being made and none exists."""

    def __init__(self, *_: Any) -> None: ...

    def checkSerializing(self) -> tuple[int, None]:
        return syncobj.SERIALIZER_STATE.NOT_SERIALIZING, None

    def getTransmissionData(self, _node: object) -> None:
        return None

    def setTransmissionData(self, _data: object) -> bool:
        return False

    def cancelTransmisstion(self, _node: object) -> None: ...


class _Seams:
    """What the core takes for the time, and for chance.

    `time` is set to the calling core's own clock before each entry into the library and stands still inside.
    """

    time = 0.0

    @staticmethod
    def random() -> float:
        """Makes min + (max - min) * random() negative: the core's own election deadline is always past."""
        return -1.25


def _core_time() -> float:
    return _Seams.time


syncobj.pickle = _NoPickle
syncobj.createPoller = lambda _kind: _NoPoller()
syncobj.PIPE_NOTIFIER_ENABLED = False
syncobj.Serializer = _NoSerializer
syncobj.createJournal = lambda journal: journal
syncobj.monotonicTime = _core_time
syncobj.random = _Seams
logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)  # "truncating already-applied" is asserted by the guard


class CoreJournal:
    """The journal as the core wants it: a list of (command, index, term) beginning with the base entry."""

    def __init__(self, journal: Journal, commit_index: int) -> None:
        self._journal = journal
        self.commit_index = commit_index

    def __len__(self) -> int:
        return self._journal.last_index - self._journal.base_index + 1

    def __getitem__(self, key: int | slice) -> Any:
        journal = self._journal
        if isinstance(key, int):
            if key == -1:
                return (_NOOP, journal.last_index, journal.last_term)
            index = journal.base_index + key
            return (_NOOP, index, journal.term_at(index))
        first = journal.base_index + (key.start or 0)
        end = journal.last_index + 1
        if key.stop is not None:
            end = min(end, journal.base_index + key.stop)
        end = min(end, first + _SLICE_MAX)
        return [(_NOOP, index, journal.term_at(index)) for index in range(first, end)]

    def add(self, command: bytes, index: int, term: int) -> None:
        self._journal.append(bytes(command), index, term)

    def deleteEntriesFrom(self, offset: int) -> None:
        self._journal.truncate_from(self._journal.base_index + offset)

    def deleteEntriesTo(self, offset: int) -> NoReturn:
        raise AssertionError(f"the core must not compact the log (to offset {offset})")

    def clear(self) -> NoReturn:
        raise AssertionError("the core must not clear the log")

    def setRaftCommitIndex(self, commit_index: int) -> None:
        self.commit_index = commit_index

    def getRaftCommitIndex(self) -> int:
        return self.commit_index

    def setCurrentTerm(self, term: int, voted_for: int | None) -> None:
        self._journal.set_vote(term, voted_for or 0)

    def getCurrentTerm(self) -> int:
        return self._journal.term

    def getVotedForNodeId(self) -> int | None:
        return self._journal.voted_for or None

    def onOneSecondTimer(self) -> None: ...

    def _destroy(self) -> None: ...


class _CoreTransport(CoreTransportBase):  # type: ignore[misc]  # pysyncobj has no types
    """Where the core's messages come out and the guard's go in."""

    def __init__(self, send: Callable[[int, Message], None]) -> None:
        super().__init__(None, None, ())
        self._send = send

    ready = True

    def send(self, node: CoreNode, message: Message) -> bool:
        self._send(node.id, message)
        return True

    def addNode(self, node: CoreNode) -> None: ...
    def dropNode(self, node: CoreNode) -> None: ...
    def destroy(self) -> None: ...


class _PokingSyncObj(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """The library, with its own building of appends cut short: only that it wants to send is of use.

    What it would build is thrown away (progress.py decides from where and how much), and was a fifth of a
    leader's work. A sole voter's constructor already sends, before `poke` is there.
    """

    poke: Callable[[], None] | None = None

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = _Seams.time + self.conf.appendEntriesPeriod
        if self.poke is not None:
            self.poke()


class Core:
    """One incarnation of the library for one fixed set of voters.

    A configuration change that touches the voters is a new `Core` over the same journal: the library keeps
    its members and their progress in private fields, and its own membership code is unsafe (defects J, K).
    """

    def __init__(
        self,
        *,
        member_id: int,
        voters: Iterable[int],
        journal: Journal,
        commit_index: int,
        heartbeat_s: float,
        quorum_timeout_s: float,
        now: Callable[[], float],
        send: Callable[[int, Message], None],
    ) -> None:
        self._now = now
        self._nodes: dict[int, CoreNode] = {}
        self._exposed: set[int] = set()
        self._voters = frozenset(voters)
        self._log = CoreJournal(journal, commit_index)
        self._transport = _CoreTransport(send)
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=False,
            appendEntriesPeriod=heartbeat_s,
            appendEntriesBatchSizeBytes=_NEVER,
            raftMinTimeout=heartbeat_s * 4,
            raftMaxTimeout=heartbeat_s * 8,
            connectionTimeout=heartbeat_s * 8,
            leaderFallbackTimeout=quorum_timeout_s,
            commandsWaitLeader=False,
            journalFile=self._log,
            logCompactionMinEntries=_NEVER,
            logCompactionMinTime=_NEVER,
            useFork=False,
        )
        _Seams.time = now()
        others = [self._node(voter) for voter in sorted(self._voters - {member_id})]
        self._object = _PokingSyncObj(self._node(member_id), others, conf=conf, transport=self._transport)
        self._object.poke = self._poke

    def _poke(self) -> None:
        for peer in sorted(self._exposed):
            self._transport.send(self._node(peer), {"type": "append_entries"})

    @property
    def exposed(self) -> bool:
        """Whether the core believes to be connected to anybody."""
        return bool(self._exposed)

    def _node(self, member_id: int) -> CoreNode:
        node = self._nodes.get(member_id)
        if node is None:
            node = self._nodes[member_id] = CoreNode(member_id)
        return node

    # --- what the core decides ---

    @property
    def is_leader(self) -> bool:
        return bool(self._object._isLeader())

    @property
    def leader(self) -> int:
        node = self._object._getLeader()
        return 0 if node is None else int(node.id)

    @property
    def term(self) -> int:
        return int(self._object.raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        return int(self._object.raftCommitIndex)

    # --- inputs ---

    def tick(self) -> None:
        _Seams.time = self._now()
        self._object.doTick(0.0)

    def deliver(self, peer: int, message: Message) -> None:
        _Seams.time = self._now()
        self._transport._onMessageReceived(self._node(peer), message)

    def append(self, payload: bytes) -> None:
        """Queue an entry; the next tick appends it if this core still leads, and loses it otherwise."""
        self._object._applyCommand(payload, None)

    def expose(self, peer: int) -> None:
        """Let the core believe that it is connected to `peer`. Idempotent."""
        if peer in self._exposed:
            return
        _Seams.time = self._now()
        self._exposed.add(peer)
        if peer in self._voters:
            self._transport._onNodeConnected(self._node(peer))
            self.contact(peer)
        else:
            self._transport._onReadonlyNodeConnected(self._node(peer))

    def hide(self, peer: int) -> None:
        if peer not in self._exposed:
            return
        self._exposed.discard(peer)
        if peer in self._voters:
            self._transport._onNodeDisconnected(self._node(peer))
        else:
            self._transport._onReadonlyNodeDisconnected(self._node(peer))

    def acknowledge(self, peer: int, match: int) -> None:
        """The peer durably holds everything up to `match`."""
        self.deliver(peer, {"type": "next_node_idx", "next_node_idx": match + 1, "reset": False, "success": True})
        self.contact(peer)

    def contact(self, peer: int) -> None:
        """The peer answered."""
        end = self._log[-1][1] + 1
        self.deliver(peer, {"type": "next_node_idx", "next_node_idx": end, "reset": True, "success": False})

    def step_down(self, peer: int, term: int) -> None:
        """Adopt a higher term by a vote request that can never be granted."""
        request = {"type": "request_vote", "term": term, "last_log_term": -1, "last_log_index": -1}
        self.deliver(peer, request)
