"""Who asks (`User`), and what is asked for (`Attributes`): what authentication hands to authorization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

ANONYMOUS = "system:anonymous"
GROUP_AUTHENTICATED = "system:authenticated"
GROUP_UNAUTHENTICATED = "system:unauthenticated"
GROUP_MASTERS = "system:masters"
GROUP_NODES = "system:nodes"
GROUP_SERVICE_ACCOUNTS = "system:serviceaccounts"
NODE_USER_PREFIX = "system:node:"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated identity. `groups` holds system:authenticated (or system:unauthenticated) already."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


class Attributes(NamedTuple):
    """What a request wants, in the terms of RBAC rules. For a path that is no resource only `verb` and `path`."""

    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""  # plural; "" for a path that is no resource
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""  # of a request that is for no resource
    field_selector: str = ""  # of a list, watch or deletecollection, as the client wrote it
    label_selector: str = ""  # likewise

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


class Decision(NamedTuple):
    """`reason` says why, for logs and for the message of a refusal."""

    allowed: bool
    reason: str = ""


ALLOWED = Decision(True)
NO_OPINION = Decision(False)
