"""Requests that belong to the agent of a node, or to what runs there: logs, exec, attach, port-forward and proxy.

A pod's node leads to the agent's address; paths are the kubelet's API: `/containerLogs`, `/exec`, `/attach`,
`/portForward`, and whatever follows `proxy` of a node. The server shows its replica certificate (group kmini:servers)
and takes nobody for the agent who cannot show the node's name, signed by the cluster CA. Pods and Services behind
`proxy` are connected to directly, by nobody in particular. At most STREAMS_MAX of all these are open at a time.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec
from aiohttp import HttpVersion11, web

from apiserver.admission.plugin import Admission
from apiserver.api.errors import (
    ApiError,
    BadRequest,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from apiserver.auth.user import User
from apiserver.http import node_options
from apiserver.http.connection import SENT_AND_CLOSE
from apiserver.http.node_options import ConnectOptions
from apiserver.http.node_places import Places, container_of, host_of
from apiserver.http.paths import Target
from apiserver.http.relay import ANSWER_TIMEOUT_S, Relay, answered_fields, body_of, forwarded, pass_back
from apiserver.http.responses import Answered, Reply
from apiserver.http.tunnel import IDLE_S, Place, Refusal, Tunnel, request_head

STREAMS_MAX = 1_000
REFUSAL_CHARACTERS_MAX = 2_048
_PATH_CHARACTERS = "/%:@!$&'()*+,;=-._~"  # of a path as it came; the rest is encoded
_PROTOCOLS = frozenset({"websocket", "spdy/3.1"})
_TEXT = "text/plain; charset=utf-8"

Connect = Callable[[Admission], Awaitable[None]]


class AgentTls:
    """How the server shows itself to agents; read again once the certificate was renewed. Raises ServiceUnavailable."""

    def __init__(self, pki_dir: Path) -> None:
        self._files = [pki_dir / name for name in ("ca.crt", "replica.crt", "replica.key")]
        self._seen: list[int] = []
        self._context: ssl.SSLContext | None = None

    def __call__(self) -> ssl.SSLContext:
        authority, certificate, key = self._files
        try:
            seen = [path.stat().st_mtime_ns for path in self._files]
            if self._context is None or seen != self._seen:
                context = ssl.create_default_context(cafile=str(authority))
                context.load_cert_chain(certificate, key)
                self._context, self._seen = context, seen
        except OSError as error:
            raise ServiceUnavailable(f"this server has no certificate to show to agents: {error.strerror}") from None
        return self._context


class NodeProxy:
    """`connect` is admission of what opens a connection to a pod, Service or node."""

    def __init__(
        self,
        places: Places,
        connect: Connect,
        *,
        streams_max: int = STREAMS_MAX,
    ) -> None:
        self._connect = connect
        self._places = places
        self._relay = Relay()
        self._tunnels: set[Tunnel] = set()
        self._streams_max = streams_max
        self.open = 0

    async def __call__(self, request: web.BaseRequest, target: Target, user: User) -> Answered:
        with self._stream():
            if target.subresource == "proxy":
                return await self._proxy(request, target, user)
            if target.subresource == "log":
                return await self._log(request, target)
            return await self._stream_of_pod(request, target, user)

    @contextmanager
    def _stream(self) -> Iterator[None]:
        if self.open >= self._streams_max:
            raise TooManyRequests(f"{self.open} connections to nodes are open already", retry_after_s=1)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def close(self) -> None:
        """End everything that is open."""
        for tunnel in list(self._tunnels):
            tunnel.end()
        self._relay.break_off()

    async def finish(self) -> None:
        """Give back what is held, once nothing is open."""
        await self._relay.close()

    # --- logs -------------------------------------------------------------------------------------------

    async def _log(self, request: web.BaseRequest, target: Target) -> Answered:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        parameters = node_options.parameters_of(request.query_string)
        pod = await self._places.pod(target.namespace, target.name)
        query = node_options.log_query(parameters, target.name)
        container = container_of(pod, node_options.first(parameters, "container"))
        if not pod.spec.node_name:
            return Reply(b"", _TEXT, 204)
        place = await self._places.agent(pod.spec.node_name)
        path = f"/containerLogs/{target.namespace}/{target.name}/{container}"
        follows = node_options.boolean(parameters, "follow")
        patience_s = IDLE_S if follows else ANSWER_TIMEOUT_S
        path = f"{path}?{query}" if query else path
        async with self._relay.ask(place, "GET", path, answer_timeout_s=patience_s) as answer:
            if not 200 <= answer.status < 300:
                body = await answer.content.read(REFUSAL_CHARACTERS_MAX * 4)
                return _refused(Refusal(answer.status, answer.content_type, body), place)
            return await pass_back(request, answer, [("Content-Type", _TEXT), ("Cache-Control", "no-cache, private")])

    # --- exec, attach, port-forward ---------------------------------------------------------------------

    async def _stream_of_pod(self, request: web.BaseRequest, target: Target, user: User) -> Answered:
        if request.method not in ("GET", "POST"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        parameters = node_options.parameters_of(request.query_string)
        pod = await self._places.pod(target.namespace, target.name)
        path = f"/{target.namespace}/{target.name}"
        if target.subresource == "portforward":
            options = node_options.port_options(parameters)
            path, query = f"/portForward{path}", node_options.port_query(options)
        else:
            kind = "PodExecOptions" if target.subresource == "exec" else "PodAttachOptions"
            options = node_options.stream_options(parameters, kind)
            options.container = container_of(pod, options.container)
            path, query = f"/{target.subresource}{path}/{options.container}", node_options.stream_query(options)
        node = host_of(pod)
        await self._admit(target, user, options)
        protocol = _wanted_protocol(request)
        if not protocol:
            raise BadRequest("Upgrade request required")
        place = await self._places.agent(node)
        return await self._tunnel(request, place, f"{path}?{query}" if query else path, protocol)

    async def _admit(self, target: Target, user: User, options: ConnectOptions) -> None:
        await self._connect(
            Admission(
                user=user,
                resource=target.resource,
                operation="CONNECT",
                namespace=target.namespace,
                name=target.name,
                obj=options,
                subresource=target.subresource,
            )
        )

    async def _tunnel(
        self, request: web.BaseRequest, place: Place, path: str, protocol: str, *, raw: bool = False
    ) -> Answered:
        """`raw`: a refusal is the application's own and passed back as it is."""
        tunnel = Tunnel(idle_s=IDLE_S)
        self._tunnels.add(tunnel)
        try:
            head = request_head(request.method, path, place, forwarded(request.headers.items()), protocol)
            refusal = await tunnel.upgrade(place, head)
            if refusal is None:
                await tunnel.run(request)
                return SENT_AND_CLOSE
            if raw:
                return Reply(refusal.body, refusal.content_type or _TEXT, refusal.status)
            return _refused(refusal, place)
        finally:
            tunnel.end()
            self._tunnels.discard(tunnel)

    # --- proxy ------------------------------------------------------------------------------------------

    async def _proxy(self, request: web.BaseRequest, target: Target, user: User) -> Answered:
        kind = target.resource.plural
        path, query = _rest_of(request, target)
        if not path:
            if request.method in ("GET", "HEAD"):
                return _redirect(request)
            path = "/"
        await self._admit(target, user, ConnectOptions(kind=f"{target.resource.kind}ProxyOptions", path=path))
        if kind == "nodes":
            place = await self._places.node(target.name)
        elif kind == "pods":
            place = await self._places.of_pod(target.namespace, target.name)
        elif kind == "services":
            place = await self._places.of_service(target.namespace, target.name)
        else:
            raise NotFound("the server could not find the requested resource")
        path = f"{path}?{query}" if query else path
        protocol = _wanted_protocol(request)
        if protocol:
            return await self._tunnel(request, place, path, protocol, raw=True)
        body = body_of(request)
        fields = forwarded(request.headers.items())
        if body is not None and request.content_length is not None:
            fields.append(("Content-Length", str(request.content_length)))
        async with self._relay.ask(place, request.method, path, fields, body=body) as answer:
            back = _located(answered_fields(answer.headers.items()), request, target)
            return await pass_back(request, answer, back)


