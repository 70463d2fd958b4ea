"""A caller's connection at the node's port: its bounds, and how what is no HTTP is answered.

Callers are the cluster's servers, which say in the handshake who they are: whoever does not has few places, and cannot
keep them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from apiserver.api.errors import ApiError, BadRequest, InternalError
from apiserver.listening.connection import Connection, Limits

from .authentication import may_call
from .replies import failure

_PAUSE_S = 10.0
LIMITS = Limits(
    connections=500,
    strangers=50,
    head_timeout_s=_PAUSE_S,
    head_bytes=64 * 1024,
    line_bytes=40 * 1024,  # a command of many words is in the query
    body_bytes=1,
    keep_alive_s=_PAUSE_S,
    stall_s=60.0,
)


class NodeConnection(Connection):
    """What was upgraded has its bounds from nodeagent.streams."""

    def is_known(self, certificate: dict[str, Any] | None) -> bool:
        return may_call(certificate)

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """aiohttp's word for it: the connection speaks another protocol from now on."""
        self.leave_http()
        super().set_parser(parser, data_received_cb)

    def refusal(
        self, request: web.BaseRequest, status: int, error: BaseException | None, message: str
    ) -> web.StreamResponse:
        said: ApiError = BadRequest("the request is not valid HTTP")
        if status >= 500:
            said = InternalError("Internal error occurred: see the agent's log")
        answer = failure(said)
        answer.force_close()
        return answer
