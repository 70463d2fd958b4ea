"""What each signer signs and refuses, and what a signed certificate carries."""

from __future__ import annotations

import base64
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.api.certificates import CertificateSigningRequestSpec
from apiserver.auth import pki, signing
from apiserver.auth.user import User

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
NODE_CLIENT = ["digital signature", "client auth"]
NODE_SERVING = ["digital signature", "server auth"]
NODE = User(name="system:node:w1", groups=("system:nodes", "system:authenticated"))


@pytest.fixture(scope="module")
def authority() -> pki.KeyPair:
    return pki.make_authority("test CA", NOW)


def request(
    common_name: str = "system:node:w1",
    organizations: tuple[str, ...] = ("system:nodes",),
    names: tuple[x509.GeneralName, ...] = (),
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey | None = None,
) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations]
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM)


def spec(pem: bytes, signer: str, usages: list[str], expiration_s: int | None = None) -> CertificateSigningRequestSpec:
    return CertificateSigningRequestSpec(
        request=base64.b64encode(pem).decode(), signer_name=signer, usages=usages, expiration_seconds=expiration_s
    )


def signed(authority: pki.KeyPair, wanted: CertificateSigningRequestSpec) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(signing.sign(wanted, authority, now=NOW).encode())
    certificate.verify_directly_issued_by(authority.certificate)
    return certificate


W1 = x509.DNSName("w1")
ADDRESS = x509.IPAddress(ipaddress.ip_address("192.0.2.1"))
EMAIL = x509.RFC822Name("a@example.com")
URI = x509.UniformResourceIdentifier("kmini://0/member/1")


def test_a_node_client_certificate(authority: pki.KeyPair) -> None:
    certificate = signed(authority, spec(request(), signing.KUBELET_CLIENT, NODE_CLIENT))
    assert certificate.subject.rfc4514_string() == "CN=system:node:w1,O=system:nodes"
    assert set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.CLIENT_AUTH
    }
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, False, False)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.not_valid_after_utc == NOW + pki.LEAF_LIFETIME
    assert pki.certificate_names(certificate) == []


def test_a_node_serving_certificate_carries_the_names_asked_for(authority: pki.KeyPair) -> None:
    certificate = signed(authority, spec(request(names=(W1, ADDRESS)), signing.KUBELET_SERVING, NODE_SERVING))
    assert pki.certificate_names(certificate) == ["192.0.2.1", "w1"]
    assert set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH
    }


CLIENT = signing.CLIENT
KUBELET_CLIENT = signing.KUBELET_CLIENT
KUBELET_SERVING = signing.KUBELET_SERVING
LEGACY = signing.LEGACY_UNKNOWN


@pytest.mark.parametrize(
    ("signer", "pem", "usages", "why"),
    [
        ("example.com/mine", request(), NODE_CLIENT, "not a signer"),
        ("", request(), NODE_CLIENT, "not a signer"),
        (KUBELET_CLIENT, request(organizations=()), NODE_CLIENT, "only organization"),
        (KUBELET_CLIENT, request(organizations=("system:nodes", "x")), NODE_CLIENT, "only organization"),
        (KUBELET_CLIENT, request("w1"), NODE_CLIENT, "common name"),
        (KUBELET_CLIENT, request("system:node:"), NODE_CLIENT, "common name"),
        (KUBELET_CLIENT, request(names=(W1,)), NODE_CLIENT, "not allowed"),
        (KUBELET_CLIENT, request(), ["client auth"], "usages"),
        (KUBELET_CLIENT, request(), [*NODE_CLIENT, "server auth"], "usages"),
        (KUBELET_CLIENT, request(), [], "usages"),
        (KUBELET_SERVING, request(), NODE_SERVING, "at least one"),
        (KUBELET_SERVING, request(names=(W1, EMAIL)), NODE_SERVING, "DNS names and IP"),
        (KUBELET_SERVING, request(names=(W1, URI)), NODE_SERVING, "DNS names and IP"),
        (KUBELET_SERVING, request("w1", names=(W1,)), NODE_SERVING, "common name"),
        (KUBELET_SERVING, request(names=(W1,)), [*NODE_SERVING, "client auth"], "usages"),
        (CLIENT, request("ann", ("dev",)), ["digital signature"], "client auth"),
        (CLIENT, request("ann", ("dev",)), ["client auth", "server auth"], "client auth"),
        (CLIENT, request("", ("dev",)), ["client auth"], "no common name"),
        (CLIENT, request("ann", ("dev", "system:masters")), ["client auth"], "system:masters"),
        (CLIENT, request("ann", ("kmini:servers",)), ["client auth"], "kmini:servers"),
        (LEGACY, request("ann", ("system:masters",)), ["client auth"], "system:masters"),
        (LEGACY, request("ann", ("system:masters",)), ["any"], "system:masters"),
        (LEGACY, request("ann", ("system:masters",)), ["digital signature"], "system:masters"),
        (LEGACY, request("ann", ()), ["cert sign"], "authorities"),
        (LEGACY, request("ann", ()), ["to fly"], "to fly"),
        (LEGACY, request("ann", ()), [], "at least one usage"),
    ],
)
def test_what_is_refused(authority: pki.KeyPair, signer: str, pem: bytes, usages: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        signing.sign(spec(pem, signer, usages), authority, now=NOW)


def test_what_a_person_may_have(authority: pki.KeyPair) -> None:
    certificate = signed(authority, spec(request("ann", ("dev",), (EMAIL,)), CLIENT, ["client auth"]))
    assert pki.certificate_names(certificate) == ["a@example.com"]
    both = ["server auth", "key agreement", "client auth", "server auth"]
    legacy = signed(authority, spec(request("x", (), (URI,)), LEGACY, both))
    assert list(legacy.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]


def test_no_empty_key_usage_which_would_make_it_invalid(authority: pki.KeyPair) -> None:
    certificate = signed(authority, spec(request(), CLIENT, ["client auth"]))
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.KeyUsage)


