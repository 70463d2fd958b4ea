"""Sockets for connections that aiohttp makes, on any event loop.

When a peer resets a connection in the very turn of the loop in which it was made, uvloop closes the descriptor and
leaves the socket object with its number. Whatever has that number next, another connection or a file, would be closed
in its stead. So a socket here knows what it opened, and lets go of a number that stands for something else.
"""

from __future__ import annotations

import os
import socket
from typing import Any


class OwnedSocket(socket.socket):
    """Closes nothing but what it opened itself."""

    __slots__ = ("_inode",)

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._inode = os.fstat(self.fileno()).st_ino

    @property
    def is_open(self) -> bool:
        """False once somebody else closed it; then it also forgets the number."""
        if self.fileno() < 0:
            return False
        try:
            if os.fstat(self.fileno()).st_ino == self._inode:
                return True
        except OSError:
            pass  # nothing has the number now
        self.detach()
        return False

    def close(self) -> None:
        if self.is_open:
            super().close()

    def __del__(self) -> None:
        if self.is_open:
            super().__del__()  # type: ignore[misc]  # warns, and closes


def make_socket(address: Any) -> OwnedSocket:
    """What aiohttp's TCPConnector takes as `socket_factory`."""
    family, kind, protocol, _, _ = address
    made = OwnedSocket(family, kind, protocol)
    made.setblocking(False)
    return made
