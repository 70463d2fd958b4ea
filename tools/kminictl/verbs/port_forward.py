"""`kminictl port-forward`: local ports lead to a pod's, over SPDY inside a WebSocket.

The codec of the streams is the node agent's own: the same bounds, the same tests.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from nodeagent.streams.connection import SpdyConnection, SpdyStream
from nodeagent.streams.signals import Activity

from ..cluster.websocket import WebSocket, connect
from ..command import Verb, verb
from ..failures import CommandError

if TYPE_CHECKING:
    from ..cluster.session import Session

TUNNEL = "SPDY/3.1+portforward.k8s.io"
READ_BYTES = 32 << 10
TAKEN_S = 30.0
CONNECTIONS_MAX = 256


class Forwarded(msgspec.Struct, frozen=True):
    """`local` 0 is any free port."""

    local: int
    remote: int


@click.command("port-forward", cls=Verb, missing="TYPE/NAME and list of ports are required for port-forward")
@click.argument("word")
@click.argument("ports", nargs=-1, required=True)
@click.option("--address", "addresses", default="localhost", help="Where to listen, with commas between.")
@click.option("--pod-running-timeout", default="1m0s", hidden=True)
@verb
async def port_forward(
    session: Session, word: str, ports: tuple[str, ...], addresses: str, pod_running_timeout: str
) -> None:
    """Forward local ports to a pod: port-forward POD [LOCAL:]REMOTE..."""
    from ..cluster.pods import pod_of

    pod = await pod_of(session, word, verb="port-forward")
    phase = (pod.get("status") or {}).get("phase", "")
    if phase != "Running":
        raise CommandError(f"unable to forward port because pod is not running. Current status={phase}")
    translate = await _service_ports(session, word, pod)
    wanted = [translate(parsed(each)) for each in ports]
    await _Forwarding(session, pod["metadata"]["name"], pod["metadata"]["namespace"]).run(wanted, addresses.split(","))


def parsed(text: str) -> tuple[int | None, str]:
    """`8080:80`, `:80` (any free port), `8080:http`; `8080` alone has no local one: it is the same.

    Raises CommandError."""
    local, colon, remote = text.partition(":")
    if not colon:
        local, remote = "", text
    if (local and not (local.isdigit() and int(local) <= 65535)) or not remote:
        raise CommandError(f"invalid port format '{text}'")
    return int(local or 0) if colon else None, remote


async def _service_ports(session: Session, word: str, pod: dict[str, Any]) -> Any:
    """Of a Service its ports are meant, by number or name; of anything else the containers'."""
    type_ = word.partition("/")[0] if "/" in word else "pods"
    resource = (await session.catalogue()).find(type_)
    service = None
    if resource.kind.kind == "Service":
        service = await session.api.get(resource.kind, word.partition("/")[2], session.namespace)

    def translate(pair: tuple[int | None, str]) -> Forwarded:
        local, remote = pair
        target: object = int(remote) if remote.isdigit() else remote
        if service is not None:
            target = _target(service, remote)
        number = target if isinstance(target, int) else _named(pod, str(target))
        same = int(remote) if remote.isdigit() else number
        return Forwarded(same if local is None else local, number)

    return translate


def _target(service: dict[str, Any], wanted: str) -> object:
    for port in (service.get("spec") or {}).get("ports") or []:
        if wanted in (str(port["port"]), port.get("name")):
            return port.get("targetPort", port["port"])
    raise CommandError(f"Service {service['metadata']['name']} does not have a service port {wanted}")


def _named(pod: dict[str, Any], name: str) -> int:
    for container in pod["spec"].get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == name:
                return int(port["containerPort"])
    raise CommandError(f"Pod '{pod['metadata']['name']}' does not have a named port '{name}'")


