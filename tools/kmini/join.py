"""How a replica joins a running cluster through the API: `kmini server --join https://ip:6443 --token-file FILE`.

First the cluster CA is fetched over a connection that trusts nobody yet; it counts only when its hash is the one in the
token. Everything else goes over TLS under that CA: only then is the token shown, and the shared keys come sealed to a
key made for this request. After that the replica joins over the peer port like any other. Runs before anything
listens; blocking.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from apiserver.auth import joining, pki
from apiserver.auth.join_token import JoinToken, parse_join_token
from apiserver.auth.keyring import PkiError

from .addresses import join_host_port
from .api import TIMEOUT_S, request
from .errors import CommandError
from .layout import Layout

API_PORT = 6443
TOKEN_BYTES_MAX = 4096


def join(url: str, token_file: Path, layout: Layout, *, name: str) -> dict[str, str]:
    """Fetch the shared keys into DIR/pki; the members, name → host:port of the peer port. Raises CommandError."""
    address = address_of(url)
    token = read_token(token_file)
    context = trusting_ca(fetch_ca(address, token.ca_hash))
    asking = joining.Asking(name, purpose=joining.PURPOSE_JOIN)
    bearer = {"Authorization": f"Bearer {token.bootstrap.text}"}
    answer = request(address, context, "POST", joining.PATH_JOIN, asking.body, bearer)
    try:
        shared = joining.receive(asking, answer)
        joining.accept(shared, layout.pki, token.ca_hash)
    except (ValueError, PkiError, OSError) as error:
        raise CommandError(f"cannot join through {address}: {error}") from error
    return shared.members


def has_joined(layout: Layout) -> bool:
    """Whether this data directory belongs to a cluster already: then there is nothing to join."""
    return (layout.raft / "identity").exists()


def address_of(url: str) -> str:
    """host:port of `https://host[:port]`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{url!r} is not https://address:port")
    return join_host_port(parts.hostname, parts.port or API_PORT)


def read_token(path: Path) -> JoinToken:
    """Raises CommandError, which never shows the token."""
    try:
        with path.open("rb") as file:
            return parse_join_token(file.read(TOKEN_BYTES_MAX).decode())
    except (OSError, ValueError) as error:
        reason = "it is not text" if isinstance(error, UnicodeDecodeError) else error
        raise CommandError(f"cannot use the token in {path}: {reason}") from None


def fetch_ca(address: str, ca_hash: str) -> bytes:
    """The cluster CA in PEM, if it is the one the token pins. Raises CommandError."""
    nobody_yet = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody_yet.check_hostname = False
    nobody_yet.verify_mode = ssl.CERT_NONE  # nothing is believed but what has the hash, and nothing secret is sent
    pem = request(address, nobody_yet, "GET", joining.PATH_CA, timeout_s=TIMEOUT_S)
    try:
        found = pki.certificate_hash(pem)
    except ValueError as error:
        raise CommandError(f"{address} did not answer with a certificate: {error}") from error
    if found != ca_hash:
        raise CommandError(
            f"{address} is not a server of the cluster this token is for: its CA has another hash; it was sent nothing"
        )
    return pem


def trusting_ca(pem: bytes) -> ssl.SSLContext:
    """TLS that trusts this CA and no other, and checks the server's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=pem.decode("ascii"))
    return context
