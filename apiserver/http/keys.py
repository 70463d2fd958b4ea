"""The paths under /kmini/v1/: what machines join with and are given, and the encryption keys.

    GET  ca         open to all: the cluster CA in PEM, which a join token's hash pins
    POST join       a server token: the shared keys and the members
    POST node       an agent token: a client certificate for one node
    *    keys...    the key ring (ring_keeper.py)

Who may is decided here and by what is called here, not by RBAC: no role may ever open them to more.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from apiserver.api.errors import InternalError, MethodNotAllowed, RequestTooLarge, ServiceUnavailable
from apiserver.auth import joining, keyring, pki
from apiserver.auth.keyring import PkiError
from apiserver.auth.ring_keeper import RingKeeper
from apiserver.auth.user import User
from apiserver.encryption import Encryption
from apiserver.failures import api_error
from apiserver.http.replica_calls import ReplicaCalls, replica_context
from apiserver.http.responses import response
from apiserver.live import LiveServers
from apiserver.reencryption import reencrypt
from apiserver.registry.table import Table
from apiserver.storage import Storage, prefix_of
from raftstore.errors import StoreError

SEGMENT = "kmini"  # the first of every path here
VERSION = "v1"
PEM = "application/x-pem-file"
JSON = "application/json"
BODY_TIMEOUT_S = 30.0
FIRST_LOOK_S = 3.0

log = logging.getLogger(__name__)


class Peers:
    """The other replicas, as the store and the keys of live servers tell (ring_keeper.Others)."""

    def __init__(self, storage: Storage, live: LiveServers, name: str, calls: ReplicaCalls) -> None:
        self._storage = storage
        self._live = live
        self._name = name
        self.ask = calls.ask

    def members(self) -> Sequence[str]:
        return [member.name for member in self._storage.store.status().configuration.members]

    async def addresses(self) -> Mapping[str, str]:
        return {name: address for name, address in self._live.addresses().items() if name != self._name}


class KeyPaths:
    """The handler of the paths above."""

    def __init__(self, keeper: RingKeeper, storage: Storage, table: Table, folder: Path) -> None:
        """`folder` is DIR/pki. Raises OSError."""
        self.keeper = keeper
        self._storage = storage
        self._nodes = table.of_key("nodes")
        self._folder = folder
        self._ca = (folder / "ca.crt").read_bytes()

    async def __call__(
        self, request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], user: User
    ) -> web.StreamResponse | None:
        method, path = request.method, segments[1:]
        if path == [VERSION, "ca"]:
            _check_method(method, "GET", "HEAD")
            return response(self._ca, PEM)
        try:
            match path:
                case ["v1", "join"]:
                    _check_method(method, "POST")
                    return response(await self._join(user, await _body(request)), JSON)
                case ["v1", "node"]:
                    _check_method(method, "POST")
                    return response(await self._node(user, await _body(request)), JSON)
                case ["v1", "keys", *rest] if rest in ([], ["ring"], ["look"]):
                    _check_method(method, *(("GET", "POST") if not rest else ("POST",)))
                    body = await _body(request) if method == "POST" else b""
                    return response(await self.keeper.answer(method, "/" + "/".join(segments), user, body), JSON)
        except StoreError as error:
            raise api_error(error) from error
        except (PkiError, OSError) as error:
            raise InternalError(f"the keys of this server cannot be used: {error}") from error
        return None

    async def _join(self, user: User, body: bytes) -> bytes:
        joining.check_role(user, "server")
        await self._storage.linearize()  # the members as they are now
        members = {each.name: each.address for each in self._storage.store.status().configuration.members}
        if not all(members.values()):
            raise ServiceUnavailable("this cluster has no peer port: its only replica runs alone")
        return await asyncio.to_thread(joining.hand_out, body, user, self._folder, members)

    async def _node(self, user: User, body: bytes) -> bytes:
        joining.check_role(user, "agent")
        name = joining.node_of(body)
        await self._storage.linearize()
        there = self._storage.peek(self._nodes, "", name) is not None
        return await asyncio.to_thread(self._admit, body, user, there)

    def _admit(self, body: bytes, user: User, there: bool) -> bytes:
        authority = pki.load_authority(self._folder, pki.CLUSTER_CA)
        return joining.admit_node(body, user, authority, node_exists=there)


@asynccontextmanager
async def key_paths(
    *, storage: Storage, table: Table, live: LiveServers, encryption: Encryption, name: str, folder: Path
) -> AsyncIterator[tuple[KeyPaths, ssl.SSLContext]]:
    """The handler, with the ring kept as long as this is open; and the TLS context of calls to other replicas.

    A newer ring of another replica that answers is taken before this begins. Raises PkiError, OSError.
    """
    context = await asyncio.to_thread(replica_context, folder)
    calls = ReplicaCalls(context)
    prefixes = [prefix_of(row) for row in table.rows if row.encrypted and not row.stored_as]
    keeper = RingKeeper(
        name=name,
        path=folder / keyring.FILE_NAME,
        encryption=encryption,
        others=Peers(storage, live, name, calls),
        reencrypt=partial(reencrypt, storage.store, encryption, prefixes),
    )
    try:
        async with asyncio.timeout(FIRST_LOOK_S):
            await keeper.look()
    except TimeoutError:
        log.warning("other replicas did not tell in time whether they have a newer key ring")
    looking = asyncio.create_task(keeper.run(), name="key ring")
    try:
        yield KeyPaths(keeper, storage, table, folder), context
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await calls.close()


def _check_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise MethodNotAllowed("the server does not allow this method on the requested resource")


async def _body(request: web.BaseRequest) -> bytes:
    """Raises RequestTooLarge, Timeout."""
    if (request.content_length or 0) > joining.REQUEST_BYTES_MAX:
        raise RequestTooLarge(f"the body is larger than the limit of {joining.REQUEST_BYTES_MAX} bytes")
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise ServiceUnavailable(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None
