"""What only kmini has, under /kmini/v1/: who may not ask is told so before a byte of the body is waited for."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from kmini.dev.control_plane import ControlPlane

TIMEOUT_S = 20.0  # far below what a body may take


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        yield running


@pytest.mark.parametrize("path", ["join", "node", "keys", "keys/ring", "keys/look"])
def test_a_strangers_body_is_not_read(plane: ControlPlane, path: str) -> None:
    address = urlsplit(plane.servers[plane.names[0]])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert address.hostname is not None
    assert address.port is not None
    with (
        socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(f"POST /kmini/v1/{path} HTTP/1.1\r\nHost: api\r\nContent-Length: 3000000\r\n\r\n{{".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 403 ")
