"""A client of exec or attach that speaks WebSocket. Version 5 can end stdin before the command, version 4 cannot."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from .channels import Name, Sink, Source
from .signals import Activity
from .websocket_channels import Channels, Inward, Outward

V5 = "v5.channel.k8s.io"
PROTOCOLS = (V5, "v4.channel.k8s.io")
_NUMBERS = {Name.STDIN: 0, Name.STDOUT: 1, Name.STDERR: 2, Name.ERROR: 3, Name.RESIZE: 4}


class WebSocketClient:
    """`wanted`: what the request asked for."""

    def __init__(
        self, socket: web.WebSocketResponse, protocol: str, wanted: frozenset[Name], activity: Activity
    ) -> None:
        self._inward = {name: Inward() for name in Name if name in wanted & {Name.STDIN, Name.RESIZE}}
        self._outward = {
            name: Outward(socket, _NUMBERS[name]) for name in Name if name in wanted & {Name.STDOUT, Name.STDERR}
        }
        self._error = Outward(socket, _NUMBERS[Name.ERROR])
        inward = {_NUMBERS[name]: each for name, each in self._inward.items()}
        self._channels = Channels(socket, inward, activity, can_end=protocol == V5)

    @property
    def sources(self) -> Mapping[Name, Source]:
        return self._inward

    @property
    def sinks(self) -> Mapping[Name, Sink]:
        return self._outward

    async def run(self) -> None:
        await self._channels.run()

    async def opened(self) -> bool:
        """All there is at once. Says so by an empty message, as Kubernetes does."""
        first = next(iter(self._outward.values()), self._error)
        try:
            await first.write(b"")
        except OSError:
            return False
        return True

    async def end(self, status: bytes) -> None:
        await self._error.write(status)

    async def close(self) -> None:
        await self._channels.close()
