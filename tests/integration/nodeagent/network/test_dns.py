"""The node's DNS over real sockets: the cluster's names, others' from a resolver behind it, and who is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from dns_messages import Heard, heard, question
from fake_api import FakeApi
from pod_network import NODE, Network, missing
from service_objects import endpoint, piece, service

from nodeagent.network import dns_wire as wire
from nodeagent.network.dns import DnsOptions, DnsServer, Resolver
from nodeagent.network.dns_forward import Forwarder, ForwardOptions, NodeResolvers, Server
from nodeagent.network.dns_records import Records
from nodeagent.network.dns_wire import Record
from nodeagent.network.programs import run_program
from nodeagent.network.proxy import service_informer, slice_informer

LOOPBACK = "127.0.0.1"
OBJECTS = [
    service("web"),
    service("away", cluster_ip="", type="ExternalName", external_name="example.org"),
    service("alias", cluster_ip="", type="ExternalName", external_name="web.default.svc.cluster.local"),
    service("round", cluster_ip="", type="ExternalName", external_name="round.default.svc.cluster.local"),
    service("many", cluster_ip="None"),
    piece("many", *(endpoint(f"10.244.1.{number}") for number in range(1, 201))),
]


class Upstream(asyncio.DatagramProtocol):
    """Answers with one address; `answer` may be changed. Counts what it is asked; silent while `silent`."""

    def __init__(self) -> None:
        self.asked: list[wire.Query] = []
        self.silent = False
        self._held: list[tuple[bytes, Any]] = []
        self.came = asyncio.Event()
        self.answer: Callable[[wire.Query, int], bytes] = one_address
        self.server = Server("", 0)
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self._hear(data, wire.PLAIN_MAX)
        if self.silent:
            self._held.append((answer, addr))
        else:
            self._transport.sendto(answer, addr)

    def speak(self) -> None:
        """Also of what it was asked while it was silent."""
        self.silent = False
        for answer, addr in self._held:
            self._transport.sendto(answer, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = self._hear(data, wire.TCP_MAX)
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    def _hear(self, data: bytes, size_max: int) -> bytes:
        query = wire.decode_query(data)
        self.asked.append(query)
        self.came.set()
        return self.answer(query, size_max)


def one_address(query: wire.Query, size_max: int) -> bytes:
    return wire.encode_answer(query, size_max=size_max, answers=[Record(query.name, wire.A, 60, b"\xc0\0\2\x09")])


def many_addresses(query: wire.Query, size_max: int) -> bytes:
    found = [Record(query.name, wire.A, 60, bytes([192, 0, 2, number])) for number in range(100)]
    return wire.encode_answer(query, size_max=size_max, answers=found)


def a_name_that_leads_forward(query: wire.Query, size_max: int) -> bytes:
    """In its one record, which is owned by a pointer to the question."""
    found = one_address(query, size_max)
    at = 12 + len(query.question)
    assert found[at] == 0xC0
    return found[:at] + b"\xff\xff" + found[at + 2 :]


def no_such_name(query: wire.Query, size_max: int) -> bytes:
    start = wire.StartData((b"a",), (b"b",), 1, 2, 3, 4, 20)
    record = Record((b"org",), wire.SOA, 60, start)
    return wire.encode_answer(query, size_max=size_max, rcode=wire.NO_SUCH_NAME, authority=[record])


class Rig:
    """`now_s`: of the cache's clock."""

    def __init__(self, upstream: Upstream, server: DnsServer, forwarder: Forwarder) -> None:
        self.upstream = upstream
        self.server = server
        self.forwarder = forwarder
        self.now_s = 0.0

    async def ask(self, name: str, type_: int = wire.A, *, tcp: bool = False, **options: Any) -> Heard:
        message = question(name, type_, **options)
        answer = await (self.by_tcp if tcp else self.by_udp)(message)
        assert answer[:2] == message[:2]
        return heard(answer)

    async def by_udp(self, message: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(60)
            asking.connect((LOOPBACK, self.server.port))
            asking.send(message)
            return await asyncio.to_thread(asking.recv, 65_535)

    async def by_tcp(self, message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.server.port)
        try:
            writer.write(len(message).to_bytes(2, "big") + message)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        finally:
            writer.close()
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    tcp = await asyncio.start_server(made.serve, LOOPBACK, 0)
    made.server = Server(LOOPBACK, tcp.sockets[0].getsockname()[1])
    udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, local_addr=made.server)
    try:
        yield made
    finally:
        udp.close()
        tcp.close()
        await tcp.wait_closed()


