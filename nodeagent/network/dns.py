"""The node's DNS for its pods: the cluster's names from records here, all others from the node's own resolvers.

Answers whoever is in `allowed` (the pods and the host) and nobody else: it is no open resolver. Over UDP what is too
long is cut and says so, and the client comes back over TCP. Everything is bounded: questions under way, connections,
what one connection may ask, and how long it may be silent; and no client has all of it, so that one whose questions
nobody answers elsewhere leaves room for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any, Self

import msgspec

from .dns_forward import Forwarder
from .dns_records import Found, Records
from .dns_wire import (
    AXFR,
    CNAME,
    IN,
    REFUSED,
    SERVER_FAILURE,
    TCP_MAX,
    FormatError,
    Name,
    Query,
    Record,
    answer_records,
    decode_query,
    encode_answer,
    encode_failure,
    id_of,
)

log = logging.getLogger(__name__)

_ALIASES_MAX = 4
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class DnsOptions(msgspec.Struct, frozen=True, kw_only=True):
    questions_max: int = 512  # over UDP, under way
    questions_per_client: int = 64  # with its connections less than a third of what is asked elsewhere at once
    connections_max: int = 64
    connections_per_client: int = 16
    questions_per_connection: int = 100
    silence_s: float = 10.0


class Resolver:
    """From a message to its answer."""

    def __init__(self, records: Records, forwarder: Forwarder, *, random: Random | None = None) -> None:
        self._records = records
        self._forwarder = forwarder
        self._random = random or Random()

    async def answer(self, data: bytes, *, tcp: bool) -> bytes | None:
        """None: say nothing. Never raises for what is in the message."""
        try:
            query = decode_query(data)
        except FormatError as error:
            return None if error.rcode is None else encode_failure(id_of(data), error.rcode)
        size_max = TCP_MAX if tcp else query.size_max
        if query.class_ != IN or query.type == AXFR:
            return encode_answer(query, size_max=size_max, rcode=REFUSED)
        try:
            return await self._answered(query, tcp=tcp, size_max=size_max)
        except FormatError as error:
            log.info("a resolver of the node says what makes no sense", extra={"error": str(error)})
            return encode_answer(query, size_max=size_max, rcode=SERVER_FAILURE)

    async def _answered(self, query: Query, *, tcp: bool, size_max: int) -> bytes:
        """Raises FormatError for what somebody else said."""
        if self._records.ready:
            found = self._records.find(query.name, query.type)
            if found is not None:
                return await self._ours(query, found, size_max=size_max)
        elif self._records.owns(query.name):
            return encode_answer(query, size_max=size_max, rcode=SERVER_FAILURE)
        return await self._elsewhere(query, tcp=tcp, size_max=size_max)

    async def _ours(self, query: Query, found: Found, *, size_max: int) -> bytes:
        answers, rcode = list(found.answers), found.rcode
        self._random.shuffle(answers)
        if found.alias is not None and query.type != CNAME:
            rcode, more = await self._follow(query, found.alias)
            answers += more
        return encode_answer(
            query,
            size_max=size_max,
            rcode=rcode,
            answers=answers,
            authority=() if answers else (self._records.start(),),
            additional=found.additional,
            authoritative=True,
        )

    async def _follow(self, query: Query, alias: Name) -> tuple[int, list[Record]]:
        """What the name that an ExternalName Service stands for has. SERVER_FAILURE when nobody knows."""
        more: list[Record] = []
        for _ in range(_ALIASES_MAX):
            found = self._records.find(alias, query.type)
            if found is None:
                break
            more += found.answers
            if found.alias is None:
                return found.rcode, more
            alias = found.alias
        else:
            return SERVER_FAILURE, more
        question = b"".join(bytes([len(label)]) + label for label in alias) + b"\0" + struct.pack("!HH", query.type, IN)
        asked = msgspec.structs.replace(query, name=alias, question=question)
        message = await self._forwarder.ask(asked, tcp=False)
        if message is None:
            return SERVER_FAILURE, more
        return message[3] & 0xF, more + answer_records(message)

    async def _elsewhere(self, query: Query, *, tcp: bool, size_max: int) -> bytes:
        message = await self._forwarder.ask(query, tcp=tcp) if query.recursion else None
        if message is None:
            return encode_answer(query, size_max=size_max, rcode=SERVER_FAILURE if query.recursion else REFUSED)
        if len(message) > size_max:  # heard over TCP, asked for over UDP
            cut = encode_answer(query, size_max=size_max, rcode=message[3] & 0xF, answers=answer_records(message))
            return cut[:2] + bytes([cut[2] | 0x02]) + cut[3:]
        return message


class _Places:
    """So many in all, and so many for each client by its address."""

    def __init__(self, in_all: int, per_client: int) -> None:
        self._in_all = in_all
        self._per_client = per_client
        self._taken: Counter[str] = Counter()

    def take(self, client: str) -> bool:
        """Whether there was one; `leave` it."""
        if self._taken.total() >= self._in_all or self._taken[client] >= self._per_client:
            return False
        self._taken[client] += 1
        return True

    def leave(self, client: str) -> None:
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]


class DnsServer:
    """`async with` serves UDP and TCP on one address. Raises OSError when it is taken."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        address: str,
        port: int,
        allowed: Iterable[str],
        options: DnsOptions | None = None,
    ) -> None:
        """`allowed`: networks. Raises ValueError for what is none."""
        self.port = port
        self._address = address
        self._resolver = resolver
        self._allowed: list[Network] = [ipaddress.ip_network(each) for each in allowed]
        self._options = options = options or DnsOptions()
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions = _Places(options.questions_max, options.questions_per_client)
        self._connections = _Places(options.connections_max, options.connections_per_client)
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._tcp = await asyncio.start_server(self._serve, self._address, self.port, limit=TCP_MAX)
            self.port = self._tcp.sockets[0].getsockname()[1]
            bound = _bound(self._address, self.port)
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Questions(self), sock=bound)
        except OSError:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tcp is not None:
            await self._tcp.wait_closed()

    def is_allowed(self, address: str) -> bool:
        source = ipaddress.ip_address(address.partition("%")[0])
        return any(source in network for network in self._allowed)

    # --- UDP ----------------------------------------------------------------------------------------------

    def heard(self, data: bytes, client: tuple[Any, ...]) -> None:
        """Who asks too much at once is not answered, and asks again."""
        if self.is_allowed(client[0]) and self._questions.take(client[0]):
            task = asyncio.create_task(self._answer(data, client), name="an answer of the DNS")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._questions.leave(client[0]))

    async def _answer(self, data: bytes, client: tuple[Any, ...]) -> None:
        try:
            answer = await self._resolver.answer(data, tcp=False)
        except Exception:
            log.exception("a DNS question failed", extra={"client": client[0]})
            return
        if answer is not None and self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(answer, client)

    # --- TCP ----------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve_client(reader, writer, writer.get_extra_info("peername")[0])
        except OSError as error:
            log.debug("a DNS connection ended", extra={"error": str(error)})
        except Exception:
            log.exception("a DNS question failed")
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str) -> None:
        """Who has too many connections has none more; one counts until its client has read what was said."""
        if self.is_allowed(client) and self._connections.take(client):
            try:
                with contextlib.suppress(EOFError):
                    await self._talk(reader, writer)
                writer.close()
                async with asyncio.timeout(self._options.silence_s):
                    await writer.wait_closed()
            finally:
                self._connections.leave(client)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._options.questions_per_connection):
            async with asyncio.timeout(self._options.silence_s):
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            answer = await self._resolver.answer(data, tcp=True)
            if answer is None:
                return
            writer.write(len(answer).to_bytes(2, "big") + answer)
            async with asyncio.timeout(self._options.silence_s):
                await writer.drain()


def _bound(address: str, port: int) -> socket.socket:
    """Raises OSError, and leaves nothing open then."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


class _Questions(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._server.heard(data, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("a client of the DNS is gone", extra={"error": str(exc)})
