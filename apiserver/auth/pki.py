"""The certificates and keys of a cluster: what all replicas share, and what each makes for itself.

Shared (made once by `init_shared`, copied by `copy_shared`): cluster CA, peer CA, ServiceAccount signing
key, encryption key ring. A replica's own: serving, peer and admin certificates. Two authorities on purpose:
whoever holds a certificate of the cluster CA, an admin's included, is still no peer, because the peer CA
signs members and nothing else.

What must hold: private keys are EC P-256 and lie in files of mode 0600; a file is there whole or not at
all; a key is written before its certificate, so a certificate without its key never comes from a crash of
ours; whatever does not load names its file. Blocking: call it off the event loop.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from . import keyring
from .join_token import ca_hash
from .keyring import PkiError

CLUSTER_CA = "ca"
PEER_CA = "peer-ca"
SERVICE_ACCOUNT_KEY = "sa.key"
SHARED_FILES = ("ca.crt", "ca.key", "peer-ca.crt", "peer-ca.key", SERVICE_ACCOUNT_KEY, keyring.FILE_NAME)

ADMIN_GROUP = "system:masters"
SERVER_GROUP = "kmini:servers"  # by which replicas know each other on the API port; only pki.py issues it
SERVER_USER_PREFIX = "kmini:server:"
CONTROLLERS_USER = "system:kmini:controllers"  # its role has the same name (default_role_tables.py)

AUTHORITY_LIFETIME = datetime.timedelta(days=3650)
LEAF_LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(hours=1)  # not_before lies this far back: peers' clocks may be behind ours

_SERVER = ExtendedKeyUsageOID.SERVER_AUTH
_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


class KeyPair(NamedTuple):
    """A certificate and its private key, in memory."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return private_key_pem(self.key)

    def renewal_due(self, now: datetime.datetime | None = None) -> bool:
        return (now or _now()) >= renewal_time(self.certificate)


# --- shared by all replicas ---------------------------------------------------------------------------


def init_shared(folder: Path) -> None:
    """Make what all replicas share; what is there already is checked and kept.

    Raises PkiError naming a file that is there and bad, OSError.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _ensure_authority(folder, CLUSTER_CA, "kmini cluster CA")
    _ensure_authority(folder, PEER_CA, "kmini peer CA")
    if not (folder / SERVICE_ACCOUNT_KEY).exists():
        write_file(folder / SERVICE_ACCOUNT_KEY, private_key_pem(_new_key()), secret=True)
    if not (folder / keyring.FILE_NAME).exists():
        write_file(folder / keyring.FILE_NAME, keyring.new_ring().encode(), secret=True)
    check_shared(folder)


def check_shared(folder: Path) -> None:
    """Load every shared file. Raises PkiError naming the one that is missing or bad."""
    load_authority(folder, CLUSTER_CA)
    load_authority(folder, PEER_CA)
    load_private_key(folder / SERVICE_ACCOUNT_KEY)
    keyring.load(folder / keyring.FILE_NAME)


def copy_shared(ca_dir: Path, pki_dir: Path) -> None:
    """Copy what replicas share into this replica's folder, keys with mode 0600.

    Raises PkiError when the source is bad, or when the replica holds other authorities already: that is
    another cluster's folder, and nothing in it is touched.
    """
    check_shared(ca_dir)
    pki_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    contents = {name: (ca_dir / name).read_bytes() for name in SHARED_FILES}
    for name in ("ca.crt", "peer-ca.crt"):
        held = pki_dir / name
        if held.exists() and held.read_bytes() != contents[name]:
            raise PkiError(f"{held} differs from {ca_dir / name}: this replica belongs to another cluster")
    for name in sorted(contents, key=lambda name: name.endswith(".crt")):  # keys first
        if not (pki_dir / name).exists():
            write_file(pki_dir / name, contents[name], secret=not name.endswith(".crt"))
    check_shared(pki_dir)


def load_authority(folder: Path, name: str) -> KeyPair:
    """The cluster CA (CLUSTER_CA) or the peer CA (PEER_CA). Raises PkiError."""
    pair = load_pair(folder, name)
    try:
        constraints = pair.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        constraints = x509.BasicConstraints(ca=False, path_length=None)
    if not constraints.ca:
        raise PkiError(f"{folder / name}.crt is not a certificate authority")
    return pair


def _ensure_authority(folder: Path, name: str, common_name: str) -> None:
    if (folder / f"{name}.crt").exists():
        return  # check_shared() says whether it is good; a key alone was never used and is made anew
    write_pair(folder, name, make_authority(common_name))


def make_authority(common_name: str, now: datetime.datetime | None = None) -> KeyPair:
    """A self-signed authority that may sign leaves and no further authority."""
    now = now or _now()
    key = _new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = _builder(subject, key, now, now + AUTHORITY_LIFETIME).issuer_name(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
    )
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


# --- a replica's own, and clients' ----------------------------------------------------------------------


def issue_peer(authority: KeyPair, cluster_id: int, member_id: int, now: datetime.datetime | None = None) -> KeyPair:
    """A member's certificate, under the peer CA. Cluster 0: a replica that is no member of a cluster yet."""
    if not 0 <= cluster_id < 1 << 63 or not 0 < member_id < 1 << 63:
        raise ValueError(f"not ids of a member: {cluster_id}, {member_id}")
    uri = f"kmini://{cluster_id:016x}/member/{member_id:016x}"
    names = [x509.UniformResourceIdentifier(uri)]
    return _issue(authority, f"member {member_id:016x}", [], names, [_SERVER, _CLIENT], now)


def issue_serving(authority: KeyPair, names: Iterable[str], now: datetime.datetime | None = None) -> KeyPair:
    """A serving certificate for DNS names and addresses (see `serving_names`), under the cluster CA."""
    return _issue(authority, "kmini server", [], [_general_name(name) for name in names], [_SERVER], now)


