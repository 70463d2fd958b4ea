"""A TLS port: connections are accepted, and handed on once they shook hands.

Whoever has a route to the port may begin a handshake, and each costs memory and a descriptor for as long as it takes.
So a bounded number goes on at a time, and who comes then takes the place of the one that has taken longest: those who
are silent lose theirs, however many they are.

One connection is accepted in a turn of the event loop, in which every handshake that can go on does: honest clients
that come all at once, as after the end of another server, take places only while they themselves are slow. The bound
is there for those who never end, so a slow one has time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

HANDSHAKE_TIMEOUT_S = 30.0
SHUTDOWN_TIMEOUT_S = 5.0  # for what is buffered when a connection is closed, and for the other side to say so too
ACCEPT_AGAIN_S = 1.0  # when there are no descriptors left
BACKLOG = 1024

log = logging.getLogger(__name__)


class TlsListener:
    """`protocol` makes what handles a connection. `open`, and `close` in the end."""

    def __init__(self, protocol: Callable[[], asyncio.Protocol], *, handshakes_max: int) -> None:
        self._protocol = protocol
        self.handshakes_max = handshakes_max
        self._tls: ssl.SSLContext | None = None
        self._listening: socket.socket | None = None
        self._again: asyncio.TimerHandle | None = None
        self._shaking: dict[socket.socket, asyncio.Task[None]] = {}  # in the order in which they came
        self._leaving: set[asyncio.Task[None]] = set()  # those that had to make room
        self.port = 0

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._shaking)

    def open(self, host: str | None, port: int, tls: ssl.SSLContext) -> None:
        """`host` None: at every address; port 0 takes a free one. Raises OSError when the port is taken."""
        dual = host is None and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual or ":" in (host or "") else socket.AF_INET
        self._listening = socket.create_server((host or "", port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
        self._listening.setblocking(False)
        self._tls = tls
        self.port = self._listening.getsockname()[1]
        self._listen(self._listening)

    async def close(self) -> None:
        """Nobody gets in any more; who is in stays."""
        if self._again is not None:
            self._again.cancel()
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
        await asyncio.sleep(0)  # every handshake has begun: one that is cancelled before that closes no connection
        tasks = [*self._shaking.values(), *self._leaving]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listening is not None:
            self._listening.close()

    def _listen(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Not by a coroutine, which loses whoever comes in the moment in which it is cancelled."""
        try:
            made, _ = listening.accept()
        except BlockingIOError:  # it went away
            return
        except Exception as error:  # whatever it is, a port that stays shut is worse
            fields = {"port": self.port, "error": getattr(error, "strerror", None) or str(error)}
            log.warning("connections cannot be accepted", extra=fields)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            self._again = loop.call_later(ACCEPT_AGAIN_S, self._listen, listening)
            return
        made.setblocking(False)
        if len(self._shaking) >= self.handshakes_max:
            self._make_room()
        self._shaking[made] = asyncio.create_task(self._shake_hands(made), name="a handshake")

    def _make_room(self) -> None:
        oldest = next(iter(self._shaking))
        leaving = self._shaking.pop(oldest)
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)  # its handshake sees the end

    async def _shake_hands(self, made: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                made,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            log.debug("a handshake failed", extra={"error": str(error)})
        finally:
            self._shaking.pop(made, None)
