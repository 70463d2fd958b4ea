"""Requests to the node's API: who asks, what for, and the answer; whatever goes wrong is a Status.

/containerLogs/{namespace}/{pod}/{container}    /exec, /attach likewise, /portForward/{namespace}/{pod}
/pods    /stats/summary    /metrics    /metrics/resource    /healthz
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from apiserver.api.errors import ApiError, BadRequest, InternalError, MethodNotAllowed, NotFound, RequestTooLarge
from nodeagent.clock import Wall

from .authentication import check_caller
from .replies import failure

PARAMETERS_MAX = 1024

log = logging.getLogger(__name__)

Parameters = Sequence[tuple[str, str]]
#: (request, the names in the path, its parameters) -> the answer. Raises ApiError while nothing was sent.
Handler = Callable[[web.BaseRequest, Sequence[str], Parameters], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """`names`: how many names follow in the path."""

    handler: Handler
    names: int = 0
    methods: tuple[str, ...] = ("GET", "HEAD")


class NodeApi:
    """`routes` by path without its names."""

    def __init__(self, routes: Mapping[str, Route], *, wall: Wall = time.time) -> None:
        self._routes = routes
        self._wall = wall

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            check_caller(_certificate(request), self._wall())
            route, names, parameters = self._parse(request)
            return await route.handler(request, names, parameters)
        except ApiError as error:
            return _refused(request, error)
        except Exception as error:
            if request.writer.output_size > 0:  # too late for another answer: it ends where it is
                raise ConnectionError("an answer broke off") from error
            log.exception("a request failed", extra={"method": request.method, "path": request.path})
            return _refused(request, InternalError("Internal error occurred: see the agent's log"))

    def _parse(self, request: web.BaseRequest) -> tuple[Route, list[str], Parameters]:
        """Raises ApiError."""
        raw_path, _, raw_query = request.raw_path.partition("?")
        route, names = self._find([unquote(each) for each in raw_path.removeprefix("/").split("/")])
        if request.method not in route.methods:
            raise MethodNotAllowed(f"the node's API does not allow the method {request.method[:16]!r} here")
        if request.body_exists:
            raise RequestTooLarge("no request to the node's API has a body")
        try:
            parameters = parse_qsl(raw_query, keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
        except ValueError:
            raise BadRequest("the query cannot be read") from None
        return route, names, parameters

    def _find(self, segments: list[str]) -> tuple[Route, list[str]]:
        for length in (2, 1):
            route = self._routes.get("/".join(segments[:length]))
            names = segments[length:]
            if route is not None and len(names) == route.names and all(names):
                return route, names
        raise NotFound("the node's API has no such path")


def _certificate(request: web.BaseRequest) -> Mapping[str, Any] | None:
    transport = request.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    return tls.getpeercert() if tls is not None else None


def _refused(request: web.BaseRequest, error: ApiError) -> web.Response:
    answer = failure(error)
    if request.body_exists or error.status_code in (401, 403):
        answer.force_close()
    return answer
