"""Certificates: what they carry, who signs what, and what is said of a bad file."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apiserver.auth import keyring, pki
from apiserver.auth.keyring import PkiError
from raftstore.identity import PeerIdentity

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca") / "ca"
    pki.init_shared(folder)
    return folder


@pytest.fixture
def folder(shared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shared, tmp_path / "pki"))


def extension(pair: pki.KeyPair, kind: type[x509.ExtensionType]) -> x509.ExtensionType:
    return pair.certificate.extensions.get_extension_for_class(kind).value


def test_init_makes_everything_once_with_private_keys(shared: Path) -> None:
    assert sorted(file.name for file in shared.iterdir()) == sorted(pki.SHARED_FILES)
    before = {file.name: file.read_bytes() for file in shared.iterdir()}
    pki.init_shared(shared)
    assert {file.name: file.read_bytes() for file in shared.iterdir()} == before
    for file in shared.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o644 if file.suffix == ".crt" else 0o600)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700


def test_an_authority_signs_leaves_only_for_ten_years() -> None:
    authority = pki.make_authority("test", NOW)
    constraints = extension(authority, x509.BasicConstraints)
    assert isinstance(constraints, x509.BasicConstraints)
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = extension(authority, x509.KeyUsage)
    assert isinstance(usage, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert authority.certificate.not_valid_after_utc - NOW == datetime.timedelta(days=3650)
    assert authority.certificate.not_valid_before_utc < NOW


def test_a_peer_certificate_names_its_member_and_nothing_else() -> None:
    authority = pki.make_authority("peers", NOW)
    pair = pki.issue_peer(authority, 0xC1, 0xAB, NOW)
    assert pki.certificate_names(pair.certificate) == [PeerIdentity(0xC1, 0xAB).uri]
    usage = extension(pair, x509.ExtendedKeyUsage)
    assert isinstance(usage, x509.ExtendedKeyUsage)
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    constraints = extension(pair, x509.BasicConstraints)
    assert isinstance(constraints, x509.BasicConstraints)
    assert not constraints.ca
    pair.certificate.verify_directly_issued_by(authority.certificate)
    with pytest.raises((InvalidSignature, ValueError)):
        pair.certificate.verify_directly_issued_by(pki.make_authority("other", NOW).certificate)
    assert pair.certificate.not_valid_before_utc <= NOW - datetime.timedelta(minutes=30)
    assert pair.certificate.not_valid_after_utc == NOW + datetime.timedelta(days=365)
    assert pki.issue_peer(authority, 0, 1).certificate.serial_number != pair.certificate.serial_number
    for cluster_id, member_id in ((-1, 1), (1, 0), (1 << 63, 1), (1, 1 << 63)):
        with pytest.raises(ValueError, match="not ids"):
            pki.issue_peer(authority, cluster_id, member_id)


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = pki.make_authority("old", NOW - datetime.timedelta(days=3600))
    assert pki.issue_peer(authority, 1, 1, NOW).certificate.not_valid_after_utc == (
        authority.certificate.not_valid_after_utc
    )


def test_the_admin_is_a_client_in_system_masters() -> None:
    pair = pki.issue_admin(pki.make_authority("ca", NOW), NOW)
    subject = pair.certificate.subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:masters"]
    usage = extension(pair, x509.ExtendedKeyUsage)
    assert isinstance(usage, x509.ExtendedKeyUsage)
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    both = pki.issue_client(pki.make_authority("ca", NOW), "node", ["system:nodes", "kmini:etcd"])
    groups = both.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [name.value for name in groups] == ["system:nodes", "kmini:etcd"]


def test_a_serving_certificate_carries_what_the_contract_says() -> None:
    names = pki.serving_names(
        addresses=["0.0.0.0", "::", "192.0.2.7", "host-1"],
        extra=["api.example"],
        service_cidr="10.96.0.0/16",
        cluster_domain="cluster.local",
    )
    pair = pki.issue_serving(pki.make_authority("ca"), names)
    carried = extension(pair, x509.SubjectAlternativeName)
    assert isinstance(carried, x509.SubjectAlternativeName)
    assert set(carried.get_values_for_type(x509.DNSName)) == {
        "localhost",
        "host-1",
        "api.example",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }
    assert {str(address) for address in carried.get_values_for_type(x509.IPAddress)} == {
        "127.0.0.1",
        "::1",
        "192.0.2.7",
        "10.96.0.1",
    }
    assert ipaddress.ip_address("0.0.0.0") not in carried.get_values_for_type(x509.IPAddress)


def test_sharing_copies_everything_once_and_never_over_another_cluster(shared: Path, tmp_path: Path) -> None:
    target = tmp_path / "DIR" / "pki"
    pki.copy_shared(shared, target)
    pki.copy_shared(shared, target)
    for name in pki.SHARED_FILES:
        assert (target / name).read_bytes() == (shared / name).read_bytes()
        assert stat.S_IMODE((target / name).stat().st_mode) == (0o644 if name.endswith(".crt") else 0o600)
    other = tmp_path / "other"
    pki.init_shared(other)
    with pytest.raises(PkiError, match="another cluster"):
        pki.copy_shared(other, target)
    assert (target / "ca.crt").read_bytes() == (shared / "ca.crt").read_bytes()


@pytest.mark.parametrize("name", pki.SHARED_FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "nonsense"])
def test_a_bad_shared_file_is_named(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    path.unlink()
    if damage != "missing":
        path.write_text("" if damage == "empty" else "nonsense")
    with pytest.raises(PkiError, match=name.replace(".", r"\.")):
        pki.check_shared(folder)


def test_a_key_without_its_certificate_is_unfinished_and_made_anew(folder: Path) -> None:
    (folder / "peer-ca.crt").unlink()
    former = (folder / "peer-ca.key").read_bytes()
    pki.init_shared(folder)
    assert (folder / "peer-ca.key").read_bytes() != former
    pki.check_shared(folder)


def test_a_certificate_and_another_key_are_told_apart(folder: Path) -> None:
    shutil.copy(folder / "ca.key", folder / "peer-ca.key")
    with pytest.raises(PkiError, match="does not belong"):
        pki.load_authority(folder, pki.PEER_CA)


def test_a_leaf_is_no_authority_and_dates_are_said(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    pki.write_pair(folder, "leaf", pki.issue_admin(authority))
    with pytest.raises(PkiError, match="not a certificate authority"):
        pki.load_authority(folder, "leaf")
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=400)
    with pytest.raises(PkiError, match="was valid until"):
        pki.load_pair(folder, "leaf", later)
    with pytest.raises(PkiError, match="check this machine's clock"):
        pki.load_pair(folder, "leaf", later - datetime.timedelta(days=800))


def test_when_a_leaf_is_issued_anew(folder: Path) -> None:
    authority = pki.load_authority(folder, pki.CLUSTER_CA)
    assert pki.needs_issue(folder, "server", authority)
    pki.write_pair(folder, "server", pki.issue_serving(authority, ["localhost"]))
    assert not pki.needs_issue(folder, "server", authority, ["localhost"])
    assert pki.needs_issue(folder, "server", authority, ["localhost", "10.0.0.1"])
    assert pki.needs_issue(folder, "server", pki.load_authority(folder, pki.PEER_CA))
    nearly_over = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=340)
    pki.write_pair(folder, "server", pki.issue_serving(authority, ["localhost"], nearly_over))
    assert pki.needs_issue(folder, "server", authority, ["localhost"])
    (folder / "server.key").write_text("nonsense")
    assert pki.needs_issue(folder, "server", authority)


def test_a_failed_write_leaves_the_former_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.key"
    pki.write_file(path, b"former", secret=True)

    def failing(old: object, new: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="no"):
        pki.write_file(path, b"new", secret=True)
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_ring_keeps_its_format_and_hides_its_secrets(tmp_path: Path) -> None:
    ring = keyring.new_ring()
    path = tmp_path / keyring.FILE_NAME
    path.write_bytes(ring.encode())
    assert keyring.load(path) == ring
    assert ring.keys[0].secret.hex() not in repr(ring)
    second = keyring.new_key()
    rotated = keyring.KeyRing(second.id, (*ring.keys, second))
    path.write_bytes(rotated.encode())
    assert keyring.load(path).key(second.id) == second


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        '{"format": 2, "active": "a", "keys": []}',
        '{"format": 1, "active": "a", "keys": []}',
        '{"format": 1, "active": "a", "keys": [{"id": "a", "secret": "AAAA"}]}',
        '{"format": 1, "active": "b", "keys": [{"id": "a", "secret": "' + "A" * 43 + '="}]}',
        '{"format": 1, "active": "a", "keys": [{"id": "a", "secret": "!"}]}',
    ],
)
def test_bad_key_rings(tmp_path: Path, content: str) -> None:
    path = tmp_path / keyring.FILE_NAME
    path.write_text(content)
    with pytest.raises(PkiError, match=keyring.FILE_NAME):
        keyring.load(path)
