"""The text of the token a machine joins with: `K1<sha256 of CA>.<id>.<secret>` (docs/contract.md).

The hash pins the cluster CA before anything secret is sent; `<id>.<secret>` is a bootstrap token of Kubernetes, sent as
`Authorization: Bearer <id>.<secret>`. What it is good for is the server's knowledge (apiserver/auth/join_token.py).
"""

from __future__ import annotations

import re
from typing import NamedTuple

VERSION = "K1"
ID_LENGTH = 6
SECRET_LENGTH = 16
SECRET_NAME_PREFIX = "bootstrap-token-"  # noqa: S105 - of the Secret's name

_BOOTSTRAP = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)
_JOIN = re.compile(r"K1([0-9a-f]{64})\.([a-z0-9]{6})\.([a-z0-9]{16})", re.ASCII)


class BootstrapToken(NamedTuple):
    """`<id>.<secret>`. The id is no secret; the whole is."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"BootstrapToken({self.id!r})"

    @property
    def text(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def secret_name(self) -> str:
        """Name of the Secret in kube-system that holds it."""
        return SECRET_NAME_PREFIX + self.id


class JoinToken(NamedTuple):
    """`ca_hash`: hex SHA-256 of the cluster CA's certificate in DER."""

    ca_hash: str
    bootstrap: BootstrapToken

    def __repr__(self) -> str:
        return f"JoinToken({self.ca_hash!r}, {self.bootstrap!r})"

    @property
    def text(self) -> str:
        """As written to DIR/token and given to `--token-file`."""
        return f"{VERSION}{self.ca_hash}.{self.bootstrap.text}"


def parse_bootstrap_token(text: str) -> BootstrapToken | None:
    """None when the text has not the form of one."""
    found = _BOOTSTRAP.fullmatch(text)
    return BootstrapToken(found[1], found[2]) if found else None


def parse_join_token(text: str) -> JoinToken:
    """Raises ValueError, which says what is wrong without showing the token."""
    text = text.strip()
    found = _JOIN.fullmatch(text)
    if found:
        return JoinToken(found[1], BootstrapToken(found[2], found[3]))
    if not text.startswith(VERSION):
        raise ValueError(f"not a join token of this version: it must begin with {VERSION}")
    raise ValueError(f"not a join token: it must be {VERSION}<64 hex digits of sha256>.<{ID_LENGTH} id>.<16 secret>")
