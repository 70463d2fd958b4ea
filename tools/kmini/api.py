"""A blocking client of a replica's API port, for the commands that look at one or join one.

One request, one connection, never repeated. Errors become CommandErrors that name the address; what the server says
in a Status is passed on as it stands. `apiserver.client` is what programs use.
"""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .addresses import split_host_port
from .errors import CommandError
from .layout import Layout, Running

TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class ApiFailure(CommandError):
    """The server answered with an error; `code` is the HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def api_request(
    layout: Layout, method: str, path: str, body: object = None, *, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Ask the replica that runs in a data directory, as its admin. The answer's JSON object. Raises CommandError."""
    running = running_server(layout)
    raw = None if body is None else json.dumps(body).encode()
    answer = request(running.api_address, admin_context(layout.pki), method, path, raw, timeout_s=timeout_s)
    return json_object(answer, running.api_address)


def running_server(layout: Layout) -> Running:
    running = layout.running()
    if running is None:
        raise CommandError(f"nothing runs in {layout.data_dir}")
    return running


def admin_context(pki: Path) -> ssl.SSLContext:
    """TLS as the admin of a data directory. Raises CommandError."""
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    except OSError as error:
        raise CommandError(f"cannot use the certificates in {pki}: {error.strerror or error}") from error
    return context


def request(
    address: str,
    context: ssl.SSLContext,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """One request to host:port. Raises ApiFailure for a status of 400 and up, CommandError when there is no answer."""
    host, port = split_host_port(address)
    connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX + 1)
    except ssl.SSLError as error:
        raise CommandError(f"{address}: {tls_problem(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"{address} cannot be reached: {error}") from error
    finally:
        connection.close()
    if len(answer) > ANSWER_BYTES_MAX:
        raise CommandError(f"{address} answered with more than {ANSWER_BYTES_MAX} bytes")
    if response.status >= 400:
        raise ApiFailure(f"{address}: {_message_of(answer) or f'HTTP status {response.status}'}", response.status)
    return answer


def json_object(answer: bytes, address: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{address} did not answer with a JSON object: {error}") from error


def json_array(answer: bytes, address: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(answer, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{address} did not answer with a JSON array: {error}") from error


def tls_problem(error: ssl.SSLError) -> str:
    """What a failed handshake means, and what to do about it."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == 9:  # X509_V_ERR_CERT_NOT_YET_VALID
            return f"the server's certificate is not valid yet: check this machine's clock, which says {now}"
        if error.verify_code == 10:  # X509_V_ERR_CERT_HAS_EXPIRED
            return (
                f"the server's certificate is over, if this machine's clock is right (it says {now}): a server renews "
                "its certificates while it runs and when it starts"
            )
        return f"the server's certificate is not one this cluster's CA vouches for: {error.verify_message}"
    if error.reason is not None and "CERTIFICATE_EXPIRED" in error.reason:
        return f"the server says that our certificate is over: renew it, and check both clocks (here it is {now})"
    return f"TLS failed: {error.reason or error}"


def _message_of(answer: bytes) -> str:
    """The message of a Status, or the text itself when it is a short line."""
    try:
        status = msgspec.json.decode(answer, type=dict[str, Any])
        return str(status.get("message", ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer[:200].decode("utf-8", "replace").strip()
