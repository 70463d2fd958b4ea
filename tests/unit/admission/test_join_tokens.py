"""A token that gives the cluster's keys away is made by those who may do everything, and by nobody else."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from kmini import tokens

from apiserver.admission.join_tokens import JoinTokens
from apiserver.admission.plugin import Admission
from apiserver.api.core.config import Secret
from apiserver.api.errors import Forbidden
from apiserver.auth.join_token import ROLE_GROUPS, new_bootstrap_token
from apiserver.auth.user import User
from apiserver.registry.table import table

ADMIN = User(name="kmini-admin", groups=("system:masters", "system:authenticated"))
EDITOR = User(name="ann", groups=("editors", "system:authenticated"))


def secret(role: tokens.Role, **data: str) -> Secret:
    made = tokens.secret_of(new_bootstrap_token(), role, expires=None, description="")
    texts = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return Secret(type=made["type"], data={**made["data"], **texts})


def check(user: User, obj: Any, operation: str = "CREATE", plural: str = "secrets") -> None:
    request = Admission(
        user=user,
        resource=table().of_key(plural),
        operation=operation,
        namespace="kube-system",
        name="x",
        obj=obj,
    )
    asyncio.run(JoinTokens().check(request, lookup=None))  # type: ignore[arg-type]  # it looks nothing up


@pytest.mark.parametrize("operation", ["CREATE", "UPDATE"])
def test_only_masters_make_server_tokens(operation: str) -> None:
    check(ADMIN, secret("server"), operation)
    for groups in (ROLE_GROUPS["server"], f"system:bootstrappers:x, {ROLE_GROUPS['server']} "):
        with pytest.raises(Forbidden, match="system:masters"):
            check(EDITOR, secret("agent", **{"auth-extra-groups": groups}), operation)


def test_everything_else_is_left_to_others() -> None:
    check(EDITOR, secret("agent"))
    check(EDITOR, Secret(type="Opaque", data=secret("server").data))
    check(EDITOR, secret("agent", **{"auth-extra-groups": ""}))
    check(EDITOR, None, "DELETE")
    broken = secret("server")
    broken.data["auth-extra-groups"] = "/w=="
    check(EDITOR, broken)
