"""Responses: bodies with their headers, and errors as Status objects."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from apiserver.api.errors import ApiError
from apiserver.http.forms import value_bytes
from apiserver.http.negotiation import negotiate_or_json

WARNINGS_MAX = 20
WARNING_CHARACTERS_MAX = 512
#: What a response of an API that shows secrets always says.
BASE_HEADERS = {"Cache-Control": "no-cache, private"}


def response(body: bytes, content_type: str, *, status: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    answer = web.Response(body=body, status=status, headers=BASE_HEADERS, content_type=None)
    answer.headers["Content-Type"] = content_type
    for text in list(warnings)[:WARNINGS_MAX]:
        answer.headers.add("Warning", warning_header(text))
    return answer


def warning_header(text: str) -> str:
    """RFC 7234's form: `299 - "text"`."""
    plain = "".join(character if character.isprintable() else " " for character in text)[:WARNING_CHARACTERS_MAX]
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted.encode("ascii", "replace").decode()}"'


def failure(error: ApiError, accept: str | None = None, warnings: Iterable[str] = ()) -> web.Response:
    """A Status object."""
    accepted = negotiate_or_json(accept)
    body = value_bytes(error.status(), accepted)
    answer = response(body, accepted.content_type, status=error.status_code, warnings=warnings)
    if error.retry_after_s:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if error.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
