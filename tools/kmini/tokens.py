"""Join tokens: the Secrets that hold them and the files a first start leaves for the operator.

A token is a bootstrap token of Kubernetes in kube-system; its Secret's groups say what it is good for (join_token.py).
`DIR/token` joins agents and `DIR/server-token` servers. A file is written once its Secret is stored: a token that was
revoked does not come back with a restart, because its file is still there.
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from apiserver.auth import pki
from apiserver.auth.bootstrap_tokens import secret_data
from apiserver.auth.join_token import (
    ROLE_GROUPS,
    SECRET_NAMESPACE,
    SECRET_TYPE,
    BootstrapToken,
    JoinToken,
    new_bootstrap_token,
)

from .layout import Layout

Role = Literal["agent", "server"]
SECRETS_PATH = f"/api/v1/namespaces/{SECRET_NAMESPACE}/secrets"
EXPIRATION = "expiration"
GROUPS = "auth-extra-groups"


def secret_of(
    token: BootstrapToken, role: Role, *, expires: datetime.datetime | None, description: str
) -> dict[str, Any]:
    """The Secret of a token, as it is posted. `expires` None: it holds until it is revoked."""
    expiration = expires.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if expires is not None else ""
    data = secret_data(token, groups=[ROLE_GROUPS[role]], expiration=expiration, description=description)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": token.secret_name, "namespace": SECRET_NAMESPACE},
        "type": SECRET_TYPE,
        "data": data,
    }


def field_of(secret: Mapping[str, Any], name: str) -> str:
    """A field of a token's Secret as text; empty when it is not there or no base64."""
    try:
        return base64.b64decode(secret.get("data", {}).get(name, "")).decode()
    except ValueError:
        return ""


def role_of(secret: Mapping[str, Any]) -> str:
    groups = field_of(secret, GROUPS).split(",")
    return next((role for role, group in ROLE_GROUPS.items() if group in groups), "other")


def join_token(layout: Layout, token: BootstrapToken) -> JoinToken:
    """The token with the hash of the CA in DIR/pki. Raises OSError, ValueError."""
    return JoinToken(pki.certificate_hash((layout.pki / "ca.crt").read_bytes()), token)


async def ensure_files(layout: Layout, create: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """At a first start: make the tokens of DIR/token and DIR/server-token. `create` stores a Secret.

    Raises what `create` raises, OSError.
    """
    for role, path in (("agent", layout.token), ("server", layout.server_token)):
        if path.exists():
            continue
        token = new_bootstrap_token()
        kind: Role = "agent" if role == "agent" else "server"
        await create(secret_of(token, kind, expires=None, description=f"made at the first start for {path.name}"))
        pki.write_file(path, join_token(layout, token).text.encode() + b"\n", secret=True)
