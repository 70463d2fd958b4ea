"""What the rooms of the engine share: who we are, the log, the core of the moment, and the way out.

`Outbox` is where rule 3 of engine.py is kept: what depends on the disk leaves when the disk has it.
"""

from __future__ import annotations

from collections import Counter, deque

from ..command import COMMAND_TAGS_V1
from ..limits import Timing
from ..runtime import Runtime
from .core import Core
from .engine import Configuration, Message, Wire
from .guard import Guard, LogEnd
from .journal import Journal

_HELD_MAX = 1024


class Outbox:
    """Messages that wait until the journal holds a record durably. One held ack per peer: the latest says all."""

    def __init__(self, wire: Wire, journal: Journal) -> None:
        self._wire = wire
        self._journal = journal
        self._held: deque[tuple[int, int, Message]] = deque()
        self._acks: dict[int, tuple[int, Message]] = {}

    def send(self, peer: int, message: Message) -> bool:
        return self._wire.send(peer, message)

    def hold(self, peer: int, message: Message) -> None:
        """Send once everything written to the journal so far is durable."""
        record = self._journal.written
        if self._journal.durable >= record:
            self._wire.send(peer, message)
        elif message["type"] == "ack":
            self._acks[peer] = (record, message)
        else:
            if len(self._held) >= _HELD_MAX:  # votes of long-gone terms
                self._held.popleft()
            self._held.append((record, peer, message))

    def release(self) -> None:
        """The disk moved on."""
        durable = self._journal.durable
        while self._held and self._held[0][0] <= durable:
            _, peer, message = self._held.popleft()
            self._wire.send(peer, message)
        for peer in [peer for peer, (record, _) in self._acks.items() if record <= durable]:
            self._wire.send(peer, self._acks.pop(peer)[1])

    def forget(self, peer: int) -> None:
        """The connection is gone, and with it whoever waited."""
        self._acks.pop(peer, None)
        self._held = deque(item for item in self._held if item[1] != peer)


class Context:
    """Shared state of one engine. `core` and `configuration` are replaced when the voters change."""

    core: Core

    def __init__(
        self,
        *,
        member_id: int,
        runtime: Runtime,
        journal: Journal,
        wire: Wire,
        guard: Guard,
        timing: Timing,
    ) -> None:
        self.member_id = member_id
        self.runtime = runtime
        self.journal = journal
        self.guard = guard
        self.timing = timing
        self.outbox = Outbox(wire, journal)
        self.linked: set[int] = set()
        self.kinds: dict[int, frozenset[str]] = {}
        self.disk_full = False
        self.delivered = 0  # index of the last entry handed over
        self.counters: Counter[str] = Counter()
        self.configuration_index, self.configuration = 0, journal.base_configuration
        self.voters: frozenset[int] = frozenset()

    def adopt(self, index: int, configuration: Configuration) -> None:
        self.configuration_index, self.configuration = index, configuration
        self.voters = configuration.voters

    @property
    def quorum(self) -> int:
        return len(self.voters) // 2 + 1

    @property
    def is_voter(self) -> bool:
        return self.member_id in self.voters

    @property
    def damaged(self) -> bool:
        return self.journal.damage is not None

    @property
    def log_end(self) -> LogEnd:
        return LogEnd(self.journal.last_term, self.journal.last_index)

    def common_kinds(self) -> frozenset[str]:
        """Command kinds that every member announces; of one never heard from, those every version knows."""
        announced = [self.kinds.get(peer, COMMAND_TAGS_V1) for peer in self.peers()]
        return frozenset.intersection(*announced) if announced else COMMAND_TAGS_V1

    def peers(self) -> frozenset[int]:
        return frozenset(member.id for member in self.configuration.members) - {self.member_id}

    def linked_voters(self) -> list[int]:
        return sorted(self.linked & self.voters)

    def hold_vote(self, peer: int, message: Message) -> None:
        """A vote, or a request for one: it leaves when term and vote are on disk."""
        journal = self.journal
        if self.guard.vote_may_leave(journal.written, journal.durable):
            self.outbox.send(peer, message)
        else:
            self.outbox.hold(peer, message)

    def send_in_term(self, peer: int, message: Message) -> None:
        """A message that promises no more than its term: it waits only while the term is not on disk yet."""
        if self.journal.durable_term >= message["term"]:
            self.outbox.send(peer, message)
        else:
            self.outbox.hold(peer, message)
