"""Commands in containers: exec and attach over a WebSocket (`v5.channel.k8s.io`).

The first byte of a message is its channel: stdin, stdout, stderr, the status at the end, the size of the terminal; v5
adds a word that ends stdin while output goes on. What must hold: output is written in its order and whole, and who
takes it slowly slows the container down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.errors import ApiError
from apiserver.api.kinds import Kind
from apiserver.client.requests import path_of
from apiserver.client.transport import TransportError

from ..failures import CommandError
from .websocket import WebSocket, connect

if TYPE_CHECKING:
    from .session import Session

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS, RESIZE, END = 0, 1, 2, 3, 4, 255
Write = Callable[[bytes], None]


class Streams(msgspec.Struct, kw_only=True):
    """What goes in and out. `stdin` None: nothing goes in; `sizes` are those of a terminal."""

    stdin: AsyncIterator[bytes] | None = None
    stdout: Write
    stderr: Write
    tty: bool = False
    sizes: AsyncIterator[tuple[int, int]] | None = None


async def run(session: Session, pod: str, namespace: str, container: str, command: list[str], streams: Streams) -> int:
    """The command's exit code. Raises CommandError when it could not be run."""
    query = [("command", word) for word in command]
    return await _run(session, pod, namespace, container, "exec", query, streams)


async def attach(session: Session, pod: str, namespace: str, container: str, streams: Streams) -> int:
    """Until the container ends, or the connection."""
    return await _run(session, pod, namespace, container, "attach", [], streams)


async def _run(
    session: Session,
    pod: str,
    namespace: str,
    container: str,
    subresource: str,
    query: list[tuple[str, str]],
    streams: Streams,
) -> int:
    wanted = {
        "stdin": streams.stdin is not None,
        "stdout": True,
        "stderr": not streams.tty,
        "tty": streams.tty,
    }
    query += [("container", container), *((name, "true") for name, given in wanted.items() if given)]
    path = path_of(Kind("Pod", "", "v1", "pods"), namespace, pod, subresource)
    try:
        socket = await connect(session.api.client, path, tuple(query), (V5, V4))
    except (ApiError, TransportError) as error:
        raise CommandError(f"unable to upgrade connection: {error}") from None
    try:
        return await _joined(socket, streams)
    except TransportError as error:
        raise CommandError(str(error)) from None
    finally:
        socket.abort()


async def _joined(socket: WebSocket, streams: Streams) -> int:
    """Output is what ends it; what still goes in then is of no use. Raises what went wrong, not a group of it."""
    try:
        async with asyncio.TaskGroup() as group:
            inward = [group.create_task(_send(socket, streams.stdin))] if streams.stdin is not None else []
            if streams.sizes is not None:
                inward.append(group.create_task(_resize(socket, streams.sizes)))
            try:
                return await _receive(socket, streams)
            finally:
                for each in inward:
                    each.cancel()
    except ExceptionGroup as several:
        raise several.exceptions[0] from None


async def _send(socket: WebSocket, stdin: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in stdin:
            await socket.send(bytes([STDIN]) + chunk)
        if socket.protocol == V5:
            await socket.send(bytes([END, STDIN]))
    except OSError:
        return  # whoever is gone takes nothing more; what it said last is still read


async def _resize(socket: WebSocket, sizes: AsyncIterator[tuple[int, int]]) -> None:
    try:
        async for width, height in sizes:
            await socket.send(bytes([RESIZE]) + msgspec.json.encode({"Width": width, "Height": height}))
    except OSError:
        return


async def _receive(socket: WebSocket, streams: Streams) -> int:
    status = b""
    while (message := await socket.receive()) is not None:
        channel, data = message[0] if message else -1, message[1:]
        if channel == STDOUT:
            streams.stdout(data)
        elif channel == STDERR:
            streams.stderr(data)
        elif channel == STATUS:
            status += data
    return exit_code(status)


def exit_code(status: bytes) -> int:
    """Of the Status at the end. Raises CommandError for a failure that is no exit code."""
    if not status:
        raise CommandError("the connection ended before the command did")
    try:
        found = msgspec.json.decode(status, type=dict[str, Any])
    except msgspec.DecodeError:
        raise CommandError(status.decode("utf-8", "replace")[:1000]) from None
    if found.get("status") == "Success":
        return 0
    for cause in (found.get("details") or {}).get("causes") or []:
        text = str(cause.get("message", ""))
        if cause.get("reason") == "ExitCode" and text.isdigit():
            return int(text)
    raise CommandError(str(found.get("message") or "the command failed"))