def issue_client(
    authority: KeyPair, user: str, groups: Sequence[str] = (), now: datetime.datetime | None = None
) -> KeyPair:
    """A client certificate: CN is the user, each O a group (as Kubernetes reads them)."""
    return _issue(authority, user, groups, [], [_CLIENT], now)


def issue_admin(authority: KeyPair, now: datetime.datetime | None = None) -> KeyPair:
    return issue_client(authority, "kmini-admin", [ADMIN_GROUP], now)


def issue_replica(authority: KeyPair, name: str, now: datetime.datetime | None = None) -> KeyPair:
    """What a replica shows on the API ports of the others (ring_spread.py)."""
    return issue_client(authority, SERVER_USER_PREFIX + name, [SERVER_GROUP], now)


def serving_names(
    *, addresses: Iterable[str], extra: Iterable[str] = (), service_cidr: str, cluster_domain: str
) -> list[str]:
    """What a serving certificate must carry (CONTRACT.md): sorted, without duplicates.

    `addresses` are the bind and advertise addresses; the unspecified ones (0.0.0.0, ::) name nobody and
    are left out. Raises ValueError for a service_cidr that is no network.
    """
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{cluster_domain}"]
    first_service_address = str(ipaddress.ip_network(service_cidr)[1])
    names = {"localhost", "127.0.0.1", "::1", first_service_address, *service, *extra}
    return sorted(names | {address for address in addresses if not _is_unspecified(address)})


def needs_issue(
    folder: Path,
    name: str,
    authority: KeyPair,
    names: Iterable[str] | None = None,
    now: datetime.datetime | None = None,
) -> bool:
    """Whether a leaf is missing, bad, another authority's, due to be renewed, or carries other names than `names`."""
    try:
        held = load_pair(folder, name, now)
        held.certificate.verify_directly_issued_by(authority.certificate)
    except (PkiError, InvalidSignature, ValueError, TypeError):
        return True  # whatever is wrong with a leaf of our own, a new one mends it
    if held.renewal_due(now) and held.certificate.not_valid_after_utc < authority.certificate.not_valid_after_utc:
        return True  # one that ends with its authority would end no later if it were made anew
    return names is not None and certificate_names(held.certificate) != sorted(set(names))


def renewal_time(certificate: x509.Certificate) -> datetime.datetime:
    """When two thirds of its life are over."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def certificate_names(certificate: x509.Certificate) -> list[str]:
    """Every subject alternative name as text, sorted."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(name.value) for name in names)


def certificate_hash(pem: bytes) -> str:
    """Hex SHA-256 of a certificate in DER: what join tokens pin. Raises ValueError."""
    return ca_hash(x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER))


# --- files ----------------------------------------------------------------------------------------------


def write_pair(folder: Path, name: str, pair: KeyPair) -> None:
    """NAME.key (0600), then NAME.crt, one right after the other: who reads both meets a pair."""
    key = _write_beside(folder / f"{name}.key", pair.key_pem, secret=True)
    try:
        certificate = _write_beside(folder / f"{name}.crt", pair.certificate_pem, secret=False)
    except BaseException:
        key.unlink(missing_ok=True)
        raise
    _put_in_place({key: folder / f"{name}.key", certificate: folder / f"{name}.crt"})


def load_pair(folder: Path, name: str, now: datetime.datetime | None = None) -> KeyPair:
    """NAME.crt and NAME.key, belonging together and valid now. Raises PkiError naming the bad file."""
    path = folder / f"{name}.crt"
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{path} is no certificate: {error}") from error
    key = load_private_key(folder / f"{name}.key")
    if certificate.public_key() != key.public_key():
        raise PkiError(f"{path} does not belong to {folder / name}.key")
    now = now or _now()
    if now < certificate.not_valid_before_utc:
        raise PkiError(f"{path} is valid only from {certificate.not_valid_before_utc}: check this machine's clock")
    if now > certificate.not_valid_after_utc:
        raise PkiError(f"{path} was valid until {certificate.not_valid_after_utc}")
    return KeyPair(certificate, key)


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises PkiError naming the file."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise PkiError(f"{path} is no private key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an elliptic curve key")
    return key


def write_file(path: Path, content: bytes, *, secret: bool) -> None:
    """Write a file whole or not at all, durably; mode 0600 from its first byte on when secret, else 0644."""
    _put_in_place({_write_beside(path, content, secret=secret): path})


def _write_beside(path: Path, content: bytes, *, secret: bool) -> Path:
    """A durable file of another name in the same folder."""
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp's mode is 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not secret:
            os.chmod(unfinished, 0o644)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return Path(unfinished)


def _put_in_place(files: Mapping[Path, Path]) -> None:
    """Rename each to its own name, in order; all lie in one folder."""
    try:
        for unfinished, path in files.items():
            os.replace(unfinished, path)
    except BaseException:
        for unfinished in files:
            unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(next(iter(files.values())).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# --- how a certificate is made --------------------------------------------------------------------------


def _issue(
    authority: KeyPair,
    common_name: str,
    groups: Sequence[str],
    names: Sequence[x509.GeneralName],
    purposes: Sequence[x509.ObjectIdentifier],
    now: datetime.datetime | None,
) -> KeyPair:
    now = now or _now()
    key = _new_key()
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    until = min(now + LEAF_LIFETIME, authority.certificate.not_valid_after_utc)
    builder = _builder(subject, key, now, until).issuer_name(authority.certificate.subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return KeyPair(builder.sign(authority.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, until: datetime.datetime
) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(until)
        .add_extension(identifier, critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _is_unspecified(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