def _wanted_protocol(request: web.BaseRequest) -> str:
    """What the client wants to switch to, "" for nothing that is tunnelled: such a wish may be ignored."""
    tokens = {each.strip().lower() for each in request.headers.get("Connection", "").split(",")}
    protocol = request.headers.get("Upgrade", "").strip()
    if "upgrade" in tokens and protocol.lower() in _PROTOCOLS and request.version >= HttpVersion11:
        return protocol
    return ""


def _prefix_segments(target: Target) -> int:
    """Of /api/v1/namespaces/{ns}/pods/{name}/proxy, or of /api/v1/nodes/{name}/proxy."""
    return 7 if target.namespace else 5


def _rest_of(request: web.BaseRequest, target: Target) -> tuple[str, str]:
    """Path and query behind `proxy`, as the client wrote them; no path when there is not even a slash."""
    path, _, query = request.raw_path.partition("?")
    rest = path.split("/", _prefix_segments(target) + 1)[_prefix_segments(target) + 1 :]
    return (f"/{quote(rest[0], safe=_PATH_CHARACTERS)}" if rest else ""), quote(query, safe=_PATH_CHARACTERS + "?")


def _redirect(request: web.BaseRequest) -> Reply:
    """To the same with a slash, so that relative links of a page stay below it."""
    path, mark, query = request.raw_path.partition("?")
    return Reply(b"", _TEXT, 301, [("Location", f"{path}/{mark}{query}")])


def _located(fields: list[tuple[str, str]], request: web.BaseRequest, target: Target) -> list[tuple[str, str]]:
    """A redirection to a path of the same place leads through the proxy again."""
    prefix = "/".join(request.raw_path.partition("?")[0].split("/")[: _prefix_segments(target) + 1])
    return [
        (name, prefix + value)
        if name.lower() == "location" and value.startswith("/") and not value.startswith("//")
        else (name, value)
        for name, value in fields
    ]


def _refused(refusal: Refusal, place: Place) -> Reply:
    """What an agent says when it does not do it, as a Status. Raises ApiError."""
    text = refusal.body.decode("utf-8", "replace").strip()[:REFUSAL_CHARACTERS_MAX]
    if _is_status(refusal):
        return Reply(refusal.body, "application/json", refusal.status)
    if refusal.status in (401, 403):
        raise ServiceUnavailable(f"the agent of node {place.server_name} does not take this server's word: {text}")
    if 300 <= refusal.status < 400:
        raise ServiceUnavailable(f"the agent of node {place.server_name} leads elsewhere, which nobody follows")
    for kind in (BadRequest, NotFound, TooManyRequests, ServiceUnavailable):
        if refusal.status == kind.code:
            raise kind(text or kind.reason)
    if refusal.status >= 500 or refusal.status < 400:
        raise InternalError(text or f"the agent of node {place.server_name} answered with status {refusal.status}")
    raise ApiError(text or "refused", code=refusal.status, reason="BadRequest")


def _is_status(refusal: Refusal) -> bool:
    if "json" not in refusal.content_type or not 400 <= refusal.status < 600:
        return False
    try:
        document = msgspec.json.decode(refusal.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("kind") == "Status" and document.get("code") == refusal.status