@contextlib.asynccontextmanager
async def rig(
    *,
    allowed: tuple[str, ...] = ("127.0.0.0/8",),
    servers: Callable[[], list[Server]] | None = None,
    answered_within_s: float = 60.0,
    options: DnsOptions | None = None,
    synced: bool = True,
) -> AsyncIterator[Rig]:
    api = FakeApi()
    for each in OBJECTS:
        api.put(each)
    client = api.client()
    services, slices = service_informer(client), slice_informer(client)
    async with contextlib.AsyncExitStack() as stack:
        behind = await stack.enter_async_context(upstream())
        forwarder = Forwarder(
            servers or (lambda: [behind.server]),
            clock=lambda: made.now_s,
            options=ForwardOptions(timeout_s=answered_within_s, rounds=1),
        )
        stack.push_async_callback(forwarder.close)
        records = Records(services, slices, domain="cluster.local")
        if synced:
            await stack.enter_async_context(services)
            await stack.enter_async_context(slices)
            await services.wait_for_sync()
            await slices.wait_for_sync()
        server = DnsServer(Resolver(records, forwarder), address=LOOPBACK, port=0, allowed=allowed, options=options)
        await stack.enter_async_context(server)
        made = Rig(behind, server, forwarder)
        yield made


def run(check: Callable[[Rig], Any], **options: Any) -> None:
    async def body() -> None:
        async with rig(**options) as made:
            await check(made)

    asyncio.run(body())


@pytest.mark.parametrize("tcp", [False, True])
def test_the_clusters_names_are_answered_here(tcp: bool) -> None:
    async def check(made: Rig) -> None:
        assert (await made.ask("web.default.svc.cluster.local", tcp=tcp)).answers == [(wire.A, "10.96.0.5")]
        told = await made.ask("no.default.svc.cluster.local", tcp=tcp)
        assert (told.rcode, told.answers) == (wire.NO_SUCH_NAME, [])
        assert [type_ for type_, _ in told.authority] == [wire.SOA]
        assert made.upstream.asked == []

    run(check)


def test_other_names_come_from_behind_and_are_kept_while_they_hold() -> None:
    async def check(made: Rig) -> None:
        for name in ("example.org", "EXAMPLE.org"):
            assert (await made.ask(name)).answers == [(wire.A, "192.0.2.9")]
        assert len(made.upstream.asked) == 1
        made.now_s = 59.0
        raw = await made.by_udp(question("example.org"))
        assert int.from_bytes(raw[-10:-6], "big") == 1  # what is left of the 60 s
        made.now_s = 60.0
        await made.ask("example.org")
        assert len(made.upstream.asked) == 2

    run(check)


def test_that_a_name_is_not_there_is_kept_too_but_not_for_long() -> None:
    async def check(made: Rig) -> None:
        made.upstream.answer = no_such_name
        for made.now_s, expected in ((0.0, 1), (19.0, 1), (20.0, 2)):
            assert (await made.ask("no.example.org")).rcode == wire.NO_SUCH_NAME
            assert len(made.upstream.asked) == expected

    run(check)


def test_who_asks_the_same_waits_for_the_same_answer() -> None:
    """So a resolver that asks us what we asked it ends a loop."""

    async def check(made: Rig) -> None:
        made.upstream.silent = True
        first = asyncio.create_task(made.ask("example.org"))
        await made.upstream.came.wait()
        second = await made.ask("example.org", id_=9)
        assert second.rcode == (await first).rcode == wire.SERVER_FAILURE
        assert len(made.upstream.asked) == 1

    run(check, answered_within_s=2.0)


def test_a_resolver_that_is_ourselves_ends_in_one_failure() -> None:
    async def check(made: Rig) -> None:
        servers.append(Server(LOOPBACK, made.server.port))
        assert (await made.ask("example.org")).rcode == wire.SERVER_FAILURE

    servers: list[Server] = []
    run(check, servers=lambda: servers, answered_within_s=0.5)


def test_external_names_are_followed_here_and_elsewhere() -> None:
    async def check(made: Rig) -> None:
        away = await made.ask("away.default.svc.cluster.local")
        assert away.answers == [(wire.CNAME, "example.org"), (wire.A, "192.0.2.9")]
        alias = await made.ask("alias.default.svc.cluster.local")
        assert alias.answers == [(wire.CNAME, "web.default.svc.cluster.local"), (wire.A, "10.96.0.5")]
        assert (await made.ask("round.default.svc.cluster.local")).rcode == wire.SERVER_FAILURE

    run(check)


