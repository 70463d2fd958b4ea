"""One node under test among peers that are only a script: what it sends is kept, what they say is said by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fake_runtime import FakeRuntime
from raft_cluster import CLUSTER_ID, Recorder, member, value

from raftstore.command import COMMAND_TAGS_V1
from raftstore.disk import RealDisk
from raftstore.limits import Timing
from raftstore.raft.engine import Configuration, Member, Message, Role, WireListener
from raftstore.raft.journal import Journal
from raftstore.raft.node import Node

NOOP = b"\x01"


class ScriptedWire:
    def __init__(self) -> None:
        self.listener: WireListener
        self.sent: list[tuple[int, Message]] = []

    def start(self, listener: WireListener) -> None:
        self.listener = listener

    def set_members(self, members: Sequence[Member]) -> None: ...

    def send(self, peer: int, message: Message) -> bool:
        self.sent.append((peer, message))
        return True

    def stop(self) -> None: ...


class LoneNode:
    """Member 1 of `size`; members 2.. are the script. `disk_held` keeps its fsyncs from ending."""

    def __init__(self, folder: Path, size: int = 3, *, off: Iterable[str] = (), applied_index: int = 0) -> None:
        self.runtime = FakeRuntime()
        self.wire = ScriptedWire()
        self.recorder = Recorder()
        self.timing = Timing()
        self.size = size
        self.off = frozenset(off)
        self.folder = folder
        configuration = Configuration(CLUSTER_ID, tuple(member(number) for number in range(1, size + 1)))
        if not folder.exists():
            Journal.create(RealDisk(folder), cluster_id=CLUSTER_ID, member_id=1, configuration=configuration).close()
        self.journal = Journal.open(RealDisk(folder), cluster_id=CLUSTER_ID, member_id=1)
        self.node = Node(
            member_id=1,
            runtime=self.runtime,
            journal=self.journal,
            wire=self.wire,
            timing=self.timing,
            applied_index=applied_index,
            protections_off=off,
        )
        self.node.listen(self.recorder)

    def start(self) -> LoneNode:
        self.node.start()
        for peer in range(2, self.size + 1):
            self.wire.listener.connected(peer, COMMAND_TAGS_V1)
        self.runtime.run()
        return self

    def close(self) -> None:
        self.node.stop()
        self.journal.close()

    # --- what the script says ---

    def say(self, peer: int, kind: str, **fields: Any) -> None:
        self.node.received(peer, {"type": kind, **fields})
        self.runtime.run()

    def append(
        self,
        peer: int,
        term: int,
        previous: tuple[int, int],
        entries: Sequence[tuple[bytes, int, int]] = (),
        *,
        commit: int = 1,
        sequence: int = 1,
    ) -> None:
        """`previous` is (index, term)."""
        self.say(
            peer,
            "append",
            term=term,
            previous=previous[0],
            previous_term=previous[1],
            entries=[list(entry) for entry in entries],
            commit=commit,
            sequence=sequence,
        )

    def ack(self, peer: int, match: int, *, term: int | None = None) -> None:
        term = self.status.term if term is None else term
        self.say(peer, "ack", term=term, sequence=1, success=True, reset=False, match=match, next=0)

    def reject(self, peer: int, sequence: int, following: int) -> None:
        self.say(
            peer, "ack", term=self.status.term, sequence=sequence, success=False, reset=True, match=0, next=following
        )

    def ask_vote(self, peer: int, term: int, end: tuple[int, int] = (9, 99), *, transfer: bool = False) -> None:
        """`end` is (last term, last index)."""
        self.say(peer, "vote", term=term, last_term=end[0], last_index=end[1], transfer=transfer)

    def lead(self, voters: Iterable[int] = (2,)) -> LoneNode:
        """Win the next election with the votes of `voters`."""
        self.runtime.advance(self.timing.election_timeout_s_max * 2)
        rounds = [message for _, message in self.wire.sent if message["type"] == "prevote"]
        for voter in range(2, self.size + 1):
            self.say(voter, "prevote_reply", term=self.status.term, round=rounds[-1]["round"], granted=True)
        for voter in voters:
            self.say(voter, "vote_given", term=self.status.term)
        return self

    def propose(self, *texts: str) -> None:
        for text in texts:
            assert self.node.propose(value(text))
        self.runtime.run()

    def hold_disk(self) -> None:
        self.runtime.hold("journal")

    # --- what is seen ---

    @property
    def status(self) -> Any:
        return self.node.status()

    @property
    def leads(self) -> bool:
        return self.status.role is Role.LEADER

    def sent(self, kind: str, peer: int | None = None) -> list[Message]:
        return [message for target, message in self.wire.sent if message["type"] == kind and peer in (None, target)]

    def forget_sent(self) -> None:
        self.wire.sent.clear()


def batch(*numbers: tuple[int, int]) -> list[tuple[bytes, int, int]]:
    """Entries of the given (index, term)."""
    return [(value(f"{index}.{term}"), index, term) for index, term in numbers]


def run_of(first: int, last: int, term: int) -> list[tuple[bytes, int, int]]:
    return batch(*((index, term) for index in range(first, last + 1)))
