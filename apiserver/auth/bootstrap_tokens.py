"""Bootstrap tokens: what a machine shows that has no certificate yet (Kubernetes' format and rules).

A token `<id>.<secret>` is good while Secret `kube-system/bootstrap-token-<id>` holds it, is of the right type, says
`usage-bootstrap-authentication: "true"` and has not expired. It names user `system:bootstrap:<id>` in group
system:bootstrappers and those of `auth-extra-groups`. Nothing is remembered here: a token lives as long as its Secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from apiserver.api.errors import Unauthorized
from apiserver.api.times import parse_time

from .join_token import (
    GROUP_BOOTSTRAPPERS,
    SECRET_NAMESPACE,
    SECRET_TYPE,
    BootstrapToken,
    is_extra_group,
)
from .user import GROUP_AUTHENTICATED, User

if TYPE_CHECKING:
    from apiserver.admission.plugin import Lookup

USER_PREFIX = "system:bootstrap:"
EXTRA_GROUPS_MAX = 64

#: One answer for every way a token can be wrong: a guesser learns nothing from it.
_REFUSAL = "the bootstrap token is unknown, expired or not for authentication"


class BootstrapTokens:
    """`clock` gives wall-clock seconds since the epoch."""

    def __init__(self, lookup: Lookup, *, clock: Callable[[], float] = time.time) -> None:
        self._lookup = lookup
        self._clock = clock

    async def user(self, token: BootstrapToken) -> User:
        """Raises Unauthorized, or ServiceUnavailable when it cannot be known."""
        for linearizable in (False, True):
            secret = await self._lookup.get("secrets", SECRET_NAMESPACE, token.secret_name, linearizable=linearizable)
            groups = self._groups(secret, token)
            if groups is not None:
                return User(name=USER_PREFIX + token.id, groups=(GROUP_BOOTSTRAPPERS, *groups, GROUP_AUTHENTICATED))
        raise Unauthorized(_REFUSAL)

    def _groups(self, secret: Any | None, token: BootstrapToken) -> list[str] | None:
        """The extra groups; None when this Secret does not vouch for the token."""
        if secret is None or secret.type != SECRET_TYPE or secret.metadata.deletion_timestamp is not None:
            return None
        held = {key: _text(value) for key, value in secret.data.items()}
        # Both comparisons run whatever the first says: time must not tell which part was wrong.
        right = [
            hmac.compare_digest(held.get("token-secret", "").encode(), token.secret.encode()),
            hmac.compare_digest(held.get("token-id", "").encode(), token.id.encode()),
        ]
        if not all(right) or held.get("usage-bootstrap-authentication") != "true" or self._is_over(held):
            return None
        return extra_groups(held.get("auth-extra-groups", ""))

    def _is_over(self, held: Mapping[str, str]) -> bool:
        """A time that cannot be read counts as over."""
        ends = held.get("expiration", "")
        try:
            return bool(ends) and parse_time(ends).timestamp() <= self._clock()
        except ValueError:
            return True


def extra_groups(text: str) -> list[str] | None:
    """The groups of `auth-extra-groups` (comma-separated), without duplicates; None when one is not allowed."""
    groups = sorted({group.strip() for group in text.split(",")} - {""})
    if len(groups) > EXTRA_GROUPS_MAX or not all(map(is_extra_group, groups)):
        return None
    return groups


def secret_data(
    token: BootstrapToken, *, groups: Iterable[str], expiration: str = "", description: str = ""
) -> dict[str, str]:
    """`data` (base64) of the Secret that makes a token good. `expiration`: RFC 3339; "" never ends."""
    texts = {
        "token-id": token.id,
        "token-secret": token.secret,
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": ",".join(sorted(groups)),
        "expiration": expiration,
        "description": description,
    }
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items() if text}


def _text(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
