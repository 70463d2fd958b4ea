"""Connections to what listens on a pod's loopback.

A socket belongs to the network namespace of the thread that makes it. So a thread of its own enters the pod's, makes
the socket, and ends; the connection is then made like any other. We do not ask the runtime to forward: containerd
never tells the process that its client has sent everything, and gives it one second to answer after that.
Where the namespace cannot be seen (an agent in a container without the runtime's files) the runtime has to do it.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import socket
import threading

from .wires import BareWire

DIAL_WITHIN_S = 10.0
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_CLONE_NEWNET = 0x40000000


class NamespaceHidden(Exception):
    """The namespace cannot be entered from here."""


async def connect(namespace: str, port: int) -> BareWire:
    """To a port on the loopback of a network: IPv4, else IPv6. "" is the node's own network.

    Raises OSError, NamespaceHidden."""
    failure: OSError = ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    for family, address in LOOPBACKS:
        try:
            return await _connect(namespace, family, address, port)
        except OSError as error:
            if family == socket.AF_INET:
                failure = error
    raise failure


async def _connect(namespace: str, family: int, address: str, port: int) -> BareWire:
    made = await socket_in(namespace, family) if namespace else socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        try:
            async with asyncio.timeout(DIAL_WITHIN_S):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as asyncio's connections
        return BareWire(made)
    except BaseException:
        made.close()
        raise


async def socket_in(namespace: str, family: int) -> socket.socket:
    """A socket of this namespace. Raises OSError, NamespaceHidden."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[socket.socket] = loop.create_future()

    def give(found: socket.socket | Exception) -> None:
        if made.cancelled():
            _throw_away(found)
        elif isinstance(found, Exception):
            made.set_exception(found)
        else:
            made.set_result(found)

    def work() -> None:
        found: socket.socket | Exception
        try:
            _enter(namespace)
            found = socket.socket(family, socket.SOCK_STREAM)
        except (OSError, NamespaceHidden) as error:
            found = error
        try:
            loop.call_soon_threadsafe(give, found)
        except RuntimeError:  # the loop is closed: nobody wants it any more
            _throw_away(found)

    threading.Thread(target=work, name="pod network", daemon=True).start()
    try:
        return await made
    except asyncio.CancelledError:
        if made.done() and not made.cancelled():  # it came in the very turn in which we were cancelled
            _throw_away(made.exception() or made.result())
        raise


def _throw_away(found: socket.socket | BaseException) -> None:
    if isinstance(found, socket.socket):
        found.close()


def _enter(namespace: str) -> None:
    """This thread, for the rest of its life."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NamespaceHidden(f"network namespace {namespace} cannot be entered: {error.strerror}") from error
