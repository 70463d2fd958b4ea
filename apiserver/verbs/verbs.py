"""Every verb behind one call: which function answers which (verb, subresource)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from apiserver.api.authentication import TokenRequest
from apiserver.api.errors import MethodNotAllowed
from apiserver.verbs import subresources
from apiserver.verbs.answer import Answer, ListAnswer, ObjectAnswer, ValueAnswer
from apiserver.verbs.call import Call, ListOptions
from apiserver.verbs.deleting import Deleter
from apiserver.verbs.patching import patch_object
from apiserver.verbs.reading import Reader
from apiserver.verbs.writing import Writer

#: Answers a review (a kind that is never stored): the typed body → the same with its status.
Review = Callable[[Call, Any], Awaitable[Any]]
#: Answers get and list of a kind that is made when it is asked for.
Compute = Callable[[Call], Awaitable[Answer]]
#: Makes a token: (account, request, warn) → the request with its status.
IssueToken = Callable[[Any, TokenRequest, Callable[[str], None]], Awaitable[Any]]


class Verbs:
    """Raises ApiError."""

    def __init__(
        self,
        reader: Reader,
        writer: Writer,
        deleter: Deleter,
        review: Review,
        issue_token: IssueToken,
        compute: Compute,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.deleter = deleter
        self._review = review
        self._issue_token = issue_token
        self._compute = compute

    async def run(self, call: Call) -> Answer:
        """Anything but a watch."""
        if call.subresource and call.subresource != "status":
            return await self._subresource(call)
        if call.resource.computed:
            return await self._compute(call)
        match call.verb:
            case "get":
                return ObjectAnswer(call.resource, await self.reader.get(call))
            case "list":
                listed = await self.reader.list_objects(call, ListOptions.parse(call.query))
                return ListAnswer(call.resource, *listed)
            case "create" if call.stored.key == "bindings":
                return await subresources.bind_by_body(self.writer, call)
            case "create" if "get" not in call.stored.verbs:
                return ValueAnswer(await self._review(call, self.writer.body(call, call.resource)), 201)
            case "create":
                return await self.writer.create(call)
            case "update":
                return await self.writer.update(call)
            case "patch":
                return await patch_object(self.writer, call)
            case "delete":
                return await self.deleter.delete(call)
            case "deletecollection":
                return await self.deleter.delete_collection(call)
        raise MethodNotAllowed(f"the server does not know the verb {call.verb!r}")

    async def _subresource(self, call: Call) -> Answer:
        match call.subresource, call.verb:
            case "scale", "get":
                return await subresources.get_scale(self.reader, call)
            case "scale", "update" | "patch":
                return await subresources.update_scale(self.writer, call)
            case "binding", "create":
                return await subresources.bind(self.writer, call)
            case "eviction", "create":
                return await subresources.evict(self.deleter, call)
            case "ephemeralcontainers", "get":
                return ObjectAnswer(call.resource, await self.reader.get(call))
            case "ephemeralcontainers", "update" | "patch":
                return await subresources.add_ephemeral_containers(self.writer, call)
            case "finalize", "update":
                return await subresources.finalize(self.writer, call)
            case "approval", "get":
                return ObjectAnswer(call.resource, await self.reader.get(call))
            case "approval", "update" | "patch":
                return await subresources.approve(self.writer, call)
            case "token", "create":
                return await subresources.request_token(self.writer, self.reader, self._issue_token, call)
        raise MethodNotAllowed(f"{call.resource.plural}/{call.subresource} has no {call.verb}")
