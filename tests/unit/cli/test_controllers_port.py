"""The port of controllers that run by themselves: what is answered, and that nobody can keep others out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kmini import controllers_port
from kmini.controllers_port import Port
from msgspec.structs import replace

from apiserver.listening import listener

WITHIN_S = 60.0
LONG_S = 10 * WITHIN_S
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def run(story: Callable[[int], Awaitable[None]]) -> None:
    async def main() -> None:
        manager: Any = SimpleNamespace(leads=False)
        unasked: Any = None
        async with asyncio.timeout(WITHIN_S), Port(manager, unasked, "one").serve("127.0.0.1", 0) as port:
            await story(port)

    asyncio.run(main())


async def dial(port: int) -> Line:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def ask(line: Line, request: str) -> str:
    """All that is answered, up to the end of the connection."""
    reader, writer = line
    writer.write(f"{request} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_line", "status", "text"),
    [
        ("GET /livez", "200 OK", "ok"),
        ("GET /readyz", "200 OK", "ok: another process leads"),
        ("GET /metrics", "401 Unauthorized", "a bearer token is needed"),
        ("POST /livez", "405 Method Not Allowed", "405: Method Not Allowed"),
        ("GET /other", "404 Not Found", "/livez, /healthz, /readyz, /metrics are answered here"),
        ("(", "400 Bad Request", "the request is not valid HTTP"),
    ],
)
def test_it_answers(request_line: str, status: str, text: str) -> None:
    async def story(port: int) -> None:
        answer = await ask(await dial(port), request_line)
        assert answer.partition("\r\n")[0].endswith(f" {status}")
        assert answer.endswith(f"\r\n\r\n{text}")

    run(story)


def test_silent_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controllers_port, "HANDSHAKES_MAX", 2)
    monkeypatch.setattr(listener, "HANDSHAKE_TIMEOUT_S", LONG_S)
    limits = replace(controllers_port.LIMITS, connections=2, strangers=2, head_timeout_s=LONG_S)
    monkeypatch.setattr(controllers_port, "LIMITS", limits)

    async def story(port: int) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await silent[0][0].read() == b"", "the third handshake takes the place of the first"
        idle = [await dial(port) for _ in range(2)]
        answer = await ask(await dial(port), "GET /livez")
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert await idle[0][0].read() == b"", "who came next takes the place of the first"
        for _, writer in (*silent, *idle):
            writer.close()

    run(story)
