"""The other side of the API server's wire: something that listens as a node's agent, and does what a test says.

TLS, certificates and sockets are real; each connection gets a thread, which reads one request's head and calls the
test's function with the connection.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from apiserver.auth import pki

TIMEOUT_S = 60.0


class Asked(NamedTuple):
    """`headers` by name in lower case; `user` is the CN of the client's certificate, "" without one."""

    method: str
    path: str
    headers: dict[str, str]
    user: str


class Line:
    """A connection, with what was read beyond the head."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._left = bytearray()

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self._left:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionError("no head")
            self._left += data
        head, _, rest = bytes(self._left).partition(b"\r\n\r\n")
        self._left = bytearray(rest)
        return head

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self, count: int) -> bytes:
        """So many bytes, fewer at the end, which may also be a reset: what was still on its way to who closed."""
        while len(self._left) < count:
            try:
                data = self._sock.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            self._left += data
        found = bytes(self._left[:count])
        del self._left[:count]
        return found

    def wait_for_end(self) -> None:
        """Say nothing until the other side ends."""
        self.rest()

    def rest(self) -> bytes:
        """Everything until the other side ends."""
        return self.read(1 << 40)


Serve = Callable[[Asked, Line], None]


class Agent:
    """`port` is where it listens; `asked` what it was asked."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.serve: Serve = lambda asked, line: line.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        self.asked: list[Asked] = []
        self.errors: list[Exception] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="agent")
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._work, args=(sock,), name="agent connection")
            self._threads.append(thread)
            thread.start()

    def _work(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT_S)
        user = ""
        if self._context is not None:
            try:
                sock = self._context.wrap_socket(sock, server_side=True)
            except OSError:  # a client that does not like us
                sock.close()
                return
        try:
            if isinstance(sock, ssl.SSLSocket):
                subject: Any = (sock.getpeercert() or {}).get("subject", ())
                user = next((str(value) for names in subject for name, value in names if name == "commonName"), "")
            line = Line(sock)
            try:
                whole = line.head()
            except ConnectionError:  # a server whose patience was over before it had asked
                return
            first, *fields = whole.decode().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            asked = Asked(method, path, headers, user)
            self.asked.append(asked)
            self.serve(asked, line)
        except Exception as error:  # a test looks at them
            self.errors.append(error)
        finally:
            if isinstance(sock, ssl.SSLSocket):
                with suppress(OSError, ValueError):
                    sock.unwrap()
            sock.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()


@contextmanager
def node_agent(pki_dir: Path, node_name: str, folder: Path) -> Iterator[Agent]:
    """An agent whose certificate says `node_name`, and who wants to see one of the cluster's clients."""
    authority = pki.load_authority(pki_dir, pki.CLUSTER_CA)
    pki.write_pair(folder, "agent", pki.issue_serving(authority, [node_name]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "agent.crt", folder / "agent.key")
    context.load_verify_locations(pki_dir / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with _closing(Agent(context)) as agent:
        yield agent


@contextmanager
def plain_place() -> Iterator[Agent]:
    """The same without TLS: what a pod serves."""
    with _closing(Agent(None)) as agent:
        yield agent


@contextmanager
def _closing(agent: Agent) -> Iterator[Agent]:
    try:
        yield agent
    finally:
        agent.close()
