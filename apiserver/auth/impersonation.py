"""Acting as somebody else: the Impersonate-* headers (Kubernetes' "User impersonation").

Every part of the other identity is a permission of its own, verb `impersonate`: the user or service account, each
group, the uid, each value of each extra key. The caller authorizes them all as the real user, then goes on as the
other one. Groups and extras without a user make no sense and are refused.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from typing import NamedTuple

from apiserver.api.errors import BadRequest

from .service_accounts import service_account_groups, split_service_account
from .user import ANONYMOUS, GROUP_AUTHENTICATED, GROUP_UNAUTHENTICATED, Attributes, User

HEADERS_MAX = 128
VALUE_CHARACTERS_MAX = 1024

_PREFIX = "impersonate-"
_EXTRA_PREFIX = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


class Impersonation(NamedTuple):
    """`wanted` must all be allowed to the real user; then the request is `user`'s."""

    user: User
    wanted: list[Attributes]


class _Asked:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.uids: list[str] = []
        self.groups: list[str] = []
        self.extra: dict[str, list[str]] = {}


def impersonation(headers: Iterable[tuple[str, str]]) -> Impersonation | None:
    """None when nobody is impersonated. Raises BadRequest. `headers` as they came, repeated ones repeated."""
    asked = _asked([(name.lower(), value) for name, value in headers if name[:12].lower() == _PREFIX])
    if asked is None:
        return None
    if not asked.names:
        raise BadRequest("Impersonate-Group, Impersonate-Uid and Impersonate-Extra- need an Impersonate-User beside")
    if len(asked.names) > 1 or len(asked.uids) > 1:
        raise BadRequest("Impersonate-User and Impersonate-Uid may be given once only")
    name = asked.names[0]
    user = User(
        name=name,
        uid=asked.uids[0] if asked.uids else "",
        groups=_groups(name, asked.groups),
        extra={key: tuple(values) for key, values in asked.extra.items()},
    )
    return Impersonation(user, list(_wanted(name, asked)))


def _asked(headers: list[tuple[str, str]]) -> _Asked | None:
    if not headers:
        return None
    if len(headers) > HEADERS_MAX or any(len(value) > VALUE_CHARACTERS_MAX for _, value in headers):
        raise BadRequest(f"at most {HEADERS_MAX} Impersonate headers of {VALUE_CHARACTERS_MAX} characters are read")
    asked = _Asked()
    for header, value in headers:
        if not value:
            raise BadRequest(f"header {header} is empty")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise BadRequest(f"header {header} is not valid UTF-8")
        if header == "impersonate-user":
            asked.names.append(value)
        elif header == "impersonate-uid":
            asked.uids.append(value)
        elif header == "impersonate-group":
            asked.groups.append(value)
        elif header.startswith(_EXTRA_PREFIX) and header != _EXTRA_PREFIX:
            key = urllib.parse.unquote(header.removeprefix(_EXTRA_PREFIX))
            asked.extra.setdefault(key, []).append(value)
        else:
            raise BadRequest(f"header {header} is unknown: nothing would be done with it")
    return asked


def _wanted(name: str, asked: _Asked) -> Iterable[Attributes]:
    account = split_service_account(name)
    if account:
        namespace, account_name = account
        yield _attributes("serviceaccounts", account_name, namespace=namespace)
    else:
        yield _attributes("users", name)
    for group in asked.groups:
        yield _attributes("groups", group)
    for key, values in asked.extra.items():
        for value in values:
            yield _attributes("userextras", value, group=_AUTHENTICATION, subresource=key)
    for uid in asked.uids:
        yield _attributes("uids", uid, group=_AUTHENTICATION)


def _attributes(resource: str, name: str, *, group: str = "", subresource: str = "", namespace: str = "") -> Attributes:
    return Attributes(
        verb="impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _groups(name: str, asked: list[str]) -> tuple[str, ...]:
    """Those asked for, or a service account's own; everybody is in the group of the (un)authenticated besides."""
    groups = list(asked)
    account = split_service_account(name)
    if account and not groups:
        groups = list(service_account_groups(account[0]))
    if GROUP_AUTHENTICATED not in groups and GROUP_UNAUTHENTICATED not in groups:
        groups.append(GROUP_UNAUTHENTICATED if name == ANONYMOUS else GROUP_AUTHENTICATED)
    return tuple(dict.fromkeys(groups))
