"""TLS between replicas: both sides show a certificate of the peer CA, and its URI SAN says who they are.

Nothing else authenticates a peer, and no other authority is trusted: not the cluster CA, not the system's.
Host names are not checked, for identity is the member id, whatever address it answers on.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..identity import PeerIdentity


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """PEM files. `authority` may hold several certificates while the peer CA is being rotated."""

    authority: Path
    certificate: Path
    key: Path


class TlsContexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


class Refusal(Exception):
    """A peer that is not let in. `reason` is a short constant for counters; the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def load_contexts(credentials: Credentials) -> TlsContexts:
    """Read the files. Raises OSError (ssl.SSLError is one) when one is missing or bad."""
    server = _restrict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), credentials)
    client = _restrict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), credentials)
    server.num_tickets = 0  # a resumed session would outlive a replaced certificate
    return TlsContexts(server, client)


def _restrict(context: ssl.SSLContext, credentials: Credentials) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cafile=credentials.authority)
    context.load_cert_chain(credentials.certificate, credentials.key)
    return context


def identity_of(certificate: Any) -> PeerIdentity:
    """The identity in a verified certificate, as `ssl` decodes it. Raises Refusal."""
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    if len(uris) != 1 or len(names) != 1:
        raise Refusal("bad_identity", f"certificate needs one URI name and no other, has {names!r:.200}")
    try:
        return PeerIdentity.parse(uris[0])
    except ValueError as error:
        raise Refusal("bad_identity", str(error)) from error


def handshake_refusal(error: BaseException) -> Refusal:
    """Why a TLS handshake came to nothing, as a counter's reason and a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal("untrusted_certificate", f"certificate is not of the peer CA: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return Refusal("no_certificate", "peer showed no certificate")
        if error.reason is not None and "ALERT" in error.reason:
            return Refusal("refused_by_peer", f"peer refused our certificate or version: {error.reason}")
        return Refusal("handshake_failed", f"TLS handshake failed: {error.reason or error}")
    if isinstance(error, TimeoutError) or "handshake is taking longer" in str(error):  # the latter is asyncio's
        return Refusal("handshake_timeout", "TLS handshake did not end in time")
    return Refusal("handshake_failed", f"connection ended during the TLS handshake: {error}")
