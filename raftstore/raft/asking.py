"""Questions between replicas that share no link: how a cluster is founded, joined and asked about.

A replica that is not (or not yet) a listed member cannot have a link. It may open a connection with its
certificate of the peer CA, ask one question of type `found.*` or `join.*`, get one answer and be hung up
on. Everything else from it is refused. The asker learns from the answering side's certificate who answered.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ..errors import UnavailableError, WrongCluster
from ..identity import NO_CLUSTER, PeerIdentity
from ..limits import ASKS_MAX, GREETING_BYTES_MAX
from .connection import Connection, LinkMetrics
from .credentials import Refusal, TlsContexts, handshake_refusal, identity_of
from .engine import Message
from .frames import encode
from .joining import MalformedMessage
from .sockets import Door, Refusals, dial

_log = logging.getLogger("raftstore.transport")

#: Answers a question: who asks, as its certificate says, and the question.
Answerer = Callable[[PeerIdentity, Message], Awaitable[Message]]

ASKABLE = ("found.", "join.")
_DEAD_S = 5.0


class Answer(NamedTuple):
    answered_by: PeerIdentity
    message: Message


def question_in(frame: Message) -> Message | None:
    """The question in a `link.ask` frame, when it is one that may be asked."""
    question = frame.get("body")
    if type(question) is not dict or type(question.get("type")) is not str:
        return None
    return question if question["type"].startswith(ASKABLE) else None


class Desk:
    """Answers questions, at most ASKS_MAX at a time, each on a connection that ends with its answer."""

    def __init__(self, answerer: Answerer, metrics: LinkMetrics, report: Callable[[BaseException], None]) -> None:
        self._answerer = answerer
        self._metrics = metrics
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, connection: Connection, asker: PeerIdentity, frame: Message) -> None:
        question = question_in(frame)
        if question is None:
            self._refuse(connection, "not_askable")
        elif len(self._tasks) >= ASKS_MAX:
            self._refuse(connection, "too_many_asks")
        else:
            task = asyncio.get_running_loop().create_task(self._answer(connection, asker, question), name="peer-ask")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _refuse(self, connection: Connection, reason: str) -> None:
        self._metrics.refused[reason] += 1
        connection.finish(encode({"type": "link.refused", "reason": reason}), reason)

    async def _answer(self, connection: Connection, asker: PeerIdentity, question: Message) -> None:
        try:
            message = await self._answerer(asker, question)
            frame = encode({"type": "link.answer", "body": message}, bytes_max=GREETING_BYTES_MAX)
        except MalformedMessage as error:
            _log.warning("question not understood", extra={"asker": asker.uri, "why": str(error)})
            self._refuse(connection, "malformed")
            return
        except Exception as error:
            self._report(error)
            self._refuse(connection, "cannot_answer")
            return
        self._metrics.asks_answered += 1
        connection.finish(frame, "answered")


class _Question:
    """The asker's end of one question."""

    def __init__(self, cluster_id: int, message: Message) -> None:
        self._cluster_id = cluster_id
        self._frame = encode({"type": "link.ask", "body": message}, bytes_max=GREETING_BYTES_MAX)
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def made(self, connection: Connection) -> None:
        try:
            identity = identity_of(connection.certificate)
        except Refusal as refusal:
            self._fail(UnavailableError(f"{connection.address}: {refusal}"))
            connection.drop(str(refusal))
            return
        if self._cluster_id != NO_CLUSTER and identity.cluster_id not in (NO_CLUSTER, self._cluster_id):
            self._fail(WrongCluster(f"{connection.address} is {identity.uri}, not of our cluster"))
            connection.drop("wrong cluster")
            return
        connection.identity = identity
        connection.send(self._frame)

    def frame(self, connection: Connection, message: Message) -> None:
        body = message.get("body")
        if message["type"] == "link.answer" and type(body) is dict and type(body.get("type")) is str:
            assert connection.identity is not None
            if not self.answer.done():
                self.answer.set_result(Answer(connection.identity, body))
        else:
            self._fail(UnavailableError(f"{connection.address} refused the question: {message.get('reason')!r:.100}"))
        connection.drop("asked")

    def drained(self, connection: Connection) -> None:
        """One frame is all that is ever sent."""

    def lost(self, connection: Connection) -> None:
        self._fail(UnavailableError(f"no answer: {connection.ending}"))

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def ask(
    address: str,
    message: Message,
    contexts: TlsContexts,
    *,
    cluster_id: int = NO_CLUSTER,
    timeout_s: float = 5.0,
    connect_s: float | None = None,
    metrics: LinkMetrics | None = None,
) -> Answer:
    """Ask the replica at `address` one question.

    `cluster_id` is the asker's; a member takes no answer from another cluster (WrongCluster). `connect_s` is for
    the connection alone, which a kernel makes however busy its machine is. Raises UnavailableError when there is
    no answer in time; the question may have been acted upon.
    """
    question = _Question(cluster_id, message)
    counters = metrics or LinkMetrics()
    connection: Connection | None = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await dial(
                address,
                lambda: Connection(question, counters),
                contexts,
                timeout_s=timeout_s,
                connect_s=connect_s,
                dead_s=_DEAD_S,
            )
            return await question.answer
    except (ssl.SSLError, TimeoutError) as error:
        raise UnavailableError(f"{address}: {handshake_refusal(error)}") from error
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{address} cannot be reached: {error}") from error
    finally:
        if connection is not None:
            connection.drop("asked")
            await connection.closed
        if question.answer.done() and not question.answer.cancelled():
            question.answer.exception()  # taken here, whoever else has seen it
        else:
            question.answer.cancel()  # a connection that ends later has nobody left to tell


class Reception:
    """The peer port of a replica without an identity: it answers questions and has no links."""

    def __init__(
        self,
        host: str,
        port: int,
        contexts: TlsContexts,
        answerer: Answerer,
        report: Callable[[BaseException], None],
        *,
        handshake_s: float = 5.0,
    ) -> None:
        self.metrics = LinkMetrics()
        self._desk = Desk(answerer, self.metrics, report)
        self._refusals = Refusals(self.metrics)
        self._open: set[Connection] = set()
        self._patience_s = handshake_s
        self._door = Door(
            host,
            port,
            make=lambda: Connection(self, self.metrics),
            contexts=lambda: contexts,
            metrics=self.metrics,
            handshake_s=handshake_s,
            dead_s=_DEAD_S,
        )
        self.port = self._door.port

    async def close(self) -> None:
        self._door.close()
        self._desk.close()
        for connection in list(self._open):
            connection.drop("closing")
        await self._door.wait_closed()
        await self._desk.wait_closed()
        await asyncio.gather(*(connection.closed for connection in list(self._open)))

    def made(self, connection: Connection) -> None:
        self._open.add(connection)
        try:
            connection.identity = identity_of(connection.certificate)
        except Refusal as refusal:
            self._refusals.note(refusal, connection.address)
            connection.drop(str(refusal))
            return
        connection.end_after(self._patience_s, "asked nothing in time")

    def frame(self, connection: Connection, message: Message) -> None:
        identity = connection.identity
        if message["type"] == "link.ask" and identity is not None:
            connection.keep()
            self._desk.serve(connection, identity, message)
        else:  # a member that takes us for one: it will learn when we are
            connection.finish(encode({"type": "link.refused", "reason": "no_identity_yet"}), "not a question")

    def drained(self, connection: Connection) -> None:
        """One frame is all that is ever sent."""

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
