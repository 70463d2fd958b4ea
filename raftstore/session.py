"""The name under which this replica proposes: a session of the replicated table, and its sequence numbers.

`(session, sequence)` names a request for ever. A session is registered through the log before its first
request and is never used again once the table forgot it: each try to register draws a new number, so that
a late copy of an earlier try cannot bring a forgotten name back to life.
"""

from __future__ import annotations

from .command import RegisterSession, Request, encode_request
from .limits import SESSION_WINDOW_MAX
from .runtime import Runtime


class Session:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.id = 0  # 0: none is registered
        self.candidate = 0  # the one being registered
        self._next = 1
        self._lowest = 1
        self._waiting: set[int] = set()

    def ask(self) -> bytes:
        """A request to register a new session, encoded."""
        self.candidate = self._runtime.random_id()
        return encode_request(Request(self.candidate, 0, 0, RegisterSession(self.candidate)))

    def registered(self, session: int) -> bool:
        """The table took `session`. False when that is not the one asked for last."""
        if session != self.candidate:
            return False
        self.id, self.candidate = session, 0
        self._next = self._lowest = 1
        self._waiting.clear()
        return True

    def forget(self) -> None:
        self.id = self.candidate = 0

    @property
    def has_room(self) -> bool:
        """Whether another sequence fits into the window that the table keeps."""
        return self._next - self._lowest < SESSION_WINDOW_MAX

    @property
    def lowest(self) -> int:
        """No sequence below this one is waited for."""
        return self._lowest

    def draw(self) -> int:
        sequence = self._next
        self._next += 1
        self._waiting.add(sequence)
        return sequence

    def release(self, sequence: int) -> None:
        waiting = self._waiting
        waiting.discard(sequence)
        while self._lowest < self._next and self._lowest not in waiting:
            self._lowest += 1
