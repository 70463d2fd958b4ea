"""A node whose API listens on loopback, joined to a real control plane; and who may knock at its port."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joined_agent import WITHIN_S, Joined, make_token, phase_is, pod_named
from kmini.testing.fixture import Kmini
from logging_runtime import LoggingRuntime
from ports import free_ports
from raw_http import RawAnswer, RawConnection, raw_connection

from apiserver.api.core.pod import Pod
from apiserver.auth import pki
from apiserver.client import Client
from apiserver.client.pods import bind
from nodeagent.running import NodeAgent

_numbers = itertools.count(1)


class NodeWorld:
    """`client` is the administrator's. `runtime` writes logs."""

    def __init__(self, kmini: Kmini, joined: Joined, runtime: LoggingRuntime, port: int, folder: Path) -> None:
        self.kmini = kmini
        self.name = joined.name
        self.identity = joined.identity
        self.runtime = runtime
        self.port = port
        self.client: Client
        self.node: NodeAgent
        self._folder = folder
        self._joined = joined
        self._pki = next(kmini.control_plane.folder.glob("*/pki"))

    # --- at the port --------------------------------------------------------------------------------------

    def tls(self, user: str = "admin", *groups: str, authority: pki.KeyPair | None = None) -> ssl.SSLContext:
        """As somebody with a certificate of the cluster CA, or of another; "" shows none."""
        context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        context.check_hostname = False
        if user:
            by = authority or pki.load_authority(self._pki, pki.CLUSTER_CA)
            name = f"client-{next(_numbers)}"
            pki.write_pair(self._folder, name, pki.issue_client(by, user, groups))
            context.load_cert_chain(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        return context

    async def ask(
        self, path: str, context: ssl.SSLContext, *fields: str, method: str = "GET", body: bytes = b""
    ) -> RawAnswer:
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: n", *fields, "", ""])
        return await asyncio.to_thread(_answer, self.port, context, head.encode() + body, method)

    async def ask_server(self, path: str, context: ssl.SSLContext) -> RawAnswer:
        """The API server, as whoever the certificate names."""
        port = urlsplit(next(iter(self.kmini.servers.values()))).port
        assert port is not None
        return await asyncio.to_thread(_answer, port, context, f"GET {path} HTTP/1.1\r\nHost: n\r\n\r\n".encode())

    @asynccontextmanager
    async def line(self, context: ssl.SSLContext | None = None) -> AsyncIterator[RawConnection]:
        """A connection, the administrator's unless said otherwise."""
        with ExitStack() as stack:
            opening = raw_connection(("127.0.0.1", self.port), context or self.masters())
            yield await asyncio.to_thread(stack.enter_context, opening)

    def masters(self) -> ssl.SSLContext:
        return self.tls("admin", "system:masters")

    def identity_client(self) -> Client:
        """As the node."""
        return self._joined.client()

    # --- through the API ----------------------------------------------------------------------------------

    async def pod(self, name: str, **spec: Any) -> Pod:
        """It runs here."""
        await self.client.create(pod_named(name, self.kmini.namespace, **spec))
        await bind(self.client, name, self.name)
        return await phase_is(self.client, name, "Running")


def _answer(port: int, context: ssl.SSLContext, request: bytes, method: str = "GET") -> RawAnswer:
    with raw_connection(("127.0.0.1", port), context) as connection:
        connection.send(request)
        return connection.answer(method)


@asynccontextmanager
async def node_world(kmini: Kmini, folder: Path, name: str) -> AsyncIterator[NodeWorld]:
    joined = Joined(kmini, name, folder)
    runtime = LoggingRuntime(folder / "logs", node=name)
    joined.runtime = runtime
    await joined.join(await make_token(kmini, folder))
    (port,) = free_ports(1)
    world = NodeWorld(kmini, joined, runtime, port, folder)
    async with joined.runs(port=port) as node, kmini.client as client:
        world.node, world.client = node, client
        assert node.server is not None
        async with asyncio.timeout(WITHIN_S):
            await node.server.listens.wait()
        try:
            yield world
        finally:
            with contextlib.suppress(Exception):
                await client.delete_collection(Pod)
