"""Who an agent is: a key that never leaves its folder, and the certificate that the cluster gave for it.

    DIR/agent/ca.crt        the cluster CA, whose hash the join token named
    DIR/agent/client.key    the key that is asked for a certificate next; it becomes part of client.pem
    DIR/agent/client.pem    certificate and key in one file, so that a renewal replaces both at once
    DIR/agent/serving.*     the same of the node's own port
    DIR/agent/servers.json  servers learned from the cluster

Keys are ECDSA P-256, files with a key have mode 0600. Files are written whole and synced before they take a name.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apiserver.client import Access, Material

from .errors import BadIdentity

USER_PREFIX = "system:node:"
GROUP = "system:nodes"
_FILE_BYTES_MAX = 1 << 20


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate is for: `stem` of its files, who signs it, and whether it carries the node's name as a name
    to connect to. Signers and usages are Kubernetes'."""

    stem: str
    signer: str
    usages: tuple[str, ...]
    names_node: bool = False


CLIENT = Purpose(
    stem="client", signer="kubernetes.io/kube-apiserver-client-kubelet", usages=("digital signature", "client auth")
)
SERVING = Purpose(
    stem="serving", signer="kubernetes.io/kubelet-serving", usages=("digital signature", "server auth"), names_node=True
)


class Identity:
    """Of one node. Methods are blocking and small; they raise BadIdentity naming the file."""

    def __init__(self, folder: Path, node_name: str, purpose: Purpose = CLIENT) -> None:
        self.folder = folder
        self.node_name = node_name
        self.purpose = purpose
        self.authority_file = folder / "ca.crt"
        self.servers_file = folder / "servers.json"
        self.pair_file = folder / f"{purpose.stem}.pem"
        self._key_file = folder / f"{purpose.stem}.key"

    @property
    def user(self) -> str:
        return USER_PREFIX + self.node_name

    def access(self, servers: tuple[str, ...]) -> Access:
        """Files, so that a renewal is taken up by itself."""
        pair = Material(file=self.pair_file)
        return Access(servers=servers, authority=Material(file=self.authority_file), certificate=pair, key=pair)

    def certificate(self) -> x509.Certificate | None:
        """The one there is, of this node and with a key that fits; None before the first."""
        raw = _read(self.pair_file)
        if raw is None:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(raw)
            key = serialization.load_pem_private_key(raw, None)
        except (ValueError, TypeError) as error:
            raise BadIdentity(f"{self.pair_file} holds no certificate with its key: {_words(error)}") from None
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise BadIdentity(f"{self.pair_file}: the key is not the certificate's")
        name = _common_name(certificate.subject)
        if name != self.user:
            raise BadIdentity(f"{self.pair_file} is the certificate of {name}, not of {self.user}: use another folder")
        return certificate

    def authority_hash(self) -> str | None:
        """Of the CA that was pinned when this node joined; None before."""
        raw = _read(self.authority_file)
        if raw is None:
            return None
        try:
            return certificate_hash(raw)
        except ValueError as error:
            raise BadIdentity(f"{self.authority_file} holds no certificate: {error}") from None

    def new_request(self) -> str:
        """A certificate request in PEM, for the key of the last request that had no answer, or a new one.

        The key is on disk before anybody hears of it: an answer that comes after a crash finds it.
        """
        raw = _read(self._key_file)
        try:
            key = serialization.load_pem_private_key(raw, None) if raw else None
        except (ValueError, TypeError):
            key = None  # a broken one was never used
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            key = ec.generate_private_key(ec.SECP256R1())
            write_file(self._key_file, _pem(key), secret=True)
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, GROUP), x509.NameAttribute(NameOID.COMMON_NAME, self.user)]
        )
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if self.purpose.names_node:
            names = x509.SubjectAlternativeName([x509.DNSName(self.node_name)])
            builder = builder.add_extension(names, critical=False)
        request = builder.sign(key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def accept(self, certificate_pem: bytes) -> x509.Certificate:
        """The answer to the request: from now on it is who we are."""
        raw = _read(self._key_file)
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = serialization.load_pem_private_key(raw or b"", None)
        except (ValueError, TypeError) as error:
            raise BadIdentity(f"the certificate that was given cannot be used: {_words(error)}") from None
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise BadIdentity("the certificate that was given is not for our key")
        if _common_name(certificate.subject) != self.user:
            raise BadIdentity(f"the certificate that was given is not for {self.user}")
        write_file(self.pair_file, certificate_pem.rstrip() + b"\n" + (raw or b""), secret=True)
        self._key_file.unlink(missing_ok=True)
        return certificate


def certificate_hash(pem: bytes) -> str:
    """Hex SHA-256 of the certificate in DER, as join tokens name a CA. Raises ValueError."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def due_at(certificate: x509.Certificate) -> float:
    """When to renew: at two thirds of its life; seconds since the epoch."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin + (end - begin) * 2 / 3


def is_over(certificate: x509.Certificate, now: float) -> bool:
    return datetime.datetime.fromtimestamp(now, datetime.UTC) >= certificate.not_valid_after_utc


def write_file(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Whole or not at all, on disk before it has the name. Raises BadIdentity."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise BadIdentity(f"cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadIdentity(f"cannot read {path}: {error.strerror}") from error


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(key: object) -> bytes:
    """Equal for the two halves of one pair."""
    found: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


def _common_name(subject: x509.Name) -> str:
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
