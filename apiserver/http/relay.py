"""Plain requests passed on to an agent, a pod or a Service: streamed both ways, never held as a whole.

What belongs to one connection stays there (RFC 9110, section 7.6.1), and what says who asks goes no further: an agent
knows the server by its certificate, and pods learn nothing of a client's rights. When the far side breaks off in the
middle, so does the answer: a client can tell it from one that is complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from apiserver.api.errors import ServiceUnavailable, Timeout
from apiserver.client.sockets import make_socket
from apiserver.http.connection import SENT_AND_CLOSE, invite_body
from apiserver.http.tunnel import DIAL_TIMEOUT_S, IDLE_S, Place, dial_failure

ANSWER_TIMEOUT_S = 60.0  # until an answer begins
FIELD_BYTES_MAX = 64 * 1024
_OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OF_WHO_ASKS = frozenset({"authorization", "x-forwarded-client-cert"})
_OF_WHO_ASKS_BEGIN = ("impersonate-", "x-remote-")
_OURS = frozenset({"host", "expect", "content-length"})
_PROTOCOLS = "sec-websocket-protocol"
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 - what begins a client's token, none itself


def forwarded(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What of a request's fields is passed on."""
    fields = list(headers)
    named = {each.lower() for name, value in fields if name.lower() == "connection" for each in _list(value)}
    kept: list[tuple[str, str]] = []
    for name, value in fields:
        lower = name.lower()
        if lower in _OF_ONE_CONNECTION or lower in _OF_WHO_ASKS or lower in _OURS or lower in named:
            continue
        if lower.startswith(_OF_WHO_ASKS_BEGIN):
            continue
        if lower == _PROTOCOLS:
            value = ", ".join(each for each in _list(value) if not each.startswith(_TOKEN_PROTOCOL))
            if not value:
                continue
        kept.append((name, value))
    return kept


def answered_fields(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What of an answer's fields is passed back."""
    fields = list(headers)
    named = {each.lower() for name, value in fields if name.lower() == "connection" for each in _list(value)}
    return [
        (name, value) for name, value in fields if name.lower() not in _OF_ONE_CONNECTION and name.lower() not in named
    ]


def _list(value: str) -> list[str]:
    return [each.strip() for each in value.split(",") if each.strip()]


class Relay:
    """Makes the requests. One connection each: TLS is checked against the name of every single place."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._answers: set[aiohttp.ClientResponse] = set()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=make_socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=DIAL_TIMEOUT_S, sock_read=IDLE_S),
                max_line_size=FIELD_BYTES_MAX,
                max_field_size=FIELD_BYTES_MAX,
            )
        return self._session

    def break_off(self) -> None:
        """End every answer where it is."""
        for answer in list(self._answers):
            answer.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def ask(
        self,
        place: Place,
        method: str,
        path: str,
        fields: Iterable[tuple[str, str]] = (),
        *,
        body: aiohttp.StreamReader | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, as soon as it begins. Raises ServiceUnavailable, Timeout."""
        scheme = "http" if place.tls is None else "https"
        url = URL(f"{scheme}://{place.authority}{path}", encoded=True)
        try:
            async with asyncio.timeout(answer_timeout_s):
                answer = await self._client().request(
                    method,
                    url,
                    headers=list(fields),
                    data=body,
                    ssl=place.tls if place.tls is not None else True,
                    server_hostname=place.server_name or None,
                    allow_redirects=False,
                )
        except aiohttp.ClientConnectorCertificateError as error:
            raise dial_failure(place, error.certificate_error) from None
        except aiohttp.ClientConnectorError as error:
            raise dial_failure(place, error.os_error) from None
        except aiohttp.ConnectionTimeoutError as error:
            raise dial_failure(place, error) from None
        except TimeoutError:
            raise Timeout(f"{place.authority} did not answer within {answer_timeout_s:.0f} s") from None
        except (aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise ServiceUnavailable(f"{place.authority} did not answer: {type(error).__name__}") from None
        self._answers.add(answer)
        try:
            yield answer
        finally:
            self._answers.discard(answer)
            answer.close()


async def pass_back(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, fields: Iterable[tuple[str, str]]
) -> web.StreamResponse:
    """Stream an answer to the client, with these fields."""
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in fields:
        response.headers.add(name, value)
    await response.prepare(request)
    try:
        async for data in answer.content.iter_any():
            await response.write(data)
    except (aiohttp.ClientError, TimeoutError):
        return SENT_AND_CLOSE  # without an end: what came is not all there is, and the client sees it
    await response.write_eof()
    return response


def body_of(request: web.BaseRequest) -> aiohttp.StreamReader | None:
    """The body to pass on; the client is told to send it. Raises ApiError."""
    if not request.body_exists:
        return None
    invite_body(request)
    return request.content