class _Wire:
    """A WebSocket's messages as one stream of bytes (nodeagent.streams.wires.Wire)."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        while (message := await self._socket.receive()) is not None:
            if message:
                return message
        return b""

    async def write(self, data: bytes) -> None:
        await self._socket.send(data)

    async def close(self) -> None:
        await self._socket.close()

    def abort(self) -> None:
        self._socket.abort()


class _Forwarding:
    """One connection to the pod; each connection that comes in is a pair of streams on it."""

    def __init__(self, session: Session, pod: str, namespace: str) -> None:
        self._session = session
        self._pod = pod
        self._namespace = namespace
        self._next = 0
        self._places = asyncio.Semaphore(CONNECTIONS_MAX)

    async def run(self, wanted: list[Forwarded], addresses: list[str]) -> None:
        from apiserver.api.errors import ApiError
        from apiserver.api.kinds import Kind
        from apiserver.client.requests import path_of
        from apiserver.client.transport import TransportError

        path = path_of(Kind("Pod", "", "v1", "pods"), self._namespace, self._pod, "portforward")
        try:
            socket = await connect(self._session.api.client, path, (), (TUNNEL,))
        except (ApiError, TransportError) as error:
            raise CommandError(f"error upgrading connection: {error}") from None
        connection = SpdyConnection(_Wire(socket), server=False, activity=Activity())
        servers: list[asyncio.Server] = []
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(connection.run())
                for each in wanted:
                    servers += await self._listen(connection, each, addresses)
                await running
                raise CommandError("lost connection to pod")
        finally:
            for server in servers:
                server.close()
            connection.abort()

    async def _listen(
        self, connection: SpdyConnection, wanted: Forwarded, addresses: list[str]
    ) -> list[asyncio.Server]:
        hosts = [each for name in addresses for each in (("127.0.0.1", "::1") if name == "localhost" else (name,))]
        servers: list[asyncio.Server] = []
        port, problem = wanted.local, ""
        for host in hosts:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                async with self._places:
                    await self._serve(connection, wanted.remote, reader, writer)

            try:
                server = await asyncio.start_server(serve, host, port, limit=READ_BYTES)
            except OSError as error:
                problem = f"unable to listen on port {port}: {error.strerror or error}"
                continue
            port = server.sockets[0].getsockname()[1]
            shown = f"[{host}]" if ":" in host else host
            self._session.say(f"Forwarding from {shown}:{port} -> {wanted.remote}")
            self._session.flush()
            servers.append(server)
        if not servers:
            raise CommandError(f"unable to listen on any of the requested ports: {problem}")
        return servers

    async def _serve(
        self,
        connection: SpdyConnection,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._session.say(f"Handling connection for {writer.get_extra_info('sockname')[1]}")
        self._session.flush()
        self._next += 1
        headers = {"port": str(port), "requestid": str(self._next)}
        error = connection.open({"streamtype": "error", **headers})
        data = connection.open({"streamtype": "data", **headers})
        try:
            async with asyncio.timeout(TAKEN_S):
                if not (await error.taken() and await data.taken()):
                    return
            error.finish()
            async with asyncio.TaskGroup() as group:
                inward = group.create_task(_inward(reader, data))
                group.create_task(self._complaints(error, port))
                await _outward(data, writer)
                inward.cancel()
        except TimeoutError:
            self._session.tell(f"error: the pod did not take a connection to port {port} in time")
        finally:
            data.reset()
            error.reset()
            writer.transport.abort() if data.broken and not writer.is_closing() else writer.close()

    async def _complaints(self, error: SpdyStream, port: int) -> None:
        said = b""
        while chunk := await error.read():
            said = (said + chunk)[-4096:]
        if said:
            told = said.decode("utf-8", "replace")
            self._session.tell(f"error: an error occurred forwarding to port {port}: {told}")


async def _inward(reader: asyncio.StreamReader, data: SpdyStream) -> None:
    with suppress(OSError):
        while chunk := await reader.read(READ_BYTES):
            await data.write(chunk)
        data.finish()


async def _outward(data: SpdyStream, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await data.read():
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
