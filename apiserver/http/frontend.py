"""What every request passes: who asks, may they, is there room; and what every answer carries.

Order: request id → path → identity → impersonation → rights → lane → body → verb → answer. Whatever goes wrong becomes
one Status; a defect of ours is a logged 500 with the request's id, never a traceback to a client.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

from aiohttp import web

from apiserver import tracing
from apiserver.api.errors import (
    ApiError,
    BadRequest,
    InternalError,
    NotFound,
    RequestTooLarge,
    ServiceUnavailable,
    Timeout,
    UnsupportedMediaType,
)
from apiserver.auth.authn import Authenticator
from apiserver.auth.authorizer import PUBLIC_PATHS, Authorizer
from apiserver.auth.impersonation import impersonation
from apiserver.auth.user import GROUP_UNAUTHENTICATED, Attributes, User
from apiserver.decode import is_yaml, yaml_as_json
from apiserver.http.connection import invite_body, peer_certificate
from apiserver.http.dispatch import NODE_SUBRESOURCES, Dispatcher, attributes_of, check_allowed, verb_of
from apiserver.http.limits import Gate
from apiserver.http.metrics import RequestMetrics
from apiserver.http.paths import Target, in_namespace_of, parse_query, parse_target, segments_of
from apiserver.http.responses import Answered, Reply, failure, send
from apiserver.registry.table import Table
from apiserver.verbs.call import Call

BODY_BYTES_MAX = 3 * 1024 * 1024  # as kube-apiserver's
BODY_TIMEOUT_S = 30.0
YAML_BYTES_ON_LOOP = 8 * 1024  # some 30 milliseconds; more is read in a thread
SLOW_REQUEST_S = 1.0
#: Below this the handlers themselves say who may ask: somebody who joins has no rights yet.
SELF_AUTHORIZED = "/kmini/v1/"
_NO_BODY = frozenset({"GET", "HEAD"})
Document = tuple[bytes, str]  # a body, and of which content type it is

ROUTES_MAX = 4_096  # remembered paths
ROUTE_CHARACTERS_MAX = 512

log = logging.getLogger("kmini.api")


class Route(NamedTuple):
    """What a path means. `asked`: what a verb asks for there, of verbs that were found possible."""

    segments: list[str]
    target: Target | None
    shown: str
    asked: dict[str, Attributes]


#: Answers a path that is no resource; None: there is no such path.
Special = Callable[[web.BaseRequest, str, list[str], Mapping[str, str], User], Awaitable[Answered | None]]


class Frontend:
    """The handler that aiohttp calls for each request."""

    def __init__(
        self,
        *,
        table: Table,
        authenticator: Authenticator,
        authorizer: Authorizer,
        dispatcher: Dispatcher,
        special: Special,
        gate: Gate,
        metrics: RequestMetrics,
    ) -> None:
        self._table = table
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._dispatcher = dispatcher
        self._special = special
        self._gate = gate
        self._metrics = metrics
        self._ids = itertools.count(1)
        self._id_prefix = secrets.token_hex(6)
        self._routes: dict[str, Route] = {}
        self.running = 0
        self.draining = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started_s = time.perf_counter()
        request_id = f"{self._id_prefix}-{next(self._ids):x}"
        seen = _Seen(request_id)
        self.running += 1
        try:
            with tracing.request_span(request.method, request.headers, request_id):
                answer = await self._answer(request, seen)
                tracing.note(kmini_verb=seen.verb, kmini_resource=seen.resource)
        except ApiError as error:
            answer = failure(error, request.headers.get("Accept"))
        except web.HTTPException as error:
            answer = failure(_of_aiohttp(error), request.headers.get("Accept"))
        except Exception:
            log.exception("request failed", extra={"requestID": request_id, "method": request.method})
            message = f"Internal error occurred: see the server's log for request {request_id}"
            answer = failure(InternalError(message), request.headers.get("Accept"))
        finally:
            self.running -= 1
        if not isinstance(answer, Reply):
            return answer  # somebody wrote by himself: a watch, a tunnel
        self._note(answer.status, seen, time.perf_counter() - started_s)
        # A client that was not told to send its body may still do so: nobody knows where its next request begins.
        close = self.draining or (answer.status >= 400 and "Expect" in request.headers)
        return send(request, answer, request_id, close=close)

    def _note(self, status: int, seen: _Seen, seconds: float) -> None:
        self._metrics.observe(seen.verb, seen.resource, status, seconds)
        if seconds > SLOW_REQUEST_S or status >= 500:
            extra = {
                "requestID": seen.request_id,
                "verb": seen.verb,
                "resource": seen.resource,
                "user": seen.user,
                "code": status,
                "seconds": round(seconds, 3),
            }
            log.info("request", extra=extra)

    async def _answer(self, request: web.BaseRequest, seen: _Seen) -> Answered:
        raw_path, _, raw_query = request.raw_path.partition("?")
        route = self._route(raw_path)
        target = route.target
        query = parse_query(raw_query)
        user = await self._user(request, seen)
        if target is None:
            return await self._no_resource(request, route.segments, query, user, seen)
        if self.draining:
            raise ServiceUnavailable("the server is going down", retry_after_s=1)
        verb = verb_of(request.method, target, query)
        seen.verb, seen.resource = verb, route.shown
        document: Document | None = None
        if verb == "create" and target.resource.conversion is not None and not target.namespace:
            document, target = await self._in_its_namespace(request, target, user)
        attributes = await self._permitted(route, target, user, verb, query)
        if target.subresource in NODE_SUBRESOURCES:  # these last, and have a bound of their own
            return await self._dispatcher.to_node(request, target, user)
        call = self._call(target, user, verb, query, request.headers, seen.request_id)
        self._let_create(call, attributes)
        if target.resource.computed:  # waits for agents, and has a bound of its own
            return await self._dispatcher.answer(request, target, call)
        if verb == "watch":
            async with self._gate.watching():
                return await self._dispatcher.answer(request, target, call)
        lane = self._gate.lane_of(user, verb, target.resource.plural)
        if not lane.enter():
            await lane.wait()
        try:
            if request.method not in _NO_BODY:
                call.body, call.content_type = document or await read_document(request)
            return await self._dispatcher.answer(request, target, call)
        finally:
            lane.leave()

    async def _in_its_namespace(self, request: web.BaseRequest, target: Target, user: User) -> tuple[Document, Target]:
        """The native API takes the namespace from the object, so its body is read before rights are known.

        It counts as a request that runs, and nobody's body is read unless everybody may write everywhere.
        """
        if GROUP_UNAUTHENTICATED in user.groups:
            await self._authorizer.require(user, attributes_of("create", target, {}))
        lane = self._gate.lane_of(user, "create", target.resource.plural)
        if not lane.enter():
            await lane.wait()
        try:
            document = await read_document(request)
            return document, in_namespace_of(*document, target)
        finally:
            lane.leave()

    def _route(self, raw_path: str) -> Route:
        """What a path means; remembered, since clients ask for the same again and again."""
        known = self._routes.get(raw_path)
        if known is None:
            segments = segments_of(raw_path)
            target = parse_target(self._table, segments)
            known = Route(segments, target, shown_resource(target) if target is not None else "", {})
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            if len(raw_path) <= ROUTE_CHARACTERS_MAX:
                self._routes[raw_path] = known
        return known

    async def _permitted(
        self, route: Route, target: Target, user: User, verb: str, query: Mapping[str, str]
    ) -> Attributes:
        """What is asked for, once the user may ask and the resource has it. Raises Forbidden, MethodNotAllowed, ..."""
        plain = target is route.target and not query
        known = route.asked.get(verb) if plain else None
        attributes = known or attributes_of(verb, target, query)
        await self._authorizer.require(user, attributes)
        if known is None:
            check_allowed(verb, target)
            if plain:
                route.asked[verb] = attributes
        return attributes

    async def _user(self, request: web.BaseRequest, seen: _Seen) -> User:
        """The identity the request acts as. Raises Unauthorized, Forbidden."""
        certificate, authorization = peer_certificate(request), request.headers.get("Authorization")
        user = self._authenticator.remembered(authorization) if authorization and not certificate else None
        if user is None:
            user = await self._authenticator.authenticate(certificate, authorization)
        seen.user = user.name
        if _impersonates(request):
            other = impersonation(list(request.headers.items()))
            if other is not None:
                await self._authorizer.require_all(user, other.wanted)
                seen.user = f"{other.user.name} by {user.name}"
                return other.user
        return user

    async def _no_resource(
        self,
        request: web.BaseRequest,
        segments: list[str],
        query: Mapping[str, str],
        user: User,
        seen: _Seen,
    ) -> Answered:
        seen.verb = request.method.lower() if request.method in ("GET", "HEAD", "POST", "PUT") else "other"
        plain = "/" + "/".join(segments)
        if plain not in PUBLIC_PATHS and not plain.startswith(SELF_AUTHORIZED):
            await self._authorizer.require(user, Attributes(verb=seen.verb, path=plain))
        answer = await self._special(request, plain, segments, query, user)
        if answer is None:
            raise NotFound("the server could not find the requested resource")
        seen.resource = segments[0][:32] or "root"
        return answer

    def _call(
        self,
        target: Target,
        user: User,
        verb: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        request_id: str,
    ) -> Call:
        return Call(
            user=user,
            resource=target.resource,
            stored=self._table.stored(target.resource),
            verb=verb,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            query=query,
            content_type=headers.get("Content-Type", ""),
            fence=headers.get("X-Kmini-Fence", ""),
            request_id=request_id,
        )

    def _let_create(self, call: Call, attributes: Attributes) -> None:
        """A PUT may make an object of some kinds, for who may create one."""
        if call.verb == "update" and call.stored.strategy.allow_create_on_update:
            call.may_create = partial(self._authorizer.require, call.user, attributes._replace(verb="create"))

    # --- from within this process -----------------------------------------------------------------------

    async def local(self, asked: LocalRequest) -> Reply:
        """The answer to a request that came by no connection. Rights, lanes, rules and numbers are everybody's."""
        started_s = time.perf_counter()
        seen = _Seen(f"{self._id_prefix}-{next(self._ids):x}")
        seen.user = asked.user.name
        self.running += 1
        try:
            answer = await self._answer_local(asked, seen)
        except ApiError as error:
            answer = failure(error)
        except Exception:
            log.exception("request failed", extra={"requestID": seen.request_id, "method": asked.method})
            message = f"Internal error occurred: see the server's log for request {seen.request_id}"
            answer = failure(InternalError(message))
        finally:
            self.running -= 1
        self._note(answer.status, seen, time.perf_counter() - started_s)
        return answer

    async def _answer_local(self, asked: LocalRequest, seen: _Seen) -> Reply:
        route = self._route(asked.path)
        target, query = route.target, parse_query(asked.query)
        if target is None or target.subresource in NODE_SUBRESOURCES:
            raise NotFound("the server could not find the requested resource")
        if self.draining:
            raise ServiceUnavailable("the server is going down", retry_after_s=1)
        verb = verb_of(asked.method, target, query)
        seen.verb, seen.resource = verb, route.shown
        attributes = await self._permitted(route, target, asked.user, verb, query)
        call = self._call(target, asked.user, verb, query, asked.headers, seen.request_id)
        call.body = asked.body
        self._let_create(call, attributes)
        lane = self._gate.lane_of(asked.user, verb, target.resource.plural)
        if not lane.enter():
            await lane.wait()
        try:
            return await self._dispatcher.reply(call, asked.headers.get("Accept"))
        finally:
            lane.leave()


