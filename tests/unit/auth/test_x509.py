"""Users of client certificates: names and groups, times in plain words, and what is no client's certificate."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from two_views import Clock

from apiserver.api.errors import Unauthorized
from apiserver.auth import pki
from apiserver.auth.user import GROUP_AUTHENTICATED
from apiserver.auth.x509 import CertificateUsers

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
AUTHORITY = pki.make_authority("test CA", NOW)


def der(pair: pki.KeyPair) -> bytes:
    return pair.certificate.public_bytes(serialization.Encoding.DER)


def users(now: datetime.datetime = NOW, entries_max: int = 10) -> tuple[CertificateUsers, Clock]:
    clock = Clock(now.timestamp())
    return CertificateUsers(clock=clock, entries_max=entries_max), clock


def bare_certificate(*common_names: str, organizations: int = 0) -> bytes:
    """Without any extension."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"g{number}") for number in range(organizations)]
    builder = x509.CertificateBuilder().subject_name(x509.Name(names)).issuer_name(AUTHORITY.certificate.subject)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    return builder.sign(AUTHORITY.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_the_common_name_is_the_user_and_each_organization_a_group() -> None:
    known, _ = users()
    certificate = der(pki.issue_client(AUTHORITY, "jane", ["dev", "ops", "dev"], NOW))
    user = known.user(certificate)
    assert user.name == "jane"
    assert user.groups == ("dev", "ops", GROUP_AUTHENTICATED)
    (credential,) = user.extra["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")
    assert known.user(certificate) is user  # remembered


def test_a_certificate_that_ends_while_its_connection_lives_is_refused_from_then_on() -> None:
    known, clock = users()
    certificate = der(pki.issue_client(AUTHORITY, "jane", [], NOW))
    known.user(certificate)
    clock.now_s += pki.LEAF_LIFETIME.total_seconds() + 1
    with pytest.raises(Unauthorized, match=r'certificate of "jane" expired at 2031-01-01T00:00:00Z; .* renew it'):
        known.user(certificate)


def test_a_clock_that_is_behind_is_named() -> None:
    known, _ = users(NOW - datetime.timedelta(days=2))
    certificate = der(pki.issue_client(AUTHORITY, "jane", [], NOW))
    with pytest.raises(Unauthorized, match=r"valid only from 2029-12-31T23:00:00Z on; .* check the clocks"):
        known.user(certificate)


def test_a_serving_certificate_names_no_user() -> None:
    known, _ = users()
    with pytest.raises(Unauthorized, match="not for clients"):
        known.user(der(pki.issue_serving(AUTHORITY, ["localhost"], NOW)))


def test_a_certificate_without_usage_is_for_everything() -> None:
    known, _ = users()
    assert known.user(bare_certificate("joe")).name == "joe"


@pytest.mark.parametrize("names", [(), ("",), ("a", "b")])
def test_a_user_has_exactly_one_name(names: tuple[str, ...]) -> None:
    known, _ = users()
    with pytest.raises((Unauthorized, ValueError)) as caught:  # an empty name is refused by the library already
        known.user(bare_certificate(*names))
    if isinstance(caught.value, Unauthorized):
        assert "exactly one common name" in caught.value.message


def test_groups_have_a_bound() -> None:
    known, _ = users()
    with pytest.raises(Unauthorized, match="more than 256 organizations"):
        known.user(bare_certificate("joe", organizations=257))


def test_bytes_that_are_no_certificate() -> None:
    known, _ = users()
    for _ in range(2):  # read, then remembered
        with pytest.raises(Unauthorized, match="cannot be read"):
            known.user(b"\x30\x03\x02\x01\x00")


def test_what_is_remembered_has_a_bound() -> None:
    known, _ = users(entries_max=2)
    for name in "abc":
        known.user(der(pki.issue_client(AUTHORITY, name, [], NOW)))
    assert len(known._known) == 2