def test_how_long_it_is_valid(authority: pki.KeyPair) -> None:
    def ends(expiration_s: int | None, lifetime: datetime.timedelta = pki.LEAF_LIFETIME) -> datetime.datetime:
        wanted = spec(request(), KUBELET_CLIENT, NODE_CLIENT, expiration_s)
        pem = signing.sign(wanted, authority, now=NOW, lifetime=lifetime)
        return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc

    assert ends(600) == NOW + datetime.timedelta(minutes=10)
    assert ends(2**31 - 1) == NOW + pki.LEAF_LIFETIME
    assert ends(7200, datetime.timedelta(hours=1)) == NOW + datetime.timedelta(hours=1)
    with pytest.raises(ValueError, match="600"):
        ends(599)


def test_a_short_life_lies_ahead_and_not_behind(authority: pki.KeyPair) -> None:
    certificate = signed(authority, spec(request(), KUBELET_CLIENT, NODE_CLIENT, 600))
    assert pki.renewal_time(certificate) > NOW + datetime.timedelta(minutes=5)


def test_no_certificate_outlives_its_authority() -> None:
    old = pki.make_authority("old", NOW - pki.AUTHORITY_LIFETIME + datetime.timedelta(days=2))
    certificate = signed(old, spec(request(), KUBELET_CLIENT, NODE_CLIENT))
    assert certificate.not_valid_after_utc == old.certificate.not_valid_after_utc
    over = pki.make_authority("over", NOW - pki.AUTHORITY_LIFETIME - datetime.timedelta(days=2))
    with pytest.raises(ValueError, match="valid until"):
        signing.sign(spec(request(), KUBELET_CLIENT, NODE_CLIENT), over, now=NOW)


def test_the_sender_must_have_the_key(authority: pki.KeyPair) -> None:
    der = bytearray(x509.load_pem_x509_csr(request()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der))
    forged = b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(ValueError, match=r"not signed by|not a certificate request"):
        signing.parse_request(forged)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        dsa.generate_private_key(2048),
        ec.generate_private_key(ec.SECP256K1()),
    ],
)
def test_weak_and_odd_keys_are_refused(key: rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(ValueError, match="the key must be"):
        signing.parse_request(request(key=key))


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()])
def test_keys_that_others_use(authority: pki.KeyPair, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> None:
    usages = ["digital signature", "key encipherment", "client auth"]
    certificate = signed(authority, spec(request(key=key), KUBELET_CLIENT, usages))
    assert certificate.public_key() == key.public_key()


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"rubbish",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        pki.make_authority("x").certificate_pem,
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 100_000,
    ],
)
def test_what_is_no_request(authority: pki.KeyPair, pem: bytes) -> None:
    with pytest.raises(ValueError, match=r"PEM|not a certificate request|longer"):
        signing.sign(spec(pem, KUBELET_CLIENT, NODE_CLIENT), authority)
    wanted = CertificateSigningRequestSpec(request="*", signer_name=KUBELET_CLIENT, usages=NODE_CLIENT)
    with pytest.raises(ValueError, match="base64"):
        signing.sign(wanted, authority)


def test_what_needs_nobodys_approval() -> None:
    renewal = spec(request(), KUBELET_CLIENT, NODE_CLIENT)
    serving = spec(request(names=(W1,)), KUBELET_SERVING, NODE_SERVING)
    assert signing.approved_by_rule(renewal, NODE)
    assert signing.approved_by_rule(serving, NODE)
    other = User(name="system:node:w2", groups=NODE.groups)
    impostor = User(name="system:node:w1", groups=("system:authenticated",))
    person = User(name="ann", groups=("system:masters",))
    for user in (other, impostor, person):
        assert not signing.approved_by_rule(renewal, user)
        assert not signing.approved_by_rule(serving, user)
    assert not signing.approved_by_rule(spec(request(), CLIENT, ["client auth"]), NODE)
    assert not signing.approved_by_rule(spec(b"rubbish", KUBELET_CLIENT, NODE_CLIENT), NODE)
    masters = spec(request("system:node:w1", ("system:nodes", "system:masters")), KUBELET_CLIENT, NODE_CLIENT)
    assert not signing.approved_by_rule(masters, NODE)


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ("w1", (W1, ADDRESS)),
        ("w1", (ADDRESS,)),
        ("w1", (W1, x509.DNSName("w2"))),
        ("w1", (x509.DNSName("kubernetes"),)),
        ("kubernetes", (x509.DNSName("kubernetes"),)),
        ("kubernetes.default.svc", (x509.DNSName("kubernetes.default.svc"),)),
        ("localhost", (x509.DNSName("localhost"),)),
        ("api.example", (x509.DNSName("api.example"),)),
    ],
)
def test_no_node_gets_a_servers_names_without_a_person(node: str, names: tuple[x509.GeneralName, ...]) -> None:
    """Whoever has a certificate for a server's name can stand in for it."""
    wanted = spec(request(f"system:node:{node}", names=names), KUBELET_SERVING, NODE_SERVING)
    user = User(name=f"system:node:{node}", groups=NODE.groups)
    assert not signing.approved_by_rule(wanted, user, reserved=["api.example"])
