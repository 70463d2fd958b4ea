"""A thousand watchers of one namespace, on TLS connections of their own, read by one thread.

So that the client is not what is measured, an event's time is the kernel's (SO_TIMESTAMPNS): when the last packet came
to a watcher's socket, which on loopback is when the server wrote it, however late the thread gets to read it.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import msgspec

from .api_access import Access
from .api_pods import WATCHED, pod, pods_path
from .side import WorkNotDone

_SO_TIMESTAMPNS = 35  # of Linux; Python does not name it
_TIMEOUT_S = 20.0
_READ_BYTES = 256 * 1024
_EVENT = b'{"type":"ADDED"'
_PAUSE_S = 0.02


class Event(msgspec.Struct, frozen=True):
    """Seconds from before the pod's creation was sent until ... All watchers have it in `read_s`."""

    answered_s: float  # the creation was answered
    first_s: float  # it had come to the first watcher's socket
    last_s: float  # ... to the last one's
    read_s: float  # the last watcher's was decrypted by our thread


class _Wire:
    """One TLS connection by hand: a socket for its timestamps, and memory around OpenSSL."""

    def __init__(self, access: Access, context: ssl.SSLContext) -> None:
        self.socket = socket.create_connection(("127.0.0.1", access.port), timeout=_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self.came_s = 0.0  # when the newest bytes came, in seconds of the wall clock
        self.events = 0
        self._tail = b""
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.socket.sendall(self._outgoing.read())

    def _receive(self) -> None:
        """Take what has come, and note when. Raises WorkNotDone when the server hung up."""
        data, notes, _, _ = self.socket.recvmsg(_READ_BYTES, 64)
        if not data:
            raise WorkNotDone("a watch ended")
        for level, kind, value in notes:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("qq", value)
                self.came_s = seconds + nanoseconds / 1e9
        self._incoming.write(data)

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def read(self) -> bytes:
        """What has come, decrypted; waits until something has."""
        self._receive()
        pieces = []
        try:
            while piece := self._tls.read(_READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass  # that was all
        return b"".join(pieces)

    def read_until(self, end: bytes) -> bytes:
        found = b""
        while end not in found:
            found += self.read()
        return found

    def count_events(self) -> int:
        """How many have come with what there is to read now."""
        text = self._tail + self.read()
        found = text.count(_EVENT)
        self.events += found
        self._tail = text[-len(_EVENT) + 1 :]
        return found

    def close(self) -> None:
        self.socket.close()


class Watchers:
    """Blocking, for a thread of its own. Raises WorkNotDone, OSError."""

    def __init__(self, access: Access, count: int, namespace: str = WATCHED) -> None:
        self._access = access
        self._count = count
        self._namespace = namespace
        self._stack = ExitStack()
        self._wires: list[_Wire] = []

    def __enter__(self) -> Self:
        context = ssl.create_default_context(cafile=str(self._access.authority))
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._writer = _Wire(self._access, context)
        self._stack.callback(self._writer.close)
        version = self._request("GET", f"{pods_path(self._namespace)}?limit=1")
        watch = f"{pods_path(self._namespace)}?watch=1&timeoutSeconds=600&resourceVersion={version}"
        for _ in range(self._count):
            wire = _Wire(self._access, context)
            self._stack.callback(wire.close)
            wire.send(self._head("GET", watch) + b"\r\n")
            head = wire.read_until(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise WorkNotDone(f"a watch was answered {head[:200]!r}")
            self._wires.append(wire)
            self._selector.register(wire.socket, selectors.EVENT_READ, wire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _head(self, method: str, path: str) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._access.token}\r\n"
            "Accept: application/json\r\n"
        ).encode()

    def _request(self, method: str, path: str, body: bytes = b"") -> str:
        """One request on the writer's connection; the resourceVersion of its answer."""
        fields = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
        self._writer.send(self._head(method, path) + fields + b"\r\n" + body)
        answer = self._writer.read_until(b"\r\n\r\n")
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise WorkNotDone(f"{method} {path}: {answer[:300]!r}")
        _, _, length = head.lower().partition(b"content-length: ")
        while len(rest) < int(length.split(b"\r\n", 1)[0]) if length else not rest.endswith(b"0\r\n\r\n"):
            rest += self._writer.read()
        _, _, version = rest.partition(b'"resourceVersion":"')
        return version[: version.index(b'"')].decode()

    def tell(self, name: str) -> Event:
        """Create a pod, and wait until every watcher was told."""
        wanted = self._wires[0].events + 1
        begin_s = time.time()
        self._request("POST", pods_path(self._namespace), pod(name))
        answered_s = time.time()
        missing = self._count
        end_s = time.monotonic() + _TIMEOUT_S
        while missing:
            ready = self._selector.select(_TIMEOUT_S)
            if not ready or time.monotonic() > end_s:
                raise WorkNotDone(f"{missing} of {self._count} watchers were not told within {_TIMEOUT_S:g} s")
            for key, _ in ready:
                if key.data.count_events() and key.data.events == wanted:
                    missing -= 1
        read_s = time.time()
        came = [wire.came_s for wire in self._wires]
        return Event(answered_s - begin_s, min(came) - begin_s, max(came) - begin_s, read_s - begin_s)

    def events(self, prefix: str, count: int) -> list[Event]:
        found = []
        for number in range(count):
            found.append(self.tell(f"{prefix}-{number}"))
            time.sleep(_PAUSE_S)  # the servers' turn to be done with what an event leaves behind
        return found
