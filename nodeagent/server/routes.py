"""What the node's API answers, path by path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiohttp import web

from .api import Parameters, Route
from .container_logs import ContainerLogs
from .finding import Finder
from .metrics import Metrics
from .pod_streams import PodStreams, no_streams
from .real_containers import RealContainers
from .replies import JSON, TEXT, json_reply, reply
from .sources import Sources
from .stats import Stats

_STREAM = ("GET", "POST")
_encode = msgspec.json.Encoder().encode


def make_routes(sources: Sources) -> tuple[Mapping[str, Route], Callable[[], None]]:
    """With what to call when nothing is answered any more."""
    node, runtime, real = sources.node, sources.runtime, sources.real
    finder = Finder(node, sources.pods, runtime)
    logs = ContainerLogs(finder, runtime, real, wall=sources.wall)
    stats = Stats(node, runtime, real, finder.pods, sources.folder, wall=sources.wall)
    operations = real.timings() if real is not None else {}
    metrics = Metrics(node, runtime, stats, sources.starts, operations=operations, counters=sources.counters)
    streams, close_streams = _stream_routes(finder, real)
    routes = {
        "containerLogs": Route(logs, names=3),
        "pods": Route(_Pods(finder)),
        "stats/summary": Route(_Summary(stats)),
        "metrics": Route(metrics.own),
        "metrics/resource": Route(metrics.resource),
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


class _Summary:
    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    async def __call__(
        self, _request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters
    ) -> web.StreamResponse:
        return json_reply(await self._stats.summary())


async def _healthy(_request: web.BaseRequest, _names: Sequence[str], _parameters: Parameters) -> web.StreamResponse:
    return reply(b"ok", TEXT)
