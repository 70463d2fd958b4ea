"""Attach: where the input of a container outlives its clients, it has a session of its own with the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bounded_run import run
from scripted_streaming import SUCCESS, Command, ScriptedRuntime, scripted_runtime
from stream_clients import command_by_spdy, command_by_websocket, everything, node_server, spdy, websocket

from nodeagent.streams import AttachRequest, Streams
from nodeagent.streams.connection import SpdyStream

PROTOCOLS = ("spdy", "websocket")


@asynccontextmanager
async def attached(command: Command, *, stdin_once: bool) -> AsyncIterator[tuple[ScriptedRuntime, int]]:
    wanted = AttachRequest(container_id="c", stdin=True, stdout=True, stderr=True, stdin_once=stdin_once)
    async with scripted_runtime() as runtime:
        runtime.command = command
        streams = Streams(runtime)
        async with node_server(lambda request: streams.attach(request, wanted)) as port:
            yield runtime, port


def test_attach_asks_for_no_command() -> None:
    async def upper(streams: dict[str, SpdyStream]) -> bytes:
        while data := await streams["stdin"].read():
            await streams["stdout"].write(data.upper())
        return SUCCESS

    async def work() -> None:
        async with attached(upper, stdin_once=True) as (runtime, port):
            found = await command_by_spdy(port, stdin=b"x")
            assert (found.stdout, found.exit_code) == (b"X", 0)
            (asked,) = runtime.asked
            assert asked == {"container_id": "c", "stdin": True, "stdout": True, "stderr": True, "tty": False}

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_last_words_of_a_container_reach_who_is_attached_to_its_input(protocol: str) -> None:
    """containerd lets go of a client's outputs with its input, and of that once the first output has ended."""
    let_go = asyncio.Event()

    async def talk(streams: dict[str, SpdyStream]) -> bytes:
        if "stdin" in streams:
            assert await streams["stdin"].read() == b"go on"
            let_go.set()
        else:
            streams["stderr"].finish()
            await let_go.wait()
            await streams["stdout"].write(b"last words")
        return SUCCESS

    async def work() -> None:
        async with attached(talk, stdin_once=False) as (_, port):
            if protocol == "spdy":
                async with spdy(port, "v4.channel.k8s.io") as client:
                    error, stdin, stdout, _ = [
                        await client.open(streamtype=each) for each in ("error", "stdin", "stdout", "stderr")
                    ]
                    await stdin.write(b"go on")
                    assert await everything(stdout) == b"last words"
                    assert await everything(error) == SUCCESS
            else:
                async with websocket(port, "v5.channel.k8s.io") as socket:
                    assert await socket.receive_bytes() == b"\x01"
                    await socket.send_bytes(b"\x00go on")
                    assert await socket.receive_bytes() == b"\x01last words"
                    assert await socket.receive_bytes() == b"\x03" + SUCCESS

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_who_ends_its_input_is_let_go_where_the_containers_stays_open(protocol: str) -> None:
    async def talk(streams: dict[str, SpdyStream]) -> bytes:
        if "stdin" in streams:
            assert await everything(streams["stdin"]) == b"said"
        else:
            await asyncio.Event().wait()
        return SUCCESS

    async def work() -> None:
        async with attached(talk, stdin_once=False) as (runtime, port):
            by = command_by_spdy if protocol == "spdy" else command_by_websocket
            found = await by(port, stdin=b"said")
            assert (found.stdout, found.stderr, found.exit_code) == (b"", b"", 0)
            while runtime.ended < 2:
                await runtime.changed.wait()

    run(work())