@pytest.mark.parametrize("tcp", [False, True])
def test_an_answer_from_behind_that_makes_no_sense_is_a_failure(tcp: bool) -> None:
    async def check(made: Rig) -> None:
        made.upstream.answer = a_name_that_leads_forward
        assert (await made.ask("away.default.svc.cluster.local", tcp=tcp)).rcode == wire.SERVER_FAILURE

    run(check)


def test_what_is_too_long_is_cut_and_whole_over_tcp() -> None:
    async def check(made: Rig) -> None:
        for name, count in (("many.default.svc.cluster.local", 200), ("many.example.org", 100)):
            made.upstream.answer = many_addresses
            cut = await made.ask(name)
            assert cut.truncated
            assert 0 < len(cut.answers) < count
            whole = await made.ask(name, tcp=True)
            assert not whole.truncated
            assert len(whole.answers) == count
            assert (await made.ask(name)).truncated  # from the cache, cut again
        assert len((await made.ask("many.default.svc.cluster.local", size_max=4096)).answers) > len(cut.answers)

    run(check)


def test_strangers_are_not_answered() -> None:
    async def check(made: Rig) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(udp_once(made), 0.3)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await made.by_tcp(question("web.default.svc.cluster.local"))

    run(check, allowed=("10.244.0.0/24",))


