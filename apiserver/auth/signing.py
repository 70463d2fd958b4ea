"""Signing what a CertificateSigningRequest asks for, by the rules of Kubernetes' four own signers.

The rules: kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests, "Kubernetes signers". The
cluster CA's key is used here and in pki.py and goes nowhere else. A request is checked again when it is signed,
whoever approved it. What must hold beside Kubernetes' rules: no signer gives a client certificate for a group that
only this process may hand out (`system:masters`, and the group by which replicas know each other), and the request
proves that its sender has the key.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .pki import ADMIN_GROUP, CLOCK_SKEW, LEAF_LIFETIME, SERVER_GROUP, KeyPair
from .user import GROUP_NODES, NODE_USER_PREFIX, User

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"

REQUEST_BYTES_MAX = 64 * 1024
NAMES_MAX = 100
LIFETIME_MIN = datetime.timedelta(minutes=10)  # Kubernetes' minimum for expirationSeconds
RSA_BITS = range(2048, 8193)
FORBIDDEN_CLIENT_GROUPS = frozenset({ADMIN_GROUP, SERVER_GROUP})

#: Usages of the API → field of the X.509 key usage.
_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
#: Usages of the API → extended key usage.
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
}
_NODE_CLIENT = ({"digital signature", "client auth"}, {"digital signature", "key encipherment", "client auth"})
_NODE_SERVING = ({"digital signature", "server auth"}, {"digital signature", "key encipherment", "server auth"})
_CLIENT_AT_MOST = {"digital signature", "key encipherment", "client auth"}

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class RequestSpec(Protocol):
    """What is read of CertificateSigningRequest.spec. `request` is PEM in base64."""

    @property
    def request(self) -> str: ...
    @property
    def signer_name(self) -> str: ...
    @property
    def usages(self) -> Sequence[str]: ...
    @property
    def expiration_seconds(self) -> int | None: ...


class Wanted(NamedTuple):
    """A request taken apart. `names` are the subject alternative names."""

    subject: x509.Name
    public_key: PublicKey
    common_name: str
    organizations: tuple[str, ...]
    names: tuple[x509.GeneralName, ...]


def parse_request(pem: bytes) -> Wanted:
    """A PKCS #10 request in PEM. Raises ValueError, which says why it is not taken."""
    if len(pem) > REQUEST_BYTES_MAX:
        raise ValueError(f"longer than {REQUEST_BYTES_MAX} bytes")
    if not pem.lstrip().startswith(b"-----BEGIN CERTIFICATE REQUEST-----"):
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_pem_x509_csr(pem)
        signed = request.is_signature_valid
        key = request.public_key()
        names = _names_of(request)
        subject = request.subject
        common_names = _texts(subject, NameOID.COMMON_NAME)
        organizations = _texts(subject, NameOID.ORGANIZATION_NAME)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise ValueError(f"not a certificate request: {' '.join(str(error).split()) or type(error).__name__}") from None
    if not signed:
        raise ValueError("the request is not signed by the key it is for")
    if len(common_names) > 1:
        raise ValueError("the subject has more than one common name")
    if len(names) > NAMES_MAX:
        raise ValueError(f"{len(names)} subject alternative names, at most {NAMES_MAX}")
    return Wanted(subject, _checked_key(key), common_names[0] if common_names else "", organizations, names)


def check(signer: str, wanted: Wanted, usages: Collection[str]) -> None:
    """Whether the signer may sign this. Raises ValueError with the rule that is broken."""
    rule = _RULES.get(signer)
    if rule is None:
        raise ValueError(f"{signer!r} is not a signer of this cluster")
    rule(wanted, set(usages))
    _check_usages_known(usages)
    forbidden = FORBIDDEN_CLIENT_GROUPS.intersection(wanted.organizations)
    any_purpose = _EXTENDED_USAGES.keys().isdisjoint(usages)  # RFC 5280 §4.2.1.12: none named, none excluded
    if forbidden and (any_purpose or not {"client auth", "any"}.isdisjoint(usages)):
        raise ValueError(f"no client certificate is signed for group {sorted(forbidden)[0]}")


