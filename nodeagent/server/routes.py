"""What the node's API answers, path by path."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiohttp import web

from apiserver.api.core.pod import Pod
from nodeagent.clock import Wall
from nodeagent.feeds import Feed
from nodeagent.runtime.interface import Runtime

from .api import Parameters, Route
from .container_logs import ContainerLogs
from .finding import Finder
from .pod_streams import PodStreams, no_streams
from .real_containers import RealContainers
from .replies import JSON, TEXT, reply

_STREAM = ("GET", "POST")
_encode = msgspec.json.Encoder().encode


def make_routes(
    node: str, pods: Feed[Pod], runtime: Runtime, real: RealContainers | None, *, wall: Wall = time.time
) -> tuple[Mapping[str, Route], Callable[[], None]]:
    """With what to call when nothing is answered any more."""
    finder = Finder(node, pods, runtime)
    logs = ContainerLogs(finder, runtime, real, wall=wall)
    streams, close_streams = _stream_routes(finder, real)
    routes = {
        "containerLogs": Route(logs, names=3),
        "pods": Route(_Pods(finder)),
        "healthz": Route(_healthy),
        **streams,
    }

    def close() -> None:
        close_streams()
        logs.close()

    return routes, close


def _stream_routes(finder: Finder, real: RealContainers | None) -> tuple[dict[str, Route], Callable[[], None]]:
    names = {"exec": 3, "attach": 3, "portForward": 2}
    if real is None:
        return {path: Route(no_streams, count, _STREAM) for path, count in names.items()}, lambda: None
    streams = PodStreams(finder, real)
    handlers = {"exec": streams.exec, "attach": streams.attach, "portForward": streams.port_forward}
    return {path: Route(handlers[path], count, _STREAM) for path, count in names.items()}, streams.close


class _Pods:
    """Every pod bound here, as a list of Kubernetes."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    async def __call__(
        self, _request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters
    ) -> web.StreamResponse:
        items = b",".join(map(_encode, self._finder.pods()))
        return reply(b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[%b]}' % items, JSON)


async def _healthy(_request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters) -> web.StreamResponse:
    return reply(b"ok", TEXT)
