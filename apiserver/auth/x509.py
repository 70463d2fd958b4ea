"""Who a client certificate names: the common name is the user, each organization a group (as Kubernetes reads them).

The TLS layer has proved that the cluster CA signed it and that the client holds its key. Left to us: time and purpose,
checked at every request, because a connection may outlive its certificate. Parsing costs far more than a request, so
what a certificate says is kept by its digest.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.api.errors import Unauthorized
from apiserver.api.times import now_text

from .bounded import BoundedCache
from .user import GROUP_AUTHENTICATED, User

CACHE_ENTRIES_MAX = 4096
GROUPS_MAX = 256
#: Key in User.extra that names the credential, as Kubernetes does.
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

_CLIENT_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


class _Known(NamedTuple):
    user: User | None
    not_before_s: float
    not_after_s: float
    refusal: str  # why a certificate never names a user, whatever the time


class CertificateUsers:
    """Certificates to users. `clock` gives wall-clock seconds since the epoch."""

    def __init__(self, *, clock: Callable[[], float] = time.time, entries_max: int = CACHE_ENTRIES_MAX) -> None:
        self._clock = clock
        self._known: BoundedCache[bytes, _Known] = BoundedCache(entries_max)

    def user(self, certificate_der: bytes) -> User:
        """The user a peer certificate (verified by TLS) names. Raises Unauthorized in plain words."""
        digest = hashlib.sha256(certificate_der).digest()
        known = self._known.get(digest)
        if known is None:
            known = _read(certificate_der, digest)
            self._known.put(digest, known)
        if known.user is None:
            raise Unauthorized(known.refusal)
        now_s = self._clock()
        if not known.not_before_s <= now_s <= known.not_after_s:
            raise Unauthorized(_out_of_time(known, known.user.name, now_s))
        return known.user


def _read(certificate_der: bytes, digest: bytes) -> _Known:
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        names = _texts(certificate, NameOID.COMMON_NAME)
        groups = _texts(certificate, NameOID.ORGANIZATION_NAME)
        not_before_s = certificate.not_valid_before_utc.timestamp()
        not_after_s = certificate.not_valid_after_utc.timestamp()
        may_be_client = _may_be_client(certificate)
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        return _refused(f"the client certificate cannot be read: {error}")
    if len(names) != 1 or not names[0]:
        return _refused("the client certificate must have exactly one common name (CN): it is the name of the user")
    if not may_be_client:
        return _refused(
            f'the certificate of "{names[0]}" is not for clients: its extended key usage lacks client authentication'
        )
    if len(groups) > GROUPS_MAX:
        return _refused(f'the client certificate of "{names[0]}" has more than {GROUPS_MAX} organizations (groups)')
    user = User(
        name=names[0],
        groups=tuple(dict.fromkeys([*groups, GROUP_AUTHENTICATED])),
        extra={CREDENTIAL_ID: (f"X509SHA256={digest.hex()}",)},
    )
    return _Known(user, not_before_s, not_after_s, "")


def _refused(why: str) -> _Known:
    return _Known(None, 0.0, 0.0, why)


def _texts(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]


def _may_be_client(certificate: x509.Certificate) -> bool:
    """A certificate without the extension is for everything (RFC 5280 §4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return not _CLIENT_PURPOSES.isdisjoint(usage)


def _out_of_time(known: _Known, name: str, now_s: float) -> str:
    if now_s > known.not_after_s:
        when, advice = f"expired at {now_text(lambda: known.not_after_s)}", "renew it"
    else:
        when, advice = (
            f"is valid only from {now_text(lambda: known.not_before_s)} on",
            "check the clocks of both machines",
        )
    return f'the client certificate of "{name}" {when}; this server\'s clock says {now_text(lambda: now_s)}: {advice}'
