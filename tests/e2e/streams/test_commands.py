"""exec and attach on a real containerd, by every protocol that clients speak."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from container_host import Host
from joined_agent import until
from stream_clients import Result, command_by_spdy, command_by_websocket, everything, spdy, websocket
from streaming_pod import streaming_pod

from nodeagent.runtime.interface import NotThere, RuntimeFailure
from nodeagent.streams import ExecRequest
from nodeagent.streams.connection import SpdyStream

MIB = 1024 * 1024
LARGE_MIB = 100
PROTOCOLS = ("spdy", "websocket")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def command(protocol: str, port: int, stdin: bytes | None = None) -> Result:
    if protocol == "spdy":
        return await command_by_spdy(port, stdin=stdin)
    return await command_by_websocket(port, stdin=stdin)


async def lines(stream: SpdyStream) -> AsyncGenerator[bytes, None]:
    """Several may come at once."""
    left = b""
    while data := await stream.read():
        *whole, left = (left + data).split(b"\n")
        for line in whole:
            yield line


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command_has_its_own_output_errors_and_exit_code(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with (
            streaming_pod(host) as pod,
            pod.exec("sh", "-c", "echo out; echo err >&2; exit 7", stderr=True) as port,
        ):
            found = await command(protocol, port)
            assert (found.stdout, found.stderr, found.exit_code) == (b"out\n", b"err\n", 7)
            assert found.status["reason"] == "NonZeroExitCode"

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_stdin_that_ends_ends_cat(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, pod.exec("cat", stdin=True, stderr=True) as port:
            found = await command(protocol, port, b"x\n")
            assert (found.stdout, found.exit_code) == (b"x\n", 0)

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command_that_is_not_there_says_so(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, pod.exec("nosuch", stderr=True) as port:
            found = await command(protocol, port)
            assert found.status["status"] == "Failure"
            assert 'exec: "nosuch": executable file not found in $PATH' in found.status["message"]

    run(work())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_much_goes_in_and_comes_out_whole(host: Host, protocol: str) -> None:
    """cat gives back every byte, while both directions are busy."""
    data = hashlib.shake_256(b"much").digest(MIB) * LARGE_MIB

    async def work() -> None:
        async with streaming_pod(host) as pod, pod.exec("cat", stdin=True, stderr=True) as port:
            found = await command(protocol, port, data)
            assert len(found.stdout) == len(data)
            assert found.stdout == data
            assert found.exit_code == 0

    run(work())


def test_a_terminal_has_the_size_that_its_client_says(host: Host) -> None:
    async def work() -> None:
        wait = "until [ \"$(stty size 2>/dev/null)\" = '33 100' ]; do sleep 0.05; done"
        script = f"{wait}; stty size; tty; echo err >&2; read line; echo got $line"
        async with (
            streaming_pod(host) as pod,
            pod.exec("sh", "-c", script, stdin=True, stderr=True, tty=True) as port,
        ):
            found = await command_by_spdy(port, stdin=b"typed\n", tty=True, sizes=[(80, 24), (100, 33)])
            lines = [each for each in found.stdout.replace(b"\r", b"").split(b"\n") if each]
            assert b"typed" in lines, "the terminal echoes, whenever that comes"
            lines.remove(b"typed")
            assert lines == [b"33 100", b"/dev/pts/0", b"err", b"got typed"]
            assert found.exit_code == 0

    run(work())


def test_a_terminal_by_websocket(host: Host) -> None:
    async def work() -> None:
        async with (
            streaming_pod(host) as pod,
            pod.exec("sh", stdin=True, tty=True) as port,
            websocket(port, "v5.channel.k8s.io") as socket,
        ):
            await socket.send_bytes(b"\x04" + json.dumps({"Width": 77, "Height": 11}).encode())
            await socket.send_bytes(
                b"\x00until [ \"$(stty size)\" = '11 77' ]; do sleep 0.05; done; stty size; exit 3\n"
            )
            found = [bytearray() for _ in range(5)]
            async for message in socket:
                found[message.data[0]] += message.data[1:]
            assert b"\n11 77\r\n" in found[1]
            assert Result(b"", b"", bytes(found[3])).exit_code == 3

    run(work())


def test_a_client_of_version_4_ends_nothing_but_gets_everything(host: Host) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, pod.exec("head", "-n", "1", stdin=True, stderr=True) as port:
            found = await command_by_websocket(port, stdin=b"line\n", protocol="v4.channel.k8s.io")
            assert (found.stdout, found.exit_code) == (b"line\n", 0)

    run(work())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_client_that_vanishes_ends_what_reads_from_it(host: Host, protocol: str) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod, pod.exec("cat", stdin=True) as port:
            if protocol == "spdy":
                async with spdy(port, "v4.channel.k8s.io") as client:
                    streams = [await client.open(streamtype=each) for each in ("error", "stdin", "stdout")]
                    await streams[1].write(b"x")
                    assert await streams[2].read() == b"x"
            else:
                async with websocket(port, "v5.channel.k8s.io") as socket:
                    await socket.send_bytes(b"\0x")
                    assert (await socket.receive_bytes(), await socket.receive_bytes()) == (b"\1", b"\1x")

            async def gone() -> bool:
                return "cat" not in (await pod.output("ps")).split()

            assert await until(gone, "the end of cat")

            async def closed() -> bool:
                return pod.streams.open == 0

            assert await until(closed, "the end of its stream")

    run(work())


def test_a_slow_client_slows_the_command_down(host: Host) -> None:
    """Nothing is read for a while: the command waits, as at the end of any pipe."""

    async def work() -> None:
        script = "yes | dd bs=1024 count=131072 2>/tmp/done"
        async with (
            streaming_pod(host) as pod,
            pod.exec("sh", "-c", script) as port,
            spdy(port, "v4.channel.k8s.io") as client,
        ):
            error = await client.open(streamtype="error")
            stdout = await client.open(streamtype="stdout")

            async def stands_still() -> bool:
                before = await written(pod.output)
                await asyncio.sleep(0.3)
                return 0 < before == await written(pod.output)

            assert await until(stands_still, "dd to stand still")
            assert await written(pod.output) < 64 * MIB, "the kernel's buffers, which grow, and ours"
            data = await everything(stdout)
            assert len(data) == 128 * MIB
            assert json.loads(await everything(error))["status"] == "Success"

    async def written(output: Any) -> int:
        """By dd, as the kernel counts."""
        return int(await output("sh", "-c", "awk '/wchar/ {print $2}' /proc/$(pidof dd)/io") or 0)

    run(work())


def test_attach_gives_what_the_container_says_and_takes_what_it_reads(host: Host) -> None:
    async def work() -> None:
        talk = "while :; do echo waits; sleep 0.2; done & while :; do read line && echo got $line || sleep 1; done"
        script = ["sh", "-c", talk]
        async with (
            streaming_pod(host, script, stdin=True) as pod,
            pod.attach(stdin=True, stderr=True) as port,
            spdy(port, "v4.channel.k8s.io") as client,
        ):
            error, stdin, stdout, _ = [
                await client.open(streamtype=each) for each in ("error", "stdin", "stdout", "stderr")
            ]
            async with aclosing(lines(stdout)) as said:
                assert await anext(said) == b"waits"  # a runtime passes on what comes in before what goes out
                for word in (b"one", b"two"):
                    await stdin.write(word + b"\n")
                    while (line := await anext(said)) == b"waits":
                        pass
                    assert line == b"got " + word
            await pod.runtime.stop_container(pod.container_id, grace_period_s=0)
            assert json.loads(await everything(error))["status"] == "Success"

    run(work())


def test_attach_goes_on_when_one_output_ends(host: Host) -> None:
    """containerd would let go of both."""

    async def work() -> None:
        script = "exec 2>&-; while :; do echo waits; sleep 0.2; done & read line; echo got $line"
        async with (
            streaming_pod(host, ["sh", "-c", script], stdin=True) as pod,
            pod.attach(stdin=True, stderr=True) as port,
            spdy(port, "v4.channel.k8s.io") as client,
        ):
            error, stdin, stdout, stderr = [
                await client.open(streamtype=each) for each in ("error", "stdin", "stdout", "stderr")
            ]
            assert await everything(stderr) == b""
            async with aclosing(lines(stdout)) as said:
                assert await anext(said) == b"waits"
                await stdin.write(b"this\n")
                assert [line async for line in said if line != b"waits"] == [b"got this"]
            assert json.loads(await everything(error))["status"] == "Success"
            assert await until(pod.has_ended, "the end of the container")

    run(work())


def test_a_container_that_is_not_there_is_an_answer_not_a_stream(host: Host) -> None:
    async def work() -> None:
        async with streaming_pod(host) as pod:
            with pytest.raises(NotThere):
                await pod.streaming.exec_url("0" * 64, ["ls"], stdin=False, stdout=True, stderr=True, tty=False)
            await pod.runtime.stop_container(pod.container_id, grace_period_s=0)
            with pytest.raises(RuntimeFailure, match="CONTAINER_EXITED"):
                await pod.streaming.exec_url(
                    ExecRequest(container_id=pod.container_id, command=["ls"]).container_id,
                    ["ls"],
                    stdin=False,
                    stdout=True,
                    stderr=True,
                    tty=False,
                )

    run(work())
