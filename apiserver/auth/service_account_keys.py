"""The keys that sign ServiceAccount tokens, and the documents with which others verify them.

One key signs; every key of the set verifies, so that rotation never invalidates a token at once: a new key first
reaches every replica as one that verifies, then signs, and the old one goes when its last token has ended. A key's id
(`kid`) is the digest of its public half, as Kubernetes makes it, so replicas agree without speaking.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .keyring import PkiError
from .pki import SERVICE_ACCOUNT_KEY, load_private_key

ALGORITHM = "ES256"
KEYS_MAX = 16
JWKS_PATH = "/openid/v1/jwks"
DISCOVERY_PATH = "/.well-known/openid-configuration"


class ServiceAccountKeys(NamedTuple):
    """`verifying` holds the signing key's public half too, by key id."""

    signing: ec.EllipticCurvePrivateKey
    signing_id: str
    verifying: Mapping[str, ec.EllipticCurvePublicKey]

    def __repr__(self) -> str:
        return f"ServiceAccountKeys(signing_id={self.signing_id!r}, verifying={sorted(self.verifying)})"


def key_set(
    signing: ec.EllipticCurvePrivateKey, others: Sequence[ec.EllipticCurvePublicKey] = ()
) -> ServiceAccountKeys:
    """`others` verify only. Raises PkiError for a key that is not P-256, and for more than KEYS_MAX."""
    public = [signing.public_key(), *others]
    if any(not isinstance(key.curve, ec.SECP256R1) for key in public):
        raise PkiError(f"a ServiceAccount key is not on the curve P-256, which {ALGORITHM} needs")
    if len(public) > KEYS_MAX:
        raise PkiError(f"{len(public)} ServiceAccount keys, at most {KEYS_MAX} are kept: drop old ones")
    return ServiceAccountKeys(signing, key_id(public[0]), {key_id(key): key for key in public})


def load_keys(folder: Path) -> ServiceAccountKeys:
    """`sa.key` signs; public keys in `sa-*.pub` (PEM) beside it verify too: the next key, or the one before.

    Raises PkiError naming the file. Blocking.
    """
    others = []
    for path in sorted(folder.glob("sa-*.pub")):
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise PkiError(f"{path} is no public key: {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise PkiError(f"{path} is not an elliptic curve key")
        others.append(key)
    return key_set(load_private_key(folder / SERVICE_ACCOUNT_KEY), others)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """base64url of the SHA-256 of the public key in DER (SubjectPublicKeyInfo), unpadded."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _base64url(hashlib.sha256(der).digest())


def jwks_document(keys: ServiceAccountKeys) -> bytes:
    """What JWKS_PATH serves (RFC 7517); content type application/jwk-set+json."""
    return _json({"keys": [_jwk(name, key) for name, key in sorted(keys.verifying.items())]})


def discovery_document(issuer: str, jwks_uri: str) -> bytes:
    """What DISCOVERY_PATH serves (OpenID Connect Discovery 1.0)."""
    return _json(
        {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
    )


def _jwk(name: str, key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": name,
        "crv": "P-256",
        "alg": ALGORITHM,
        "x": _base64url(numbers.x.to_bytes(32, "big")),
        "y": _base64url(numbers.y.to_bytes(32, "big")),
    }


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
