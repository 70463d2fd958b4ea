"""Questions between replicas: ask one peer, or whoever leads, and get an answer or None.

A question is lost when its connection ends, its answer takes too long, or the peer cannot say; the asker
then gets None, and `ask_leader` asks again until its own deadline, as it does while a membership change is
under way. So everything that is asked may be asked
twice: handlers must be idempotent. Numbers start at random, so that a late answer to an earlier incarnation
of this replica is nobody's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from . import errors
from .deadlines import Deadlines
from .errors import ChangeInProgress, NotLeader, StoreError, Timeout, TooManyRequests
from .house import Done, House
from .limits import CALLS_MAX
from .raft.engine import Message

ASK = "store.ask"
ANSWER = "store.answer"

Body = dict[str, Any]
Reply = Callable[[Body], None]
Handler = Callable[[int, Body, Reply], None]

log = logging.getLogger(__name__)


class _Question(NamedTuple):
    peer: int
    done: Callable[[Body | None], None]
    deadline_s: float


class _Errand:
    """A question to whoever leads, asked again until there is an answer or its time is up."""

    __slots__ = ("asked", "body", "deadline_s", "done", "kind", "refusal")

    def __init__(self, kind: str, body: Body, done: Done, deadline_s: float) -> None:
        self.kind = kind
        self.body = body
        self.done = done
        self.deadline_s = deadline_s
        self.asked = 0
        self.refusal: StoreError | None = None  # why the last try came to nothing


class Calls:
    def __init__(self, house: House) -> None:
        self._house = house
        self._handlers: dict[str, Handler] = {}
        self._questions: dict[int, _Question] = {}
        self._next = house.runtime.random_id()
        self._errands = 0
        self._deadlines = Deadlines(house.runtime, self._sweep)

    def answer_with(self, kind: str, handler: Handler) -> None:
        """`handler(peer, body, reply)` answers questions of this kind, at once or later, or never."""
        self._handlers[kind] = handler

    # --- asking ---------------------------------------------------------------------------------------

    def ask(self, peer: int, kind: str, body: Body, done: Callable[[Body | None], None], timeout_s: float) -> None:
        """Ask one peer; `done` gets its answer, or None when there is none. Never from within this call."""
        house = self._house
        self._next += 1
        number = self._next
        message = {"type": ASK, "id": number, "kind": kind, "body": body}
        if len(self._questions) >= CALLS_MAX or not house.engine.send(peer, message):
            house.metrics.calls_failed += 1
            house.runtime.call_soon(lambda: done(None))
            return
        house.metrics.calls += 1
        question = _Question(peer, done, house.runtime.now() + timeout_s)
        self._questions[number] = question
        self._deadlines.note(question.deadline_s)

    def ask_leader(self, kind: str, body: Body, done: Done, timeout_s: float) -> None:
        """Ask whoever leads, this replica included; `done` gets its answer or a StoreError."""
        if self._errands >= CALLS_MAX:
            self._house.answer_soon(done, TooManyRequests(f"{self._errands} questions wait for the leader already"))
            return
        self._errands += 1
        self._run(_Errand(kind, body, done, self._house.runtime.now() + timeout_s))

    def _run(self, errand: _Errand) -> None:
        house = self._house
        left_s = errand.deadline_s - house.runtime.now()
        if house.refusal is not None:
            self._end(errand, house.refusal)
        elif left_s <= 0:
            unanswered = Timeout("the leader did not answer in time", definite=not errand.asked)
            self._end(errand, errand.refusal or unanswered)
        elif house.leading:
            errand.asked += 1
            handler, reply = self._handlers[errand.kind], self._once(errand)
            house.runtime.call_soon(lambda: handler(house.member_id, self._body(errand), reply))
        elif house.leader:
            errand.asked += 1
            wait_s = min(left_s, house.options.forward_timeout_s)
            self.ask(house.leader, errand.kind, self._body(errand), lambda answer: self._heard(errand, answer), wait_s)
        else:
            self._again(errand)

    @staticmethod
    def _body(errand: _Errand) -> Body:
        return {**errand.body, "repeated": True} if errand.asked > 1 else errand.body

    def _once(self, errand: _Errand) -> Reply:
        def reply(body: Body) -> None:
            self._heard(errand, body)

        return reply

    def _heard(self, errand: _Errand, answer: Body | None) -> None:
        error = None if answer is None else error_of(answer)
        errand.refusal = error if isinstance(error, ChangeInProgress) else None
        if answer is None or isinstance(error, NotLeader | ChangeInProgress):
            self._again(errand)
        else:
            self._end(errand, answer if error is None else error)

    def _again(self, errand: _Errand) -> None:
        """After a heartbeat: by then the leader may be known, connected, or another one."""
        runtime = self._house.runtime
        when_s = min(runtime.now() + self._house.options.timing.heartbeat_s, errand.deadline_s)
        runtime.call_at(when_s, lambda: self._run(errand))

    def _end(self, errand: _Errand, outcome: Any) -> None:
        self._errands -= 1
        self._house.answer_soon(errand.done, outcome)

    # --- being asked ----------------------------------------------------------------------------------

    def received(self, peer: int, message: Message) -> None:
        number, body = message.get("id"), message.get("body")
        if not isinstance(number, int) or not isinstance(body, dict):
            log.warning("malformed question or answer, dropped", extra={"peer": peer})
        elif message["type"] == ANSWER:
            self._answered(peer, number, body)
        else:
            self._asked(peer, number, str(message.get("kind")), body)

    def _asked(self, peer: int, number: int, kind: str, body: Body) -> None:
        def reply(answer: Body) -> None:
            self._house.engine.send(peer, {"type": ANSWER, "id": number, "body": answer})

        handler = self._handlers.get(kind)
        if handler is None:
            reply(error_body(errors.UnknownKind(f"this replica does not know the question {kind!r}")))
            return
        try:
            handler(peer, body, reply)
        except (KeyError, TypeError, ValueError) as error:  # fields missing or of the wrong kind
            reply(error_body(errors.InvalidRequest(f"the question {kind!r} makes no sense: {error!r}")))

    def _answered(self, peer: int, number: int, body: Body) -> None:
        question = self._questions.get(number)
        if question is not None and question.peer == peer:
            del self._questions[number]
            question.done(body)

    # --- losing ---------------------------------------------------------------------------------------

    def disconnected(self, peer: int) -> None:
        self._give_up([number for number, question in self._questions.items() if question.peer == peer])

    def _sweep(self, now_s: float) -> float | None:
        self._give_up([number for number, question in self._questions.items() if question.deadline_s <= now_s])
        return min((question.deadline_s for question in self._questions.values()), default=None)

    def _give_up(self, numbers: list[int]) -> None:
        for number in numbers:
            self._house.metrics.calls_failed += 1
            self._questions.pop(number).done(None)

    def stop(self) -> None:
        """Answer everybody; errands end as they notice why."""
        self._give_up(list(self._questions))
        self._deadlines.stop()


def error_body(error: StoreError) -> Body:
    """An error as an answer."""
    return {"error": type(error).__name__, "message": error.message, "definite": error.definite}


def error_of(answer: Body) -> StoreError | None:
    """The error an answer stands for; None when it is none."""
    name = answer.get("error")
    if name is None:
        return None
    kind = getattr(errors, str(name), StoreError)
    message, definite = str(answer.get("message")), bool(answer.get("definite"))
    if not isinstance(kind, type) or not issubclass(kind, StoreError) or issubclass(kind, errors.WatchCanceled):
        kind = StoreError
    return kind(message, definite=definite)
