"""Who is calling, and whether they may.

Identity is the client's certificate and nothing else: the common name and the organizations of its subject.
What those names are worth is not for this library to know; the daemon hands in a rule. What must always
hold: a call whose identity cannot be read is refused, and no request reaches the store before the rule has
said yes to each key range it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.x509.oid import NameOID

from .status import PERMISSION_DENIED, Refused

CERTIFICATES_REMEMBERED_MAX = 1_024


class Identity(msgspec.Struct, frozen=True):
    """The subject of a client certificate that the TLS layer has verified."""

    name: str
    groups: frozenset[str]


class KeyRange(NamedTuple):
    """Keys as a request names them: `range_end` b"" is the key alone, b"\\0" everything from it on."""

    key: bytes
    range_end: bytes = b""


#: `(identity, rpc, keys)`; rpc is "Service.Method", for instance "KV.Put". A transaction is asked about as
#: "KV.Txn" without keys and then once for every part, as the call that part would be. None: no keys involved.
Authorize = Callable[[Identity, str, KeyRange | None], bool]


def identity_of(certificate_pem: bytes) -> Identity:
    """Raises ValueError when the bytes are no certificate or its subject holds more than one common name."""
    subject = x509.load_pem_x509_certificate(certificate_pem).subject
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) > 1:
        raise ValueError(f"the certificate's subject has {len(names)} common names")
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Identity(name="".join(names), groups=frozenset(str(attribute.value) for attribute in groups))


class Gate:
    """Reads identities, remembering certificates seen, and puts requests before the rule."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize
        self._seen: dict[bytes, Identity] = {}

    def identify(self, auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
        """The caller of a connection, from gRPC's authentication context. Raises Refused."""
        for certificate in auth_context.get("x509_pem_cert", ()):
            identity = self._seen.get(certificate)
            return identity if identity is not None else self._remember(certificate)
        raise Refused(PERMISSION_DENIED)

    def _remember(self, certificate: bytes) -> Identity:
        try:
            identity = identity_of(certificate)
        except ValueError as error:
            raise Refused(PERMISSION_DENIED) from error
        if len(self._seen) >= CERTIFICATES_REMEMBERED_MAX:
            del self._seen[next(iter(self._seen))]  # the oldest; it is parsed again when it comes back
        self._seen[certificate] = identity
        return identity

    def allows(self, identity: Identity, rpc: str, keys: KeyRange | None) -> bool:
        return self._authorize(identity, rpc, keys)

    def check(self, identity: Identity, rpc: str, keys: KeyRange | None = None) -> None:
        """Raises Refused(PERMISSION_DENIED) when the rule says no."""
        if not self._authorize(identity, rpc, keys):
            raise Refused(PERMISSION_DENIED)
