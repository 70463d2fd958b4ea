"""The API server within a replica's process: its port, its server, and the paths only kmini has, under /kmini/v1/.

The port opens before the store, so that a server that waits for its peers can be probed; it serves once the store is
open. Joining, tokens and the key ring's rotation are answered here because they need the data directory; each of them
decides by itself who may ask.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from apiserver.api.errors import AlreadyExists, MethodNotAllowed, ServiceUnavailable, Timeout
from apiserver.auth import joining, keyring, pki, ring_keeper
from apiserver.auth.joining import PATH_CA, PATH_JOIN, PATH_NODE
from apiserver.auth.ring_keeper import RingKeeper
from apiserver.auth.user import User
from apiserver.encryption import Encryption
from apiserver.http.frontend import read_body
from apiserver.http.health import Observed
from apiserver.http.port import ApiPort
from apiserver.http.responses import Reply, response
from apiserver.live import SYSTEM
from apiserver.reencryption import Progress, reencrypt
from apiserver.server import ApiOptions, ApiServer
from apiserver.storage import prefix_of
from apiserver.verbs.call import Call
from raftstore import Store

from . import tokens
from .layout import Layout
from .replica_calls import ReplicaCalls, replica_context

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python does not name.
NO_CHECK_TIME = 0x200000
JSON = "application/json"
PEM = "application/x-pem-file"
KEYS_TIMEOUT_S = 3.0
TOKEN_PAUSE_S = 0.5

log = logging.getLogger("kmini.server")


def server_context(certificate: Path, key: Path, client_authority: Path) -> ssl.SSLContext:
    """TLS for the API's port; a client may show a certificate, and one of another authority ends the handshake.

    Whether a certificate is valid now is looked at by `CertificateUsers`, which can say so in plain words.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    context.set_alpn_protocols(["http/1.1"])
    return context


class ApiFace:
    """`context` and `replica_context` are live: renewed certificates are loaded into them (rotating.py)."""

    def __init__(self, layout: Layout, options: ApiOptions, bind: str, observed: Observed) -> None:
        folder = layout.pki
        self.context = server_context(folder / "server.crt", folder / "server.key", folder / "ca.crt")
        self.replica_context = replica_context(folder)
        self.port = ApiPort(bind, options.port, self.context, observed, options.version)
        self.server: ApiServer | None = None
        self._layout = layout
        self._options = options
        self._encryption = Encryption.with_ring(keyring.load(folder / keyring.FILE_NAME))
        self._keeper: RingKeeper | None = None

    @asynccontextmanager
    async def serve(self, store: Store) -> AsyncIterator[ApiServer]:
        """The API of an open store, as long as this is entered."""
        calls = ReplicaCalls(self.replica_context)
        server = self.server = ApiServer(store, self._options, self.port, self._encryption)
        keeper = self._keeper = RingKeeper(
            name=self._options.name,
            path=self._layout.pki / keyring.FILE_NAME,
            encryption=self._encryption,
            others=_Others(server, store, calls, self._options.name),
            reencrypt=lambda: self._reencrypt(server),
        )
        server.special["kmini"] = _OwnPaths(self._layout, server, keeper).answer
        async with server:
            keeping = asyncio.create_task(keeper.run(), name="key ring")
            try:
                yield server
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await calls.close()

    async def _reencrypt(self, server: ApiServer) -> Progress:
        prefixes = [prefix_of(row) for row in server.table.rows if row.encrypted and not row.stored_as]
        return await reencrypt(server.store, self._encryption, prefixes)

    async def take_newest_keys(self) -> None:
        """What the other replicas rotated while this one was away; a few seconds at most."""
        assert self._keeper is not None, "keys are asked for once the API serves"
        try:
            async with asyncio.timeout(KEYS_TIMEOUT_S):
                await self._keeper.look()
        except TimeoutError:
            log.warning("other replicas did not say in time whether they have newer encryption keys")

    async def make_tokens(self) -> None:
        """DIR/token and DIR/server-token, at a first start. Waits for a leader. Raises ApiError, OSError."""
        server = self.server
        assert server is not None, "tokens are Secrets: they are made once the API serves"
        secrets = server.table.of_key("secrets")

        async def create(secret: dict[str, Any]) -> None:
            namespace = secret["metadata"]["namespace"]
            while True:
                call = Call(user=SYSTEM, resource=secrets, stored=secrets, verb="create", namespace=namespace)
                call.body = msgspec.json.encode(secret)
                try:
                    await server.writer.create(call)
                except AlreadyExists:
                    return  # it was written, and nobody said so; its name is of chance, so it is ours
                except (ServiceUnavailable, Timeout) as error:
                    log.info("a token waits for a leader", extra={"reason": error.message})
                    await asyncio.sleep(TOKEN_PAUSE_S)
                else:
                    return

        await tokens.ensure_files(self._layout, create)


class _Others:
    """The other replicas, for the key ring's keeper."""

    def __init__(self, server: ApiServer, store: Store, calls: ReplicaCalls, name: str) -> None:
        self._server = server
        self._store = store
        self._name = name
        self.ask = calls.ask

    def members(self) -> Sequence[str]:
        return [member.name for member in self._store.status().configuration.members]

    async def addresses(self) -> Mapping[str, str]:
        await self._store.linearize()
        return {name: address for name, address in self._server.live.addresses().items() if name != self._name}


class _OwnPaths:
    """/kmini/v1/..."""

    def __init__(self, layout: Layout, server: ApiServer, keeper: RingKeeper) -> None:
        self._layout = layout
        self._server = server
        self._keeper = keeper

    async def answer(
        self, request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], user: User
    ) -> Reply | None:
        """None: there is no such path. Raises ApiError."""
        path = "/" + "/".join(segments)
        if path == PATH_CA:
            return response(await asyncio.to_thread((self._layout.pki / "ca.crt").read_bytes), PEM)
        if path in (ring_keeper.PATH_KEYS, ring_keeper.PATH_RING, ring_keeper.PATH_LOOK):
            ring_keeper.check_caller(user)  # before its body is read
            return response(await self._keeper.answer(request.method, path, user, await read_body(request)), JSON)
        if path not in (PATH_JOIN, PATH_NODE):
            return None
        if request.method != "POST":
            raise MethodNotAllowed(f"{path} takes a POST")
        joining.check_role(user, "server" if path == PATH_JOIN else "agent")  # before its body is read
        body = await read_body(request)
        if path == PATH_JOIN:
            return response(await self._join(body, user), JSON)
        return response(await self._admit_node(body, user), JSON)

    async def _join(self, body: bytes, user: User) -> bytes:
        configuration = self._server.store.status().configuration
        members = {member.name: member.address for member in configuration.members}
        return await asyncio.to_thread(joining.hand_out, body, user, self._layout.pki, members)

    async def _admit_node(self, body: bytes, user: User) -> bytes:
        authority = await asyncio.to_thread(pki.load_authority, self._layout.pki, pki.CLUSTER_CA)
        asked = joining.node_name_of(body)
        exists = await self._server.lookup.get("nodes", "", asked, linearizable=True) is not None
        return await asyncio.to_thread(joining.admit_node, body, user, authority, node_exists=exists)
