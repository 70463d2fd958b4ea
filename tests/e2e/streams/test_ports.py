"""port-forward to processes in a pod, by SPDY and by SPDY in a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from container_host import Host
from port_clients import Forward, forwarding
from stream_clients import everything
from streaming_pod import StreamingPod, streaming_pod

from nodeagent.streams.interface import SandboxNetwork

KINDS = ("spdy", "websocket")
#: Reads until its client has said all, then takes longer than the runtime would wait, then answers.
SLOW = ["nc", "-ll", "-p", "9000", "-e", "sh", "-c", "n=$(wc -c); sleep 2; echo had $n"]
#: Says something at once, then says nothing more but goes on to read.
FIRST = ["nc", "-ll", "-p", "9000", "-e", "sh", "-c", "echo hello; cat > /tmp/had"]
LOOPBACK = ["httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/www"]
GET = b"GET / HTTP/1.0\r\n\r\n"


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@asynccontextmanager
async def listening(pod: StreamingPod, port: int) -> AsyncIterator[None]:
    """Once somebody listens there."""
    hexadecimal = f":{port:04X} "
    async with asyncio.timeout(60):
        while hexadecimal not in await pod.output("cat", "/proc/net/tcp", "/proc/net/tcp6"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    yield


async def ask(client: Forward, port: int, request: bytes, *, ends: bool = True) -> bytes:
    """Say it all, then hear it all. `ends`: say that it is all."""
    error, data = await client.connection(port)
    await data.write(request)
    if ends:
        data.finish()
    answer = await everything(data)
    data.finish()
    assert await everything(error) == b""
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_in_a_pod_is_reached(host: Host, kind: str) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, listening(pod, 8080), forwarding(pod, kind) as client:
            assert (await ask(client, 8080, GET)).endswith(b"\r\n\r\np\n")

    run(work())


def test_a_server_on_the_pods_loopback_is_reached(host: Host) -> None:
    """Which no other pod and no node could, by the pod's address."""

    async def work() -> None:
        async with streaming_pod(host, LOOPBACK) as pod, listening(pod, 8080), forwarding(pod, "spdy") as client:
            assert (await ask(client, 8080, GET)).startswith(b"HTTP/1.1 200")

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_hears_an_end_and_may_take_its_time_to_answer(host: Host, kind: str) -> None:
    async def work() -> None:
        async with streaming_pod(host, SLOW) as pod, listening(pod, 9000), forwarding(pod, kind) as client:
            assert await ask(client, 9000, bytes(100_000)) == b"had 100000\n"

    run(work())


def test_many_connections_at_once(host: Host) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, listening(pod, 8080), forwarding(pod, "spdy") as client:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(client, 8080, GET, ends=False)) for _ in range(50)]
            answers = {each.result()[-6:] for each in asked}
            assert answers == {b"\r\n\r\np\n"}

    run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_nobody_listens_on_is_said_and_harms_no_other(host: Host, kind: str) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, listening(pod, 8080), forwarding(pod, kind) as client:
            error, data = await client.connection(1)
            assert await everything(data) == b""
            assert b"localhost:1 " in (said := await everything(error))
            assert said.endswith(b"Connection refused")
            data.finish()
            assert (await ask(client, 8080, GET)).endswith(b"p\n")

    run(work())


def test_a_pod_in_the_nodes_network_is_the_node(host: Host) -> None:
    """And either side may end first."""

    async def work() -> None:
        heard = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"all I say\n")
            writer.write_eof()
            assert await reader.read() == b"all they say\n"
            heard.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            server,
            streaming_pod(host, ["sleep", "1000"], host_network=True) as pod,
            forwarding(pod, "spdy") as client,
        ):
            assert (await pod.streaming.sandbox_network(pod.sandbox_id)).is_node
            _, data = await client.connection(port)
            assert await everything(data) == b"all I say\n"
            await data.write(b"all they say\n")
            data.finish()
            async with asyncio.timeout(60):
                await heard.wait()

    run(work())


def test_a_process_that_breaks_off_breaks_the_clients_connection(host: Host) -> None:
    async def work() -> None:
        async with (
            streaming_pod(host, FIRST) as pod,
            listening(pod, 9000),
            forwarding(pod, "spdy") as client,
        ):
            error, data = await client.connection(9000)
            assert await data.read() == b"hello\n"
            await pod.runtime.stop_container(pod.container_id, grace_period_s=0)
            assert await everything(data) == b""
            data.finish()
            assert await everything(error) == b"", "a word here would end all connections of newer clients"

    run(work())


def test_where_the_namespace_cannot_be_seen_the_runtime_forwards(host: Host) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, listening(pod, 8080):

            async def hidden(sandbox_id: str) -> SandboxNetwork:
                return SandboxNetwork(is_node=False, namespace="/nowhere")

            pod.streaming.sandbox_network = hidden  # type: ignore[method-assign]  # in place of its own
            async with forwarding(pod, "spdy") as client:
                _, data = await client.connection(8080)
                await data.write(GET)
                assert (await everything(data)).endswith(b"p\n")
                error, data = await client.connection(1)
                assert await everything(data) == b""
                assert b"connection refused" in await everything(error)

    run(work())
