"""A node agent in the test's process that joined a real control plane with a token, on the simulated runtime."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from kmini.testing.fixture import Kmini
from kmini.tokens import Role, secret_of

from apiserver.api.core.config import Secret
from apiserver.api.core.pod import Pod
from apiserver.api.errors import NotFound
from apiserver.auth import pki
from apiserver.auth.join_token import JoinToken, new_bootstrap_token
from apiserver.client import Client
from nodeagent.identity import Identity
from nodeagent.joining import ensure_identity
from nodeagent.machine import simulated
from nodeagent.plain import plain_parts
from nodeagent.running import NodeAgent
from nodeagent.runtime.fake import FakeRuntime

WITHIN_S = 60.0
CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "20"}


async def make_token(kmini: Kmini, folder: Path, *, role: Role = "agent") -> Path:
    """A file with a token of this role."""
    made = new_bootstrap_token()
    secret = msgspec.convert(secret_of(made, role, expires=None, description="of a test"), Secret)
    async with kmini.client as client:
        await client.create(secret)
    authority = next(iter(kmini.control_plane.folder.glob("*/pki/ca.crt")))
    path = folder / f"token-{made.id}"
    path.write_text(JoinToken(pki.certificate_hash(authority.read_bytes()), made).text + "\n")
    return path


class Joined:
    """`runtime` outlives the agent; `runs` can be entered again."""

    def __init__(self, kmini: Kmini, name: str, folder: Path) -> None:
        self.kmini = kmini
        self.name = name
        self.servers = tuple(kmini.servers.values())
        self.identity = Identity(folder / name, name)
        self.runtime = FakeRuntime(node=name)

    async def join(self, token_file: Path | None) -> None:
        await ensure_identity(self.identity, self.servers, token_file)

    def client(self) -> Client:
        """As the node."""
        return Client(self.identity.access(self.servers), learn=False, user_agent="kmini-agent")

    @asynccontextmanager
    async def runs(self, *, port: int = 0) -> AsyncIterator[NodeAgent]:
        """The agent, registered. With a port its API listens there, on loopback."""
        address = "127.0.0.1" if port else "192.0.2.7"
        machine = simulated(self.name, address, capacity=CAPACITY, labels={})
        machine = msgspec.structs.replace(machine, node_port=port)
        async with self.client() as client:
            node = NodeAgent(
                client, self.name, machine, self.runtime, plain_parts(self.runtime), identity=self.identity
            )
            running = asyncio.create_task(node.run(), name=f"agent {self.name}")
            registered = asyncio.create_task(node.registered.wait())
            try:
                await asyncio.wait({running, registered}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    running.result()
                assert node.registered.is_set(), "the node did not register"
                yield node
            finally:
                registered.cancel()
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running


def pod_named(name: str, namespace: str, *, node: str = "", **spec: Any) -> Pod:
    body = {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "registry.test/main:1"}]} | spec,
    }
    return msgspec.convert(body, Pod)


async def until(look: Callable[[], Coroutine[Any, Any, Any]], what: str, *, within_s: float = WITHIN_S) -> Any:
    """The first truthy answer."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        over = loop.time() > deadline  # and one look more
        if found := await look():
            return found
        if over:
            raise AssertionError(f"{what} did not come true within {within_s:g} s")
        await asyncio.sleep(0.05)


async def phase_is(client: Client, name: str, phase: str, *, within_s: float = WITHIN_S) -> Pod:
    async def look() -> Pod | None:
        pod = await client.get(Pod, name)
        return pod if pod.status.phase == phase else None

    found: Pod = await until(look, f"pod {name} being {phase}", within_s=within_s)
    return found


async def is_gone(client: Client, name: str, *, within_s: float = WITHIN_S) -> None:
    async def look() -> bool:
        try:
            await client.get(Pod, name)
        except NotFound:
            return True
        return False

    await until(look, f"pod {name} being gone", within_s=within_s)


def is_ready(pod: Pod) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)
