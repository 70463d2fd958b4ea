"""The tokens machines join with, as the server keeps them: new ones, and what one is good for.

A token's text is in apiserver/api/join_token.py. It is kept as Secret `kube-system/bootstrap-token-<id>`; its rights
lie in the groups of that Secret, never in the text: an agent's token cannot be dressed up as a server's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string

from apiserver.api.join_token import (
    ID_LENGTH,
    SECRET_LENGTH,
    SECRET_NAME_PREFIX,
    VERSION,
    BootstrapToken,
    JoinToken,
    parse_bootstrap_token,
    parse_join_token,
)

__all__ = [
    "GROUP_BOOTSTRAPPERS",
    "ID_LENGTH",
    "ROLE_GROUPS",
    "SECRET_LENGTH",
    "SECRET_NAMESPACE",
    "SECRET_NAME_PREFIX",
    "SECRET_TYPE",
    "VERSION",
    "BootstrapToken",
    "JoinToken",
    "ca_hash",
    "is_extra_group",
    "new_bootstrap_token",
    "parse_bootstrap_token",
    "parse_join_token",
]

SECRET_TYPE = "bootstrap.kubernetes.io/token"  # noqa: S105 - the type of a Secret, none itself
SECRET_NAMESPACE = "kube-system"  # noqa: S105
GROUP_BOOTSTRAPPERS = "system:bootstrappers"
#: The group that a token of each role has beside system:bootstrappers.
ROLE_GROUPS = {"agent": "system:bootstrappers:kmini:agents", "server": "system:bootstrappers:kmini:servers"}

_ALPHABET = string.ascii_lowercase + string.digits
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]", re.ASCII)


def new_bootstrap_token() -> BootstrapToken:
    """36^16 secrets: not to be guessed over a network."""
    return BootstrapToken(_random(ID_LENGTH), _random(SECRET_LENGTH))


def ca_hash(certificate_der: bytes) -> str:
    """What a join token pins: hex SHA-256 of the CA certificate in DER."""
    return hashlib.sha256(certificate_der).hexdigest()


def is_extra_group(group: str) -> bool:
    """Whether a bootstrap token may carry this group (Kubernetes' rule: below system:bootstrappers only)."""
    return _EXTRA_GROUP.fullmatch(group) is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
