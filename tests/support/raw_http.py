"""HTTP by hand: exact bytes to a TLS port, and the answers one by one."""

from __future__ import annotations

import io
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from typing import Any, NamedTuple, cast

TIMEOUT_S = 60.0  # nothing here takes so long: what does, hangs


class RawAnswer(NamedTuple):
    """`headers` by name in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Shared:
    """A socket's file for several answers: what one reads too much, the next one finds."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def makefile(self, *_: object) -> Any:
        return _Unclosed(self._file)


class _Unclosed:
    """Answers close their file; the connection goes on."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        self.closed = True


class RawConnection:
    """What `raw_connection` gives."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._file = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, method: str = "GET") -> RawAnswer:
        """The next answer, whole. Raises http.client's errors when there is none."""
        response = HTTPResponse(cast(socket.socket, _Shared(self._file)), method=method)
        response.begin()
        body = response.read()
        return RawAnswer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def line(self) -> bytes:
        return self._file.readline()

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self.sock.close()


@contextmanager
def raw_connection(address: tuple[str, int], context: ssl.SSLContext | None) -> Iterator[RawConnection]:
    """`context` None: without TLS."""
    sock = socket.create_connection(address, timeout=TIMEOUT_S)
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname=address[0])
    connection = RawConnection(sock)
    try:
        yield connection
    finally:
        connection.close()
