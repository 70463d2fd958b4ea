"""How a machine becomes a node: it proves an agent token and gets a client certificate (docs/contract.md).

First the cluster CA is fetched over a connection that trusts nobody yet; it counts only when its hash is the one in the
token. Everything else goes over TLS under that CA: only then is the token shown. The key stays where it was made. Who
has a certificate that holds needs no token any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from apiserver.api.errors import ApiError, Conflict, Unauthorized
from apiserver.api.join_token import JoinToken, parse_join_token
from apiserver.client import Access, CallOptions, Client, Material, Unanswered, Unreachable
from apiserver.client.requests import JSON, Request

from .clock import Wall
from .errors import BadIdentity, JoinRefused, NoAnswer
from .identity import Identity, certificate_hash, write_file

log = logging.getLogger(__name__)

PATH_CA = "/kmini/v1/ca"
PATH_NODE = "/kmini/v1/node"
FORMAT_VERSION = 1
TOKEN_BYTES_MAX = 4096
TIMEOUT_S = 15.0
_OPTIONS = CallOptions(timeout_s=TIMEOUT_S, try_timeout_s=5.0)
_USER_AGENT = "kmini-agent"


class _NodeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    format: int = FORMAT_VERSION
    node_name: str
    request: str


class _NodeAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    format: int
    certificate: str
    ca: str


def read_token(path: Path) -> JoinToken:
    """Raises JoinRefused, which never shows the token; NoAnswer when there is none, for a server on this machine may
    not have written it yet."""
    try:
        with path.open("rb") as file:
            raw = file.read(TOKEN_BYTES_MAX + 1)
        if len(raw) > TOKEN_BYTES_MAX:
            raise ValueError(f"it is longer than {TOKEN_BYTES_MAX} bytes")
        return parse_join_token(raw.decode("ascii"))
    except FileNotFoundError:
        raise NoAnswer(f"there is no token in {path}") from None
    except UnicodeDecodeError:
        reason = "it is not text"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError as error:
        reason = str(error)
    raise JoinRefused(f"cannot use the token in {path}: {reason}")


async def ensure_identity(
    identity: Identity, servers: Sequence[str], token_file: Path | None, *, wall: Wall = time.time
) -> None:
    """Join, unless there is a certificate that holds. One that is over does not: who was away for so long has been
    replaced, and must not start pods by what it remembers. Raises AgentError: NoAnswer may be tried again."""
    validity = await identity.validity()
    if validity is not None and not validity.is_over(wall()):
        if identity.authority_hash() is None:
            raise BadIdentity(f"{identity.authority_file} is missing: remove {identity.folder} to join anew")
        return
    if token_file is None:
        what = "is over" if validity is not None else "is not there yet"
        raise JoinRefused(f"the certificate of {identity.user} {what}: joining takes a token (--token-file)")
    try:
        await join(identity, servers, read_token(token_file))
    except (JoinRefused, NoAnswer) as error:
        if validity is None:
            raise
        raise type(error)(f"the certificate of {identity.user} is over, and it does not join anew: {error}") from error


async def join(identity: Identity, servers: Sequence[str], token: JoinToken) -> None:
    """Raises AgentError."""
    pinned = identity.authority_hash()
    if pinned is not None and pinned != token.ca_hash:
        raise JoinRefused(f"{identity.folder} belongs to another cluster than the token: use another data directory")
    authority = await fetch_authority(servers, token.ca_hash)
    answer = await _ask(identity, servers, token, authority)
    write_file(identity.authority_file, authority)
    await identity.accept(answer.certificate.encode())
    log.info("joined the cluster", extra={"node": identity.node_name})


async def fetch_authority(servers: Sequence[str], wanted_hash: str) -> bytes:
    """The cluster CA in PEM, if it is the one that the token pins. Raises JoinRefused, NoAnswer."""
    access = Access(servers=tuple(servers), insecure=True)  # nothing is believed but what has the hash
    async with Client(access, options=_OPTIONS, user_agent=_USER_AGENT, learn=False) as client:
        try:
            answer = await client.send(Request(method="GET", path=PATH_CA))
        except (Unreachable, Unanswered) as error:
            raise NoAnswer(error.message) from error
        except ApiError as error:
            raise JoinRefused(f"{client.caller.servers.current} does not give its CA: {error.message}") from error
        server = client.caller.servers.current
    try:
        found = certificate_hash(answer.body)
    except ValueError:
        raise JoinRefused(f"{server} did not answer with a certificate") from None
    if found != wanted_hash:
        raise JoinRefused(
            f"{server} is not a server of the cluster this token is for: its CA has another hash; it was sent nothing"
        )
    return answer.body


async def _ask(identity: Identity, servers: Sequence[str], token: JoinToken, authority: bytes) -> _NodeAnswer:
    access = Access(
        servers=tuple(servers),
        authority=Material(data=authority),
        token=Material(data=token.bootstrap.text.encode()),
    )
    wanted = _NodeRequest(node_name=identity.node_name, request=await identity.new_request())
    body = msgspec.json.encode(wanted)
    request = Request(method="POST", path=PATH_NODE, headers=(("Content-Type", JSON),), body=body)
    async with Client(access, options=_OPTIONS, user_agent=_USER_AGENT, learn=False) as client:
        try:
            answer = await client.send(request)
        except (Unreachable, Unanswered) as error:
            raise NoAnswer(error.message) from error
        except Unauthorized:
            words = "it is wrong, over, or was revoked"
            raise JoinRefused(f"the cluster does not take the token {token.bootstrap.id}: {words}") from None
        except Conflict as error:
            raise JoinRefused(error.message) from error
        except ApiError as error:
            if error.status_code >= 500:
                raise NoAnswer(error.message) from error
            raise JoinRefused(f"the cluster does not let us join: {error.message}") from error
    try:
        found = msgspec.json.decode(answer.body, type=_NodeAnswer)
    except msgspec.DecodeError as error:
        raise JoinRefused(f"the server's answer cannot be read: {error}") from None
    if found.format != FORMAT_VERSION:
        raise JoinRefused(f"the server's answer has format {found.format}, this version knows {FORMAT_VERSION}")
    return found
