"""The node's API, wired: its certificate, its port, what it answers with.

The certificate is for the node's name alone: servers check an agent by that, whatever its address (docs/contract.md).
A port that is taken is no reason for a node to run nothing: it is said, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from apiserver.client import Client
from nodeagent.errors import AgentError, BadIdentity
from nodeagent.identity import SERVING, Identity
from nodeagent.renewal import Renewal

from .listener import Listener, server_context, take_certificate
from .sources import Sources

if TYPE_CHECKING:
    from apiserver.listening.connection import Connections

AGAIN_S = 10.0

log = logging.getLogger(__name__)


class NodeServer:
    """`run` until it is cancelled. The certificate goes to the sources' folder, where the cluster's CA is. `host` None:
    at every address."""

    def __init__(self, client: Client, sources: Sources, port: int, *, host: str | None = None) -> None:
        self._identity = Identity(sources.folder, sources.node, SERVING)
        self._sources = sources
        self._host = host
        self._port = port
        self._renewal = Renewal(client, self._identity, wall=sources.wall, changed=self._take_certificate)
        self._tls: ssl.SSLContext | None = None
        self._certified = asyncio.Event()
        self._closing: list[Callable[[], None]] = []
        self.listener = Listener(self._load)
        self.listens = asyncio.Event()

    async def run(self) -> None:
        await self._begin_certificate()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renewal.run())
                group.create_task(self._listen())
        finally:
            await self.listener.close()
            for close in self._closing:
                close()

    # --- certificate --------------------------------------------------------------------------------------

    async def _begin_certificate(self) -> None:
        """The one of before, if there is one; what makes no sense is made anew, what cannot be looked at now is looked
        at again."""
        while True:
            try:
                if await self._identity.validity() is not None:
                    self._take_certificate()
                return
            except BadIdentity as error:
                log.warning("the certificate of the node's port is asked for anew", extra={"reason": str(error)})
                with suppress(OSError):
                    self._identity.pair_file.unlink()
                return
            except AgentError as error:
                log.warning("the certificate of the node's port cannot be read", extra={"reason": str(error)})
            await asyncio.sleep(AGAIN_S)

    def _take_certificate(self) -> None:
        """Raises BadIdentity."""
        if self._tls is None:
            self._tls = server_context(self._identity.authority_file, self._identity.pair_file)
        else:
            take_certificate(self._tls, self._identity.pair_file)
        self._certified.set()

    # --- port ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        await self._certified.wait()
        assert self._tls is not None
        said = False
        while not self.listens.is_set():
            try:
                self.listener.open(self._host, self._port, self._tls)
                self.listens.set()
            except OSError as error:
                fields = {"port": self._port, "error": error.strerror or str(error)}
                if not said:
                    log.error("the node's API cannot listen: no logs, exec or stats until it can", extra=fields)
                said = True
                await asyncio.sleep(AGAIN_S)
        log.info("the node's API listens", extra={"port": self.listener.port})
        await asyncio.Event().wait()

    def _load(self) -> Callable[[], Connections]:
        """In a thread: what takes long is to import."""
        from apiserver.listening.connection import Connections

        from .api import NodeApi
        from .connection import LIMITS, NodeConnection
        from .routes import make_routes

        def begin() -> Connections:
            routes, close = make_routes(self._sources)
            self._closing.append(close)
            return Connections(NodeApi(routes, wall=self._sources.wall), NodeConnection, LIMITS)

        return begin