def sign(
    spec: RequestSpec,
    authority: KeyPair,
    *,
    lifetime: datetime.timedelta = LEAF_LIFETIME,
    now: datetime.datetime | None = None,
) -> str:
    """The certificate in PEM for an approved request. Raises ValueError with the reason why not.

    It is valid for `expirationSeconds` or `lifetime`, whichever is less, and never longer than its authority.
    """
    try:
        pem = base64.b64decode(spec.request, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("request is not base64") from None
    return sign_request(
        parse_request(pem),
        authority,
        signer=spec.signer_name,
        usages=spec.usages,
        expiration_s=spec.expiration_seconds,
        lifetime=lifetime,
        now=now,
    )


def sign_request(
    wanted: Wanted,
    authority: KeyPair,
    *,
    signer: str,
    usages: Sequence[str],
    expiration_s: int | None = None,
    lifetime: datetime.timedelta = LEAF_LIFETIME,
    now: datetime.datetime | None = None,
) -> str:
    """As `sign`, for a request that is no object."""
    check(signer, wanted, usages)
    now = now or datetime.datetime.now(datetime.UTC)
    if expiration_s is not None:
        if expiration_s < LIFETIME_MIN.total_seconds():
            raise ValueError(f"expirationSeconds must be at least {int(LIFETIME_MIN.total_seconds())}")
        lifetime = min(lifetime, datetime.timedelta(seconds=min(expiration_s, int(LEAF_LIFETIME.total_seconds()))))
    authority_ends = authority.certificate.not_valid_after_utc
    if now >= authority_ends:
        raise ValueError(f"the cluster CA was valid until {authority_ends}")
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(wanted.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(wanted.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - min(CLOCK_SKEW, lifetime / 4))  # most of a short life must lie ahead
        .not_valid_after(min(now + lifetime, authority_ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(issuer, critical=False)
    )
    if any(usage in _KEY_USAGES for usage in usages):  # one without a bit makes a certificate nobody accepts
        builder = builder.add_extension(_key_usage(usages), critical=True)
    extended = list(dict.fromkeys(_EXTENDED_USAGES[usage] for usage in usages if usage in _EXTENDED_USAGES))
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if wanted.names:
        builder = builder.add_extension(x509.SubjectAlternativeName(wanted.names), critical=not wanted.subject)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


# --- approval that needs no person --------------------------------------------------------------------


def approved_by_rule(spec: RequestSpec, user: User, *, reserved: Collection[str] = ()) -> bool:
    """Whether a request is approved without a person: a node asks for itself.

    A node's client certificate is renewed by that node, and by nobody else: the first one it gets by joining. A node's
    serving certificate carries the node's name and nothing else, so servers check an agent by that name, whatever its
    address: an address is what the node says of itself, and could be a server's. `reserved`: names of servers, which no
    node may have.
    """
    if not user.name.startswith(NODE_USER_PREFIX) or GROUP_NODES not in user.groups:
        return False
    try:
        wanted = parse_request(base64.b64decode(spec.request, validate=True))
        check(spec.signer_name, wanted, spec.usages)
    except ValueError:
        return False
    if wanted.common_name != user.name:
        return False
    if spec.signer_name == KUBELET_SERVING:
        name = user.name.removeprefix(NODE_USER_PREFIX)
        return wanted.names == (x509.DNSName(name),) and not _is_servers(name, reserved)
    return spec.signer_name == KUBELET_CLIENT


def _is_servers(name: str, reserved: Collection[str]) -> bool:
    return name in reserved or name == "localhost" or name.split(".")[0] == "kubernetes"


# --- the rules of each signer ---------------------------------------------------------------------------


def _check_client(wanted: Wanted, usages: set[str]) -> None:
    if "client auth" not in usages or not usages <= _CLIENT_AT_MOST:
        raise ValueError("usages must hold client auth, and beside it only digital signature and key encipherment")
    if not wanted.common_name:
        raise ValueError("the subject has no common name, so the certificate would name nobody")


def _check_node_subject(wanted: Wanted) -> None:
    if wanted.organizations != (GROUP_NODES,):
        raise ValueError(f"the subject's only organization must be {GROUP_NODES}")
    if not wanted.common_name.startswith(NODE_USER_PREFIX) or wanted.common_name == NODE_USER_PREFIX:
        raise ValueError(f"the subject's common name must be {NODE_USER_PREFIX}<name of the node>")


def _check_kubelet_client(wanted: Wanted, usages: set[str]) -> None:
    _check_node_subject(wanted)
    if wanted.names:
        raise ValueError("subject alternative names are not allowed")
    if usages not in _NODE_CLIENT:
        raise ValueError("usages must be digital signature and client auth, with or without key encipherment")


def _check_kubelet_serving(wanted: Wanted, usages: set[str]) -> None:
    _check_node_subject(wanted)
    if not wanted.names:
        raise ValueError("at least one DNS name or IP address is needed as subject alternative name")
    if not all(isinstance(name, x509.DNSName | x509.IPAddress) for name in wanted.names):
        raise ValueError("subject alternative names must be DNS names and IP addresses")
    if usages not in _NODE_SERVING:
        raise ValueError("usages must be digital signature and server auth, with or without key encipherment")


def _check_legacy(_wanted: Wanted, usages: set[str]) -> None:
    if not usages:
        raise ValueError("at least one usage is needed")


_RULES: Mapping[str, Callable[[Wanted, set[str]], None]] = {
    CLIENT: _check_client,
    KUBELET_CLIENT: _check_kubelet_client,
    KUBELET_SERVING: _check_kubelet_serving,
    LEGACY_UNKNOWN: _check_legacy,
}


def _check_usages_known(usages: Collection[str]) -> None:
    for usage in usages:
        if usage in ("cert sign", "crl sign"):
            raise ValueError(f"usage {usage!r} is for authorities: none is signed here")
        if usage not in _KEY_USAGES and usage not in _EXTENDED_USAGES:
            raise ValueError(f"usage {usage!r} is not one this signer knows")


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    asked = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    agreement = not asked.isdisjoint({"key_agreement", "encipher_only", "decipher_only"})  # X.509 ties them together
    return x509.KeyUsage(
        digital_signature="digital_signature" in asked,
        content_commitment="content_commitment" in asked,
        key_encipherment="key_encipherment" in asked,
        data_encipherment="data_encipherment" in asked,
        key_agreement=agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only="encipher_only" in asked,
        decipher_only="decipher_only" in asked,
    )


# --- reading a request ----------------------------------------------------------------------------------


def _names_of(request: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    try:
        names = tuple(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()
    for name in names:
        if isinstance(name, x509.IPAddress) and not isinstance(
            name.value, ipaddress.IPv4Address | ipaddress.IPv6Address
        ):
            raise ValueError("an IP network is no subject alternative name")
    return names


def _texts(subject: x509.Name, kind: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in subject.get_attributes_for_oid(kind))


def _checked_key(key: object) -> PublicKey:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in ("secp256r1", "secp384r1", "secp521r1"):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise ValueError("the key must be ECDSA (P-256, P-384, P-521), Ed25519 or RSA of 2048 to 8192 bits")
