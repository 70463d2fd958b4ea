"""Calls from one replica's API server to those of the others, with the replica's own certificate.

Short requests of the key ring's keeper: one session, few connections, bounded answers. The TLS context is kept so that
a renewed certificate can be loaded into it (rotating.py).
"""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import msgspec

from apiserver.api.errors import ApiError, ServiceUnavailable, from_status
from apiserver.api.meta import Status
from apiserver.client.sockets import make_socket

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1024 * 1024
CONNECTIONS_MAX = 16


def replica_context(folder: Path) -> ssl.SSLContext:
    """TLS as this replica towards others. `folder` is DIR/pki. Raises OSError."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "replica.crt", folder / "replica.key")
    return context


class ReplicaCalls:
    """Make it on the running loop; `close` ends its connections."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        connector = aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS_MAX, socket_factory=make_socket)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, address: str, method: str, path: str, body: bytes) -> bytes:
        """One request to host:port. Raises ApiError, and OSError when there is no answer."""
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method, f"https://{address}{path}", data=body, headers=headers
            ) as response:
                answer = await response.content.read(ANSWER_BYTES_MAX + 1)
                while len(answer) <= ANSWER_BYTES_MAX and not response.content.at_eof():
                    answer += await response.content.read(ANSWER_BYTES_MAX + 1 - len(answer))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(f"{address} does not answer: {error or type(error).__name__}") from error
        if len(answer) > ANSWER_BYTES_MAX:
            raise ServiceUnavailable(f"{address} answered with more than {ANSWER_BYTES_MAX} bytes")
        if response.status >= 400:
            raise _error(address, response.status, answer)
        return answer


def _error(address: str, code: int, answer: bytes) -> ApiError:
    try:
        return from_status(msgspec.json.decode(answer, type=Status))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ServiceUnavailable(f"{address} answered with HTTP status {code}")
