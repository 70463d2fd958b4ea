"""POST or GET /exec, /attach/{namespace}/{pod}/{container}, /portForward/{namespace}/{pod}: to nodeagent.streams.

From names to what runs; the bytes are theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from aiohttp import web

from apiserver.api.core.containers import Container
from apiserver.api.core.pod import Pod
from apiserver.api.errors import ApiError, BadRequest, InternalError, NotFound, ServiceUnavailable
from nodeagent.runtime.interface import NotThere, RuntimeFailure, Unavailable
from nodeagent.streams import AttachRequest, ExecRequest, PortForwardRequest, Refused, Streams

from .api import Parameters
from .finding import Finder
from .real_containers import RealContainers


class PodStreams:
    """`close` when done."""

    def __init__(self, finder: Finder, real: RealContainers) -> None:
        self._finder = finder
        self._streams = Streams(real.streaming())

    def close(self) -> None:
        self._streams.close()

    async def exec(self, request: web.BaseRequest, names: Sequence[str], parameters: Parameters) -> web.StreamResponse:
        container = await self._finder.running(self._finder.pod(*names[:2]), names[2])
        wanted = ExecRequest(
            container_id=container.id,
            command=[value for name, value in parameters if name == "command"],
            stdin=_flag(parameters, "input"),
            stdout=_flag(parameters, "output"),
            stderr=_flag(parameters, "error"),
            tty=_flag(parameters, "tty"),
        )
        return await _answered(self._streams.exec(request, wanted))

    async def attach(
        self, request: web.BaseRequest, names: Sequence[str], parameters: Parameters
    ) -> web.StreamResponse:
        pod = self._finder.pod(*names[:2])
        container = await self._finder.running(pod, names[2])
        spec = _spec(pod, names[2])
        wanted = AttachRequest(
            container_id=container.id,
            stdin=_flag(parameters, "input"),
            stdout=_flag(parameters, "output"),
            stderr=_flag(parameters, "error"),
            tty=spec is not None and spec.tty,
            stdin_once=spec is not None and spec.stdin_once,
        )
        return await _answered(self._streams.attach(request, wanted))

    async def port_forward(
        self, request: web.BaseRequest, names: Sequence[str], parameters: Parameters
    ) -> web.StreamResponse:
        sandbox = await self._finder.sandbox(self._finder.pod(*names))
        wanted = PortForwardRequest(sandbox_id=sandbox.id, ports=_ports(parameters))
        return await _answered(self._streams.port_forward(request, wanted))


async def no_streams(_request: web.BaseRequest, names: Sequence[str], _parameters: Parameters) -> web.StreamResponse:
    raise BadRequest(f'pod "{names[1]}" is simulated: nothing runs in it')


def _flag(parameters: Parameters, name: str) -> bool:
    return any(key == name and value.lower() in ("1", "true") for key, value in parameters)


def _ports(parameters: Parameters) -> list[int]:
    """Raises BadRequest."""
    texts = [value for name, value in parameters if name == "port"]
    if not all(text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535 for text in texts):
        raise BadRequest("each port must be a number between 1 and 65535")
    return [int(text) for text in texts]


def _spec(pod: Pod, container: str) -> Container | None:
    spec = pod.spec
    every = (*spec.containers, *spec.init_containers, *spec.ephemeral_containers)
    return next((each for each in every if each.name == container), None)


async def _answered(streaming: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """Raises ApiError."""
    try:
        return await streaming
    except Refused as error:
        raise ApiError(error.message, code=error.status, reason=_REASONS.get(error.status, "BadRequest")) from None
    except NotThere as error:
        raise NotFound(error.message) from error
    except Unavailable as error:
        raise ServiceUnavailable(error.message) from error
    except RuntimeFailure as error:
        raise InternalError(error.message) from error


_REASONS = {403: "Forbidden", 429: "TooManyRequests"}
