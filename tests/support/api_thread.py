"""A real API server on a thread of its own, for tests that are plain functions: tables and properties.

with api_on_thread(folder) as api:
    api.json("GET", "/api/v1/namespaces").code
    api.raw(b"GET / HTTP/1.1\\r\\n\\r\\n")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from api_server import ADMIN, TIMEOUT_S, Answered, RunningApi, api_server

T = TypeVar("T")
ANSWER_BYTES_MAX = 8 * 1024 * 1024


class RawAnswer(NamedTuple):
    """What came back for bytes that were sent: `code` 0 when the server said nothing and closed."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def status(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class ThreadedApi:
    """What a test asks; every call blocks until its answer is there."""

    def __init__(self, api: RunningApi, loop: asyncio.AbstractEventLoop) -> None:
        self.api = api
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """A coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(TIMEOUT_S)

    def json(self, method: str, path: str, body: Any = None, **more: Any) -> Answered:
        """As `RunningApi.json`."""
        return self.run(self.api.json(method, path, body, **more))

    def create(self, path: str, body: Any) -> Any:
        return self.run(self.api.create(path, body))

    def raw(self, request: bytes, *, user: str = ADMIN) -> RawAnswer:
        """Bytes over a connection of their own. They must make the server close it (`Connection: close`)."""
        with (
            socket.create_connection((self.api.host, self.api.port), timeout=TIMEOUT_S) as plain,
            self.api.tls(user).wrap_socket(plain, server_hostname=self.api.host) as connection,
        ):
            with contextlib.suppress(OSError):  # it may answer before it took everything, and close
                connection.sendall(request)
            return _answer(connection)


def _answer(connection: socket.socket) -> RawAnswer:
    """The first answer, up to the length that it names or to the end."""
    received = b""
    while len(received) < ANSWER_BYTES_MAX:
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        if end and length is not None and len(body) >= int(length[1]):
            break
        try:
            part = connection.recv(64 * 1024)
        except OSError:
            break
        if not part:
            break
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    code = int(first.split(" ")[1]) if first else 0
    return RawAnswer(code, {name.strip().lower(): value.strip() for name, _, value in fields}, body)


@contextmanager
def api_on_thread(folder: Path, **options: Any) -> Iterator[ThreadedApi]:
    """A server that is ready. `options` are fields of ApiOptions."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api server")
    thread.start()
    try:
        server = api_server(folder, **options)
        api = asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(TIMEOUT_S)
        try:
            yield ThreadedApi(api, loop)
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
