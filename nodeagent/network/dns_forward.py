"""Asks the node's own resolvers what is not of the cluster, and remembers what they said for as long as it holds.

What must hold:
- One question is asked once at a time: who asks the same waits for the same answer. So a resolver that asks us back
  what we asked it meets the question that waits already, and a loop is one packet, not a storm.
- Our own addresses are never asked. The cache, questions under way and each wait are bounded.
- An answer counts only from the one who was asked, for the very question, under an id that was drawn by chance.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from .dns_wire import (
    NO_ERROR,
    NO_SUCH_NAME,
    TCP_MAX,
    Answer,
    FormatError,
    Name,
    Query,
    decode_answer,
    encode_query,
    lower,
    with_times,
)

log = logging.getLogger(__name__)

SERVERS_MAX = 3
PORT = 53
_FILE_MAX = 64 << 10


class Server(NamedTuple):
    address: str
    port: int


class ForwardOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, but for the counts."""

    timeout_s: float = 2.0  # of one try
    rounds: int = 2  # through all servers
    at_once_max: int = 256
    entries_max: int = 4_096
    bytes_max: int = 4 << 20
    keep_max_s: int = 300
    keep_negative_max_s: int = 30


class _Key(NamedTuple):
    name: Name
    type: int
    class_: int
    flags: tuple[bool, ...]


class _Entry(NamedTuple):
    message: bytes
    answer: Answer
    since_s: float
    until_s: float


def key_of(query: Query) -> _Key:
    """Questions whose answers are the same bytes, but for id and age."""
    flags = (query.edns, query.dnssec, query.checking_disabled, query.recursion)
    return _Key(lower(query.name), query.type, query.class_, flags)


class Cache:
    """Least recently used first out."""

    def __init__(self, options: ForwardOptions, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def get(self, query: Query) -> bytes | None:
        key, now_s = key_of(query), self._clock()
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now_s >= entry.until_s:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return with_times(entry.message, entry.answer, query, age_s=int(now_s - entry.since_s))

    def put(self, query: Query, message: bytes, answer: Answer) -> None:
        if answer.ttl_s is None:
            return
        negative = answer.rcode != NO_ERROR or not answer.answers
        ttl_s = min(answer.ttl_s, self._options.keep_negative_max_s if negative else self._options.keep_max_s)
        key, now_s = key_of(query), self._clock()
        self._drop(key)
        if ttl_s > 0:
            self._entries[key] = _Entry(message, answer, now_s, now_s + ttl_s)
            self._bytes += len(message)
        while len(self._entries) > self._options.entries_max or self._bytes > self._options.bytes_max:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: _Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.message)


class NodeResolvers:
    """Those of a resolv.conf, read anew when it changed."""

    def __init__(self, path: Path, *, own: Iterable[str]) -> None:
        """`own`: addresses that lead to us."""
        self._path = path
        self._own = frozenset(own)
        self._seen: tuple[int, int] | None = None
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> tuple[Server, ...]:
        try:
            state = self._path.stat()
            if (state.st_mtime_ns, state.st_ino) != self._seen:
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    self._servers = self._parse(file.read(_FILE_MAX))
                self._seen = (state.st_mtime_ns, state.st_ino)
        except OSError as error:
            log.warning("the node's resolvers are unknown", extra={"file": str(self._path), "error": error.strerror})
        return self._servers

    def _parse(self, text: str) -> tuple[Server, ...]:
        found = []
        for line in text.splitlines():
            match line.split():
                case ["nameserver", address, *_] if _is_address(address):
                    if address in self._own:
                        log.warning("a resolver of the node is this DNS itself: not asked", extra={"server": address})
                    else:
                        found.append(Server(address, PORT))
        return tuple(found[:SERVERS_MAX])


class Forwarder:
    """`close` it when done. Nobody else's failure is an exception here: None says that nobody knew."""

    def __init__(
        self,
        servers: Callable[[], Iterable[Server]],
        *,
        clock: Callable[[], float],
        options: ForwardOptions | None = None,
    ) -> None:
        """`clock`: monotonic, seconds."""
        self._servers = servers
        self._options = options or ForwardOptions()
        self.cache = Cache(self._options, clock)
        self._asking: dict[tuple[_Key, bool], asyncio.Task[bytes | None]] = {}

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ask(self, query: Query, *, tcp: bool) -> bytes | None:
        """The answer to this very query, as it came; over TCP whole."""
        cached = self.cache.get(query)
        if cached is not None:
            return cached
        key = (key_of(query), tcp)
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._options.at_once_max:
                return None
            task = asyncio.create_task(self._ask_all(query, tcp=tcp), name="a question to the node's resolvers")
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        message = await asyncio.shield(task)
        return None if message is None else message_for(message, query)

    async def _ask_all(self, query: Query, *, tcp: bool) -> bytes | None:
        last: bytes | None = None
        for server in list(self._servers()) * self._options.rounds:
            asked = encode_query(query, secrets.randbelow(1 << 16))
            try:
                async with asyncio.timeout(self._options.timeout_s):
                    message = await (_by_tcp if tcp else _by_udp)(server, asked)
                    answer = decode_answer(message, asked)
            except (OSError, TimeoutError, FormatError, EOFError) as error:
                log.debug("a resolver did not answer", extra={"server": server.address, "error": str(error)})
                continue
            if answer.rcode in (NO_ERROR, NO_SUCH_NAME):
                self.cache.put(query, message, answer)
                return message
            last = message
        return last


def message_for(message: bytes, query: Query) -> bytes:
    return query.id.to_bytes(2, "big") + message[2:12] + query.question + message[12 + len(query.question) :]


class _Once(asyncio.DatagramProtocol):
    """The first answer to the question; others, who guess, are not heard."""

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        with contextlib.suppress(FormatError):
            decode_answer(data, self._asked)
            if not self.answer.done():
                self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


async def _by_udp(server: Server, asked: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Once(asked), remote_addr=server)
    try:
        transport.sendto(asked)
        return await protocol.answer
    finally:
        transport.close()


async def _by_tcp(server: Server, asked: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server.address, server.port, limit=TCP_MAX)
    try:
        writer.write(len(asked).to_bytes(2, "big") + asked)
        return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    finally:
        writer.close()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
