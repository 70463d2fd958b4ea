"""A request for a resource: what it wants (`Attributes`), which verb does it, and how the answer looks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import HttpVersion11, web

from apiserver.api.errors import ApiError, Gone, InternalError, MethodNotAllowed, NotFound
from apiserver.api.meta import ListMeta
from apiserver.auth.user import Attributes, User
from apiserver.http import negotiation, tables
from apiserver.http.connection import SENT_AND_CLOSE, SENT_AND_OPEN, TransportWire
from apiserver.http.forms import Look, ResourceView, value_bytes
from apiserver.http.negotiation import Accepted, Form
from apiserver.http.paths import Target
from apiserver.http.responses import Answered, Reply, head_of, response, warning_header
from apiserver.http.watch import LAST_CHUNK, Framing, WatchSession
from apiserver.registry.native import VERSION as NATIVE
from apiserver.registry.resource import Resource
from apiserver.storage import Stored
from apiserver.verbs.answer import Answer, ListAnswer, ObjectAnswer, ValueAnswer
from apiserver.verbs.call import Call, ListOptions
from apiserver.verbs.reading import Reader, no_pieces
from apiserver.verbs.selection import Selection
from apiserver.verbs.verbs import Verbs

WATCH_TIMEOUT_S_MIN = 1800  # a watch without a time of its own gets one between this and twice this
CLOSE_GRACE_S = 30.0  # what a client has to read the end of its watch
STREAM_FROM_STEPS = 2  # a list that takes more turns of the event loop is written piece by piece
STREAM_BUFFER_BYTES = 1024 * 1024
_PLAIN = negotiation.PLAIN

log = logging.getLogger(__name__)

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
#: Subresources that lead to the node's agent.
NODE_SUBRESOURCES = frozenset({"log", "exec", "attach", "portforward", "proxy"})


class NodeProxy(Protocol):
    """Takes a request to the agent of the node it concerns (apiserver/http/node_proxy.py)."""

    async def __call__(self, request: web.BaseRequest, target: Target, user: User) -> Answered: ...

    def close(self) -> None:
        """End what is open."""


def verb_of(method: str, target: Target, query: Mapping[str, str]) -> str:
    """Raises MethodNotAllowed."""
    verb = _VERBS.get(method)
    if verb is None:
        raise MethodNotAllowed(f"the server does not allow the method {method[:16]!r} on the requested resource")
    if verb == "get" and not target.name:
        watches = query.get("watch", "").lower() in ("1", "true", "t")
        return "watch" if watches and method == "GET" else "list"
    if verb == "delete" and not target.name:
        return "deletecollection"
    return verb


def attributes_of(verb: str, target: Target, query: Mapping[str, str]) -> Attributes:
    resource = target.resource
    return Attributes(
        verb=verb,
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        subresource=target.subresource,
        # a namespace's own object lies in it, so that rights in the namespace let one see it (as in Kubernetes)
        namespace=target.namespace or (target.name if resource.plural == "namespaces" else ""),
        name=target.name,
        field_selector=query.get("fieldSelector", "") if not target.name else "",
        label_selector=query.get("labelSelector", "") if not target.name else "",
    )


def check_allowed(verb: str, target: Target) -> None:
    """Whether the resource has the subresource and the verb. Raises NotFound, MethodNotAllowed."""
    resource = target.resource
    verbs: tuple[str, ...] = resource.verbs
    if target.subresource:
        subresource = resource.subresource(target.subresource)
        if subresource is None:
            raise NotFound("the server could not find the requested resource")
        verbs = subresource.verbs
        if target.subresource in NODE_SUBRESOURCES:
            return
    elif (verb == "create") == bool(target.name) and verb in ("create", "update", "patch"):
        raise MethodNotAllowed("the server does not allow this method on the requested resource")
    if resource.namespaced and not target.namespace and (target.name or verb not in ("list", "watch")):
        raise MethodNotAllowed(
            f"the server does not allow this method on the requested resource: {resource.group_resource} lie in "
            "namespaces, and the path names none"
        )
    if verb not in verbs:
        raise MethodNotAllowed(
            f"the server does not allow this method on the requested resource: {resource.group_resource} has no {verb}"
        )
    everywhere = resource.namespaced and not target.namespace
    if everywhere and (verb == "deletecollection" or (verb == "create" and resource.version != NATIVE)):
        raise MethodNotAllowed(
            "the server does not allow this method on the requested resource: "
            f"{resource.group_resource} need a namespace"
        )


class Dispatcher:
    """Answers requests for resources, once they are authorized."""

    def __init__(self, verbs: Verbs, views: Mapping[Resource, ResourceView], node_proxy: NodeProxy) -> None:
        self._verbs = verbs
        self._reader: Reader = verbs.reader
        self._views = views
        self._node_proxy = node_proxy
        self.sessions: set[WatchSession] = set()
        self._ending = False

    async def to_node(self, request: web.BaseRequest, target: Target, user: User) -> Answered:
        """Logs, exec and the like, which the node's agent answers."""
        return await self._node_proxy(request, target, user)

    async def answer(self, request: web.BaseRequest, target: Target, call: Call) -> Answered:
        if call.resource.deprecated:
            call.warn(call.resource.deprecated)
        if call.verb == "watch":
            return await self._watch(request, call)
        accepted = self._accepted(request)
        if call.resource.computed:
            return await self._shown(request, await self._verbs.run(call), accepted, call)
        if call.verb == "get" and accepted is _PLAIN and not call.subresource:  # what is asked most, without detours
            body = self._views[call.resource].object(await self._reader.get(call))
            return response(body, accepted.content_type, warnings=call.warnings)
        if call.verb == "list" and request.method == "GET":
            options = ListOptions.parse(call.query)
            if not options.limit:
                return await self._list(request, call, options, accepted)
        answer = await self._verbs.run(call)
        return await self._shown(request, answer, accepted, call)

    async def reply(self, call: Call, accept: str | None) -> Reply:
        """The answer in one piece, whatever its length: for who asks from within this process. Not for watches."""
        if call.verb == "watch":
            raise MethodNotAllowed("a watch takes a connection")
        accepted = negotiation.negotiate(accept)
        answer = await self._verbs.run(call)
        if not isinstance(answer, ListAnswer):
            return await self._short(answer, accepted, call)
        look, metadata = self._look(answer.resource, accepted, call), _metadata(answer)
        if len(answer.items) < STREAM_FROM_STEPS * look.per_step:
            return response(look.list(answer.items, metadata), accepted.content_type, warnings=call.warnings)
        made: list[bytes] = []
        async for piece in look.list_pieces(answer.items, no_pieces(), metadata):
            made.append(piece)
            await asyncio.sleep(0)
        return response(b"".join(made), accepted.content_type, warnings=call.warnings)

    async def _list(self, request: web.BaseRequest, call: Call, options: ListOptions, accepted: Accepted) -> Answered:
        """A list without a limit: in one piece while it is short, else chunk by chunk, never whole in memory."""
        look = self._look(call.resource, accepted, call)
        listing = await self._reader.open_list(call, options)
        metadata = ListMeta(resource_version=str(listing.revision))
        items: list[Stored] = []
        async for piece in listing.pieces:
            items += [stored for _, stored in piece]
            if len(items) >= STREAM_FROM_STEPS * look.per_step:
                return await self._long_list(request, call, look, look.list_pieces(items, listing.pieces, metadata))
        return response(look.list(items, metadata), accepted.content_type, warnings=call.warnings)

    @staticmethod
    async def _long_list(request: web.BaseRequest, call: Call, look: Look, pieces: AsyncIterator[bytes]) -> Answered:
        content_type = look.accepted.content_type
        if request.version == HttpVersion11 and request.method != "HEAD":
            return await stream_list(request, _chunked_head(content_type, call, close=not request.keep_alive), pieces)
        made: list[bytes] = []
        async for piece in pieces:
            made.append(piece)
            await asyncio.sleep(0)
        return response(b"".join(made), content_type, warnings=call.warnings)

    @staticmethod
    def _accepted(request: web.BaseRequest) -> Accepted:
        accept = request.headers.get("Accept")
        if accept is None or accept in ("application/json", "*/*"):
            return _PLAIN
        return negotiation.negotiate(accept)

    async def _shown(self, request: web.BaseRequest, answer: Answer, accepted: Accepted, call: Call) -> Answered:
        if not isinstance(answer, ListAnswer):
            return await self._short(answer, accepted, call)
        look, metadata = self._look(answer.resource, accepted, call), _metadata(answer)
        if len(answer.items) >= STREAM_FROM_STEPS * look.per_step:
            pieces = look.list_pieces(answer.items, no_pieces(), metadata)
            return await self._long_list(request, call, look, pieces)
        return response(look.list(answer.items, metadata), accepted.content_type, warnings=call.warnings)

    async def _short(self, answer: ObjectAnswer | ValueAnswer, accepted: Accepted, call: Call) -> Reply:
        """An object, or a value that is none."""
        if isinstance(answer, ObjectAnswer):
            body = await self._look(answer.resource, accepted, call).one(answer.stored)
        else:
            accepted = accepted if accepted.form is Form.YAML else _PLAIN
            body = value_bytes(answer.value, accepted)
        return response(body, accepted.content_type, status=answer.code, warnings=call.warnings)

    def _look(self, resource: Resource, accepted: Accepted, call: Call) -> Look:
        include = (
            tables.check_include_object(call.query.get("includeObject", "")) if accepted.form is Form.TABLE else ""
        )
        return Look(self._views[resource], accepted, include)

    # --- watches ------------------------------------------------------------------------------------

    async def _watch(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        options = ListOptions.parse({**call.query, "watch": "1"})
        accepted = negotiation.negotiate(request.headers.get("Accept"), negotiation.WATCHES)
        event_stream = accepted.form is Form.EVENT_STREAM
        shown = _PLAIN if event_stream else accepted
        framing = Framing(self._look(call.resource, shown, call), event_stream=event_stream)
        selection = Selection(call.stored, options.labels, options.fields)
        if selection.namespace and not call.namespace and call.stored.namespaced:
            call.namespace = selection.namespace
        start, initial = await self._start_of_watch(request, options)
        feed = self._reader.feeds.of(call.stored)
        transport = request.transport
        if transport is None:
            return SENT_AND_CLOSE
        wire = TransportWire(transport)
        session = WatchSession(
            self._reader.storage, feed, wire, framing, selection, call.namespace, bookmarks=options.bookmarks
        )
        items = self._initial_items(call, selection, start) if initial else None
        compacted = self._reader.storage.store.compact_revision
        if items is None and start < compacted:  # what was before the next change is needed too
            raise Gone(f"too old resource version: {start} ({compacted})")
        return await self._serve(request, call, session, options, start, items, accepted.content_type)

    async def _start_of_watch(self, request: web.BaseRequest, options: ListOptions) -> tuple[int, bool]:
        """The revision to tell changes after, and whether what is there comes first."""
        version, initial = options.version, bool(options.initial_events)
        last_event = request.headers.get("Last-Event-ID", "")
        if version is None and last_event.isascii() and last_event.isdigit():
            version = int(last_event[:19])
        if version is None:
            await self._reader.storage.linearize()
            return self._reader.storage.store.revision, initial or options.initial_events is None
        if version == 0:
            return self._reader.storage.store.revision, initial or options.initial_events is None
        await self._reader.applied(version)
        if initial:
            return self._reader.storage.store.revision, True
        return version, False

    async def _serve(
        self,
        request: web.BaseRequest,
        call: Call,
        session: WatchSession,
        options: ListOptions,
        start: int,
        items: Any,
        content_type: str,
    ) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        timeout_s = options.timeout_s or int(WATCH_TIMEOUT_S_MIN * (1 + random.random()))
        timer = asyncio.get_running_loop().call_later(timeout_s, session.end)
        self.sessions.add(session)
        if self._ending:
            session.end()
        transport.write(_chunked_head(content_type, call, close=True))
        try:
            await session.run(start, items, mark_initial_end=bool(options.initial_events))
        except ApiError as error:
            session.fail(error)
        except Exception:  # the answer has begun: there cannot be another one
            log.exception("watch failed", extra={"requestID": call.request_id})
            session.fail(InternalError(f"Internal error occurred: see the server's log for request {call.request_id}"))
        finally:
            self.sessions.discard(session)
            timer.cancel()
        if not transport.is_closing():
            transport.write(LAST_CHUNK)
            asyncio.get_running_loop().call_later(CLOSE_GRACE_S, transport.abort)  # for one that does not read
        return SENT_AND_CLOSE

    def _initial_items(self, call: Call, selection: Selection, revision: int) -> Any:
        """Objects as of `revision`, page by page."""

        async def items() -> AsyncIterator[Stored]:
            async for stored in self._reader.objects_at(call, selection, revision):
                yield stored

        return items

    def end_sessions(self) -> None:
        """Let every watch end, with a bookmark to resume from; those that are about to begin, too."""
        self._ending = True
        for session in list(self.sessions):
            session.end()
        self._node_proxy.close()

    def bookmark_all(self) -> None:
        for session in list(self.sessions):
            if session.bookmarks:
                session.bookmark()


def _metadata(answer: ListAnswer) -> ListMeta:
    return ListMeta(
        resource_version=str(answer.revision or ""), continue_=answer.following, remaining_item_count=answer.remaining
    )


def _chunked_head(content_type: str, call: Call, *, close: bool) -> bytes:
    fields = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-cache, private"),
        ("Transfer-Encoding", "chunked"),
        *([("Connection", "close")] if close else []),
        ("X-Request-Id", call.request_id),
        *(("Warning", warning_header(text)) for text in call.warnings),
    ]
    return head_of(200, fields)


async def stream_list(request: web.BaseRequest, head: bytes, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Write pieces as they come, no faster than the client reads. What fails in between cuts the connection."""
    transport = request.transport
    if transport is None:
        return SENT_AND_CLOSE
    transport.write(head)
    transport.set_write_buffer_limits(STREAM_BUFFER_BYTES, STREAM_BUFFER_BYTES // 2)
    try:
        async for piece in pieces:
            transport.writelines((b"%x\r\n" % len(piece), piece, b"\r\n"))
            await asyncio.sleep(0)
            if request.protocol.writing_paused:
                await request.writer.drain()
            if transport.is_closing():
                return SENT_AND_CLOSE
    except ConnectionError:
        return SENT_AND_CLOSE
    except Exception as error:  # the answer has begun: there cannot be another one
        if isinstance(error, ApiError):
            log.info("list cut off", extra={"reason": error.message})
        else:
            log.exception("list cut off")
        transport.abort()
        return SENT_AND_CLOSE
    finally:
        transport.set_write_buffer_limits()
    transport.write(LAST_CHUNK)
    return SENT_AND_OPEN if request.keep_alive else SENT_AND_CLOSE
