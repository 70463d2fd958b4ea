"""Paths that are no resource: health, version, metrics, discovery, OpenAPI, keys of tokens, debug pages.

A table from the first path segment to a handler. Bytes that never change are documents, built once; OpenAPI's are
built in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from apiserver.api.errors import MethodNotAllowed
from apiserver.auth.user import User
from apiserver.http import negotiation
from apiserver.http.discovery import DEFINED_KINDS, Discovery, version_document
from apiserver.http.documents import Document
from apiserver.http.health import Checks, Observed, report
from apiserver.http.negotiation import Form
from apiserver.http.responses import Answered, Reply, response
from apiserver.openapi.documents import OpenApi

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

#: Answers a path of the table below; None: there is no such path.
Handler = Callable[[web.BaseRequest, list[str], Mapping[str, str], User], Awaitable[Answered | None]]


class SpecialPaths:
    """Made with what it shows; further handlers may be added by their first segment."""

    def __init__(
        self,
        *,
        discovery: Discovery,
        openapi: OpenApi,
        version: str,
        registry: CollectorRegistry,
        observed: Observed,
        checks: Callable[[], Checks],
        boot: Callable[[], Mapping[str, float]],
        more: Mapping[str, Handler],
    ) -> None:
        self._discovery = discovery
        self._openapi = openapi
        self._version = version_document(version)
        self._registry = registry
        self._observed = observed
        self._checks = checks
        self._boot = boot
        self._handlers: dict[str, Handler] = {
            "api": self._discover,
            "apis": self._discover,
            "openapi": self._open_api,
            "version": self._show_version,
            "livez": self._live,
            "readyz": self._ready,
            "healthz": self._ready,
            "metrics": self._metrics,
            "debug": self._debug,
            **more,
        }
        self._more = more

    async def __call__(
        self, request: web.BaseRequest, path: str, segments: list[str], query: Mapping[str, str], user: User
    ) -> Answered | None:
        if path == "/" and request.method == "GET":
            paths = sorted(f"/{name}" for name in self._handlers)
            return response(msgspec.json.encode({"paths": paths}), JSON)
        handler = self._handlers.get(segments[0])
        answer = None if handler is None else await handler(request, segments, query, user)
        if answer is not None and request.method not in ("GET", "HEAD") and segments[0] not in self._more:
            raise MethodNotAllowed(f"the server does not allow the method {request.method[:16]!r} on {path[:100]}")
        return answer

    # --- documents ----------------------------------------------------------------------------------

    async def _discover(
        self, request: web.BaseRequest, segments: list[str], query: Mapping[str, str], _user: User
    ) -> Answered | None:
        path = "/" + "/".join(segments)
        if path == DEFINED_KINDS and "watch" in query:
            return None  # a list that never changes has nothing to watch
        document = self._discovery.document(path, request.headers.get("Accept"))
        return None if document is None else shown(request, document)

    async def _show_version(
        self, request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], _user: User
    ) -> Answered | None:
        return shown(request, self._version) if len(segments) == 1 else None

    async def _open_api(
        self, request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], _user: User
    ) -> Answered | None:
        accept = request.headers.get("Accept")
        match segments[1:]:
            case ["v2"]:
                accepted = negotiation.negotiate(accept, negotiation.OPENAPI_V2)
                protobuf = accepted.form is Form.PROTOBUF_OPENAPI
                document = await asyncio.to_thread(self._openapi.swagger, protobuf=protobuf)
            case ["v3"]:
                document = await asyncio.to_thread(self._openapi.index)
            case ["v3", *rest]:
                found = await asyncio.to_thread(self._openapi.group_version, "/".join(rest))
                if found is None:
                    return None
                document = found
            case _:
                return None
        return shown(request, document)

    # --- health and numbers -------------------------------------------------------------------------

    async def _live(
        self, _request: web.BaseRequest, segments: list[str], query: Mapping[str, str], _user: User
    ) -> Answered | None:
        if len(segments) > 1:
            return None
        return health_response({"ping": ""}, verbose="verbose" in query)

    async def _ready(
        self, _request: web.BaseRequest, segments: list[str], query: Mapping[str, str], _user: User
    ) -> Answered | None:
        checks = dict(self._checks())
        if len(segments) > 1:
            if segments[1] not in checks:
                return None
            checks = {segments[1]: checks[segments[1]]}
        for name in query.get("exclude", "").split(","):
            checks.pop(name, None)
        return health_response(checks, verbose="verbose" in query)

    async def _metrics(
        self, _request: web.BaseRequest, _segments: list[str], _query: Mapping[str, str], _user: User
    ) -> Answered | None:
        return response(generate_latest(self._registry), CONTENT_TYPE_LATEST)

    async def _debug(
        self, _request: web.BaseRequest, segments: list[str], _query: Mapping[str, str], _user: User
    ) -> Answered | None:
        match segments[1:]:
            case ["status"]:
                return response(msgspec.json.encode(self._observed.status()), JSON)
            case ["boot"]:
                return response(msgspec.json.encode(self._boot()), JSON)
        return None


def health_response(checks: Checks, *, verbose: bool) -> Reply:
    code, body = report(checks, verbose=verbose)
    return response(body, TEXT, status=code)


def shown(request: web.BaseRequest, document: Document) -> Reply:
    """A document, or 304 when the client has it."""
    headers = [("ETag", document.etag), ("Vary", document.vary)]
    if document.is_known(request.headers.get("If-None-Match")):
        return Reply(b"", document.content_type, 304, headers)
    body, encoding = document.answer(request.headers.get("Accept-Encoding"))
    if encoding:
        headers.append(("Content-Encoding", encoding))
    return Reply(body, document.content_type, 200, headers)