async def udp_once(made: Rig) -> bytes:
    """Without a thread, which could not be given up."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect((LOOPBACK, made.server.port))
        await loop.sock_sendall(asking, question("web.default.svc.cluster.local"))
        return await loop.sock_recv(asking, 512)


def test_before_the_objects_are_known_nothing_is_denied() -> None:
    async def check(made: Rig) -> None:
        assert (await made.ask("web.default.svc.cluster.local")).rcode == wire.SERVER_FAILURE
        assert (await made.ask("example.org")).answers == [(wire.A, "192.0.2.9")]

    run(check, synced=False)


def test_wrong_messages_get_a_failure_and_transfers_are_refused() -> None:
    async def check(made: Rig) -> None:
        assert (await made.by_udp(b"\0\7\1\0" + b"\0" * 8))[3] & 0xF == wire.FORMAT_ERROR
        assert (await made.ask("cluster.local", wire.AXFR, tcp=True)).rcode == wire.REFUSED
        assert (await made.ask("web.default.svc.cluster.local", class_=3)).rcode == wire.REFUSED
        with pytest.raises(asyncio.IncompleteReadError):
            await made.by_tcp(b"\0\7\x81\0" + b"\0" * 8)

    run(check)


def test_a_connection_may_ask_so_often() -> None:
    async def check(made: Rig) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, made.server.port)
        message = question("web.default.svc.cluster.local")
        writer.write((len(message).to_bytes(2, "big") + message) * 3)
        data = await reader.read()  # to the end
        writer.close()
        assert data.count(b"\x0a\x60\x00\x05") == 2

    run(check, options=DnsOptions(questions_per_connection=2, silence_s=600.0))


def test_a_connection_may_be_silent_so_long() -> None:
    async def check(made: Rig) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, made.server.port)
        assert await reader.read() == b""
        writer.close()

    run(check, options=DnsOptions(silence_s=0.2))


def test_a_client_whose_questions_nobody_answers_leaves_room_for_others() -> None:
    async def check(made: Rig) -> None:
        made.upstream.silent = True
        greedy = udp_from("127.0.0.2", made)
        try:
            for number in range(9):
                greedy.send(question(f"n{number}.example.org"))
            assert (await made.ask("web.default.svc.cluster.local")).answers == [(wire.A, "10.96.0.5")]
            made.upstream.silent = False
            assert (await made.ask("example.org")).answers == [(wire.A, "192.0.2.9")]
            assert len(made.upstream.asked) == 4 + 1
            made.upstream.speak()
            await settled(lambda: not made.server._tasks)
            greedy.send(question("later.example.org"))
            await settled(lambda: len(made.upstream.asked) > 5)
        finally:
            greedy.close()

    run(check, options=DnsOptions(questions_max=8, questions_per_client=4))


def test_a_client_with_many_connections_leaves_room_for_others() -> None:
    async def check(made: Rig) -> None:
        opened = [await asyncio.open_connection(LOOPBACK, made.server.port) for _ in range(3)]
        try:
            assert await opened[2][0].read() == b"", "one too many"
            asking = socket.create_connection((LOOPBACK, made.server.port), source_address=("127.0.0.2", 0))
            reader, writer = await asyncio.open_connection(sock=asking)
            message = question("web.default.svc.cluster.local")
            writer.write(len(message).to_bytes(2, "big") + message)
            assert b"\x0a\x60\x00\x05" in await reader.readuntil(b"\x0a\x60\x00\x05")
            writer.close()
        finally:
            for _, each in opened:
                each.close()

    run(check, options=DnsOptions(connections_per_client=2, connections_max=3))


def test_a_client_that_does_not_read_holds_its_connection_no_longer_than_one_that_is_silent() -> None:
    async def check(made: Rig) -> None:
        with socket.socket() as asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            asking.setblocking(False)
            await asyncio.get_running_loop().sock_connect(asking, (LOOPBACK, made.server.port))
            message = question("many.default.svc.cluster.local")
            asking.send(len(message).to_bytes(2, "big") + message)
            assert await asyncio.get_running_loop().sock_recv(asking, 1)
            (serving,) = made.server._tasks
            asking.send((len(message).to_bytes(2, "big") + message) * 1_000)
            await settled(serving.done)

    run(check, options=DnsOptions(questions_per_connection=1_000, silence_s=0.3))


async def settled(done: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


def udp_from(address: str, made: Rig) -> socket.socket:
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.setblocking(False)
    asking.bind((address, 0))
    asking.connect((LOOPBACK, made.server.port))
    return asking


def test_the_cache_is_bounded() -> None:
    async def check(made: Rig) -> None:
        for number in range(5):
            await made.ask(f"n{number}.example.org")
        assert len(made.forwarder.cache) == 3
        assert made.forwarder.cache.size_bytes <= 150
        await made.ask("n4.example.org")
        assert len(made.upstream.asked) == 5

    async def body() -> None:
        async with rig() as made:
            made.forwarder.cache._options = ForwardOptions(entries_max=3)
            await check(made)

    asyncio.run(body())


def test_resolvers_of_the_node_are_read_anew_and_never_ourselves(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = NodeResolvers(path, own=["10.96.0.10"])
    assert servers() == ()
    path.write_text("search a b\nnameserver 192.0.2.1\nnameserver 10.96.0.10\nnameserver x\n#\n", encoding="ascii")
    assert servers() == (Server("192.0.2.1", 53),)
    other = tmp_path / "other"
    other.write_text("nameserver 192.0.2.2\nnameserver ::1\n", encoding="ascii")
    other.rename(path)
    assert [each.address for each in servers()] == ["192.0.2.2", "::1"]


def test_the_systems_own_resolver_finds_services(tmp_path: Path) -> None:
    """getent of the C library, in a network namespace whose port 53 is ours, through a search list as pods have."""
    if reason := missing():
        pytest.skip(reason)
    network = Network(pods=0)
    conf = tmp_path / "resolv.conf"
    conf.write_text(
        "nameserver 127.0.0.1\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
        encoding="ascii",
    )

    async def body() -> None:
        api = FakeApi()
        for each in OBJECTS:
            api.put(each)
        client = api.client()
        async with service_informer(client) as services, slice_informer(client) as slices:
            await services.wait_for_sync()
            await slices.wait_for_sync()
            forwarder = Forwarder(list, clock=asyncio.get_running_loop().time)
            resolver = Resolver(Records(services, slices, domain="cluster.local"), forwarder)
            server = DnsServer(resolver, address=LOOPBACK, port=53, allowed=["127.0.0.0/8"])
            with network.inside(NODE):
                await server.__aenter__()
            try:
                script = f"mount --bind {conf} /etc/resolv.conf && getent ahostsv4 web && getent hosts 10.96.0.5"
                command = (*network.prefix, "unshare", "--mount", "sh", "-c", script)
                found = (await run_program(command, timeout_s=60, answer_max=10_000)).decode()
            finally:
                await server.__aexit__()
        assert "10.96.0.5" in found.splitlines()[0]
        assert found.splitlines()[-1].split() == ["10.96.0.5", "web.default.svc.cluster.local"]

    try:
        network.make()
        asyncio.run(body())
    finally:
        network.remove()
