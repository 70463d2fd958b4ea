"""Answers of the node's API that are sent in one piece; what goes wrong is a Status."""

from __future__ import annotations

import msgspec
from aiohttp import web

from apiserver.api.errors import ApiError

TEXT = "text/plain"
JSON = "application/json"


def reply(body: bytes, content_type: str, *, status: int = 200) -> web.Response:
    charset = "utf-8" if content_type.startswith("text/") else None
    return web.Response(body=body, status=status, content_type=content_type, charset=charset)


def json_reply(value: object) -> web.Response:
    return reply(msgspec.json.encode(value), JSON)


def failure(error: ApiError) -> web.Response:
    answer = reply(msgspec.json.encode(error.status()), JSON, status=error.status_code)
    if error.retry_after_s:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer
