"""certificates.k8s.io/v1: CertificateSigningRequest, with which a client asks for a certificate."""

from __future__ import annotations

import msgspec

from .base import Base64, Int32, Object, Time, always
from .meta import TopObject


class CertificateSigningRequestSpec(Object):
    """What is asked for, and by whom. Cannot be changed.

    request: PEM of a PKCS#10 request.
    signer_name: Who is to sign, as in kubernetes.io/kube-apiserver-client.
    expiration_seconds: Seconds the certificate should be valid, 600 at least; the signer may give less.
    usages: What the key may be used for, as in client auth.
    username: Who asked; set by the server.
    uid: UID of who asked; set by the server.
    groups: Groups of who asked; set by the server.
    extra: Further attributes of who asked; set by the server.
    """

    request: Base64 = always("")
    signer_name: str = always("")
    expiration_seconds: Int32 | None = None
    usages: list[str] = []
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class CertificateSigningRequestCondition(Object):
    """What was decided.

    type: Approved, Denied or Failed.
    status: True; conditions that decide cannot be taken back.
    reason: One word for programs.
    message: A sentence for people.
    last_update_time: When the condition was written last.
    last_transition_time: When the status changed last.
    """

    type: str = always("")
    status: str = always("")
    reason: str = ""
    message: str = ""
    last_update_time: Time | None = None
    last_transition_time: Time | None = None


class CertificateSigningRequestStatus(Object):
    """What was decided, and the certificate.

    conditions: What was decided.
    certificate: PEM of the certificate and its chain, once it is signed.
    """

    conditions: list[CertificateSigningRequestCondition] = []
    certificate: Base64 = ""


class CertificateSigningRequest(TopObject):
    """Asks for a certificate; somebody approves or denies it, a signer signs it.

    spec: What is asked for, and by whom.
    status: What was decided, and the certificate.
    """

    spec: CertificateSigningRequestSpec = msgspec.field(default_factory=CertificateSigningRequestSpec)
    status: CertificateSigningRequestStatus = msgspec.field(default_factory=CertificateSigningRequestStatus)