class LocalRequest(NamedTuple):
    """What a client in this process asks, as the user that it is. `headers` have the names that HTTP's usually have."""

    user: User
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class _Seen:
    """What logs and metrics say of a request."""

    __slots__ = ("request_id", "resource", "user", "verb")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.verb = "other"
        self.resource = "none"
        self.user = ""


def shown_resource(target: Target) -> str:
    resource = target.resource.group_resource
    return f"{resource}/{target.subresource}" if target.subresource in _COUNTED else resource


_COUNTED = frozenset({"status", "scale", "binding", "eviction", "token", "approval", "finalize", "log", "exec"})


_INITIALS = (b"I", b"i")


def _impersonates(request: web.BaseRequest) -> bool:
    for name, _ in request.raw_headers:  # noqa: SIM110 - a generator would cost more than the rest
        if name[:1] in _INITIALS and name[:12].lower() == b"impersonate-":
            return True
    return False


async def read_document(request: web.BaseRequest) -> Document:
    """The body and its content type; YAML, which is slow to read, as JSON. Raises as `read_body`."""
    body, content_type = await read_body(request), request.headers.get("Content-Type", "")
    if len(body) > YAML_BYTES_ON_LOOP and is_yaml(content_type):
        return await asyncio.to_thread(yaml_as_json, body), "application/json"
    return body, content_type


async def read_body(request: web.BaseRequest) -> bytes:
    """Raises RequestTooLarge, Timeout, UnsupportedMediaType, BadRequest."""
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("the body is compressed: the server takes it as it is only")
    length = request.content_length
    if length is not None and length > BODY_BYTES_MAX:
        raise _too_large()
    invite_body(request)
    try:
        if length is not None and request.content.is_eof():  # all of it is there, as of short ones
            body = request.content.read_nowait()
            return body if len(body) == length else body + await request.read()
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError:
        raise Timeout(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadRequest(f"the body could not be read: {error}") from None


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"the body is larger than the limit of {BODY_BYTES_MAX} bytes")


def _of_aiohttp(error: web.HTTPException) -> ApiError:
    if error.status == 413:
        return _too_large()
    if error.status == 503:
        return ServiceUnavailable(error.reason, retry_after_s=1)
    return BadRequest(error.reason)
