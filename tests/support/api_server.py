"""A real API server of one replica: store, certificates, port, TLS, RBAC, admission, in the loop of the test.

    async with api_server(tmp_path) as api:
        answer = await api.json("GET", "/api/v1/namespaces", user="alice")

Requests go over real sockets; `tls` gives the client side of TLS for any user, for tests with clients of their own.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import uvloop
from kmini.api_face import server_context
from kmini.certificates import make_ready
from store_cluster import StoreCluster, until
from yarl import URL

from apiserver.auth import keyring, pki
from apiserver.encryption import Encryption
from apiserver.http.port import ApiPort
from apiserver.server import ApiOptions, ApiServer
from raftstore import ReplicaStatus, Store

ADMIN = "kmini-admin"
VERSION = "0.0.0"
TIMEOUT_S = 30.0


class Answered(NamedTuple):
    """`body` is the parsed JSON when it is JSON, else the bytes."""

    code: int
    body: Any
    headers: Mapping[str, str]


class Observed:
    """What health and metrics look at."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def status(self) -> ReplicaStatus | None:
        return self._store.status()

    def counters(self) -> Iterable[tuple[str, str, float]]:
        return self._store.metrics.read()

    def gauges(self) -> Iterable[tuple[str, str, float]]:
        return ()


class RunningApi:
    """What a test asks. `pki_dir` is as DIR/pki of a real server."""

    def __init__(self, store: Store, server: ApiServer, pki_dir: Path) -> None:
        self.store = store
        self.server = server
        self.pki_dir = pki_dir
        self.ca_file = pki_dir / "ca.crt"
        self._authority = pki.load_authority(pki_dir, pki.CLUSTER_CA)
        self._contexts: dict[tuple[str, tuple[str, ...]], ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def host(self) -> str:
        return self.server.options.host

    @property
    def port(self) -> int:
        return self.server.port.port

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def tls(self, user: str = ADMIN, groups: Sequence[str] | None = None) -> ssl.SSLContext:
        """The client side of TLS for a user; "" shows no certificate. The admin is in system:masters."""
        groups = tuple(groups if groups is not None else [pki.ADMIN_GROUP] if user == ADMIN else [])
        context = self._contexts.get((user, groups))
        if context is None:
            context = ssl.create_default_context(cafile=str(self.ca_file))
            if user:
                name = f"client-{len(self._contexts)}"
                pki.write_pair(self.pki_dir, name, pki.issue_client(self._authority, user, groups))
                context.load_cert_chain(self.pki_dir / f"{name}.crt", self.pki_dir / f"{name}.key")
            self._contexts[user, groups] = context
        return context

    async def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = ADMIN,
        groups: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """One request. `body` is sent as JSON unless it is bytes."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if raw is not None else {}
        url = URL(self.url + path, encoded=True)  # as it stands: what is encoded, dots, and so on
        data = None if raw is None else io.BytesIO(raw)
        async with self.session.request(
            method, url, data=data, headers={**sent, **(headers or {})}, ssl=self.tls(user, groups)
        ) as response:
            content = await response.read()
            if "json" in response.headers.get("Content-Type", "") and content:
                return Answered(response.status, json.loads(content), response.headers)
            return Answered(response.status, content, response.headers)

    async def create(self, path: str, body: Any) -> Any:
        """As the admin; what was created."""
        answer = await self.json("POST", path, body)
        assert answer.code == 201, answer
        return answer.body

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


@asynccontextmanager
async def api_server(folder: Path, **options: Any) -> AsyncIterator[RunningApi]:
    """A server that is ready. `options` are fields of ApiOptions."""
    pki_dir = folder / "api-pki"
    names = pki.serving_names(addresses=["127.0.0.1"], service_cidr="10.96.0.0/16", cluster_domain="cluster.local")
    make_ready(pki_dir, name="n1", ca_dir=None, alone=True, names=names)
    cluster = StoreCluster(folder, 1)
    await cluster.start()
    try:
        store = await cluster.wait_for_leader()
        async with api_on(store, pki_dir, **options) as api:
            yield api
    finally:
        await cluster.close()


@asynccontextmanager
async def api_on(store: Store, pki_dir: Path, **options: Any) -> AsyncIterator[RunningApi]:
    """A server on a store that is there; several may share one cluster and its certificates."""
    encryption = Encryption.with_ring(keyring.load(pki_dir / keyring.FILE_NAME))
    context = server_context(pki_dir / "server.crt", pki_dir / "server.key", pki_dir / "ca.crt")
    host = options.get("host", "127.0.0.1")
    async with ApiPort(host, options.get("port", 0), context, Observed(store), VERSION) as port:
        given: dict[str, Any] = {
            "name": "n1",
            "version": VERSION,
            "pki_dir": pki_dir,
            "host": host,
            "port": port.port,
            **options,
        }
        async with ApiServer(store, ApiOptions(**given), port, encryption) as server:
            api = RunningApi(store, server, pki_dir)
            await server.ready()
            await until(lambda: not any(server.checks().values()))
            try:
                yield api
            finally:
                await api.close()


@contextmanager
def api_thread(folder: Path, **options: Any) -> Iterator[RunningApi]:
    """The same on a thread with a loop as `kmini server` has: for blocking clients, and for whole modules."""
    started = threading.Event()
    found: list[RunningApi] = []
    failed: list[BaseException] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopping = asyncio.Event()
        async with api_server(folder, **options) as api:
            found.append(api)
            stop.append((asyncio.get_running_loop(), stopping))
            started.set()
            await stopping.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:  # told to the test, which waits for it
            failed.append(error)
            started.set()

    thread = threading.Thread(target=work, name="api server")
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        for loop, event in stop:
            loop.call_soon_threadsafe(event.set)
        thread.join()
    if failed:
        raise failed[0]
