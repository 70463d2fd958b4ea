"""What a leader knows of each follower, and which entries go to it next.

The core says *when* something is to be sent (after a proposal, a commit, a heartbeat); from where and how
much is decided here, because the core re-sends everything it has in flight after each acknowledgement
(quadratic under load), knows no window, and spins when a follower needs a snapshot.
Pure: messages come out, nothing is sent.
"""

from __future__ import annotations

from collections import deque

from .engine import Entry, Message
from .journal import Journal

#: What may be unacknowledged towards one peer before only heartbeats go.
WINDOW_BYTES = 4 * 1024 * 1024
WINDOW_MESSAGES_MAX = 256
#: One message: enough to fill a disk write, small enough not to delay a heartbeat.
MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGE_ENTRIES_MAX = 512


class Progress:
    """One follower as the leader sees it.

    `match`: largest index it is known to hold durably in common. `next`: first index not sent yet.
    `reset_sequence`: rejections of messages up to it speak of the time before the last repair.
    """

    __slots__ = ("_inflight", "_inflight_bytes", "held_match", "match", "next", "reset_sequence")

    def __init__(self, last_index: int) -> None:
        self.match = 0
        self.next = last_index + 1
        self.held_match = 0
        self.reset_sequence = 0
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0

    @property
    def window_open(self) -> bool:
        return self._inflight_bytes < WINDOW_BYTES and len(self._inflight) < WINDOW_MESSAGES_MAX

    def sent(self, last_index: int, size: int) -> None:
        self.next = last_index + 1
        self._inflight.append((last_index, size))
        self._inflight_bytes += size

    def acknowledged(self, match: int) -> None:
        self.match = max(self.match, match)
        self.next = max(self.next, self.match + 1)
        while self._inflight and self._inflight[0][0] <= match:
            self._inflight_bytes -= self._inflight.popleft()[1]

    def send_again_from(self, index: int) -> None:
        self.next = index
        self._inflight.clear()
        self._inflight_bytes = 0


class Replication:
    """All followers of one leadership. Sequences of messages count up through the life of the process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.sequence = 0
        self.peers: dict[int, Progress] = {}

    def lead(self, peers: frozenset[int]) -> None:
        self.peers = {peer: Progress(self._journal.last_index) for peer in sorted(peers)}

    def follow(self) -> None:
        self.peers = {}

    def set_peers(self, peers: frozenset[int]) -> None:
        """Keep the progress of those who stay."""
        last_index = self._journal.last_index
        self.peers = {peer: self.peers.get(peer) or Progress(last_index) for peer in sorted(peers)}

    def reconnected(self, peer: int) -> None:
        """What was in flight may be lost with the old connection."""
        progress = self.peers.get(peer)
        if progress is not None:
            progress.send_again_from(progress.match + 1 if progress.match else self._journal.last_index + 1)

    def needs_snapshot(self, peer: int) -> bool:
        return self.peers[peer].next <= self._journal.base_index

    def message(self, peer: int, term: int, commit_index: int) -> tuple[Message, int]:
        """The next message to `peer` and the last index it carries (0: it carries none).

        An append with entries while the window is open, else an empty one as heartbeat; a bare contact while
        the peer needs a snapshot. Call `sent` once the wire took it.
        """
        self.sequence += 1
        if self.needs_snapshot(peer):
            return {"type": "contact", "term": term, "sequence": self.sequence}, 0
        progress = self.peers[peer]
        previous = min(progress.next - 1, self._journal.last_index)
        entries: list[Entry] = []
        if progress.window_open and previous < self._journal.last_index:
            entries = self._journal.entries(previous + 1, count_max=MESSAGE_ENTRIES_MAX, bytes_max=MESSAGE_BYTES_MAX)
        message: Message = {
            "type": "append",
            "term": term,
            "commit": commit_index,
            "previous": previous,
            "previous_term": self._journal.term_at(previous),
            "entries": entries,
            "sequence": self.sequence,
        }
        return message, entries[-1].index if entries else 0

    def sent(self, peer: int, last_index: int, message: Message) -> None:
        size = sum(len(entry[0]) for entry in message["entries"])
        self.peers[peer].sent(last_index, size)

    def more(self, peer: int) -> bool:
        """Whether a further message with entries could go now."""
        progress = self.peers[peer]
        return progress.window_open and self._journal.base_index < progress.next <= self._journal.last_index
