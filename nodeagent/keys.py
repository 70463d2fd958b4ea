"""Keys and certificates of a node, made and looked at: what takes the library for it.

It runs as a process of its own (`python -m nodeagent.keys`: a question on stdin, the answer on stdout, both JSON), for
the library takes an eighth of an agent's memory and is needed for a moment a year. Keys never pass through it: they
are in files, which both sides know.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .errors import BadIdentity
from .identity import GROUP, KeysAnswer, KeysQuestion, Validity, read_file, user_of, write_file


class NodeKeys:
    """One pair of a node's, as the question names it. Methods raise BadIdentity naming the file."""

    def __init__(self, question: KeysQuestion) -> None:
        self._node_name = question.node_name
        self._names_node = question.names_node
        self._pair_file = Path(question.pair_file)
        self._key_file = Path(question.key_file)

    @property
    def _user(self) -> str:
        return user_of(self._node_name)

    def certificate(self) -> x509.Certificate | None:
        """The one there is, of this node and with a key that fits; None before the first."""
        raw = read_file(self._pair_file)
        if raw is None:
            return None
        try:
            certificate = x509.load_pem_x509_certificate(raw)
            key = serialization.load_pem_private_key(raw, None)
        except (ValueError, TypeError) as error:
            raise BadIdentity(f"{self._pair_file} holds no certificate with its key: {_words(error)}") from None
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise BadIdentity(f"{self._pair_file}: the key is not the certificate's")
        name = _common_name(certificate.subject)
        if name != self._user:
            raise BadIdentity(
                f"{self._pair_file} is the certificate of {name}, not of {self._user}: use another folder"
            )
        return certificate

    def new_request(self) -> str:
        """A certificate request in PEM, for the key of the last request that had no answer, or a new one.

        The key is on disk before anybody hears of it: an answer that comes after a crash finds it.
        """
        raw = read_file(self._key_file)
        try:
            key = serialization.load_pem_private_key(raw, None) if raw else None
        except (ValueError, TypeError):
            key = None  # a broken one was never used
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            key = ec.generate_private_key(ec.SECP256R1())
            write_file(self._key_file, _pem(key), secret=True)
        subject = x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, GROUP), x509.NameAttribute(NameOID.COMMON_NAME, self._user)]
        )
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if self._names_node:
            names = x509.SubjectAlternativeName([x509.DNSName(self._node_name)])
            builder = builder.add_extension(names, critical=False)
        request = builder.sign(key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.PEM).decode()

    def accept(self, certificate_pem: bytes) -> x509.Certificate:
        """The answer to the request: from now on it is who we are."""
        raw = read_file(self._key_file)
        try:
            certificate = x509.load_pem_x509_certificate(certificate_pem)
            key = serialization.load_pem_private_key(raw or b"", None)
        except (ValueError, TypeError) as error:
            raise BadIdentity(f"the certificate that was given cannot be used: {_words(error)}") from None
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise BadIdentity("the certificate that was given is not for our key")
        if _common_name(certificate.subject) != self._user:
            raise BadIdentity(f"the certificate that was given is not for {self._user}")
        write_file(self._pair_file, certificate_pem.rstrip() + b"\n" + (raw or b""), secret=True)
        self._key_file.unlink(missing_ok=True)
        return certificate


def validity_of(certificate: x509.Certificate) -> Validity:
    return Validity(begin=certificate.not_valid_before_utc.timestamp(), end=certificate.not_valid_after_utc.timestamp())


def answer(question: KeysQuestion) -> KeysAnswer:
    """What was wrong is in the answer."""
    keys = NodeKeys(question)
    try:
        if question.wish == "request":
            return KeysAnswer(request=keys.new_request())
        certificate = keys.certificate() if question.wish == "look" else keys.accept(question.certificate.encode())
    except BadIdentity as error:
        return KeysAnswer(problem=str(error))
    return KeysAnswer(validity=validity_of(certificate) if certificate is not None else None)


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


if __name__ == "__main__":
    sys.stdout.buffer.write(
        msgspec.json.encode(answer(msgspec.json.decode(sys.stdin.buffer.read(), type=KeysQuestion)))
    )
