"""Which field of a message has which number: facts of Kubernetes' public `generated.proto` files.

A table for each group holds a row for each struct of ours, by the struct's name: `name=1 image=2`, names as in JSON.
`+Probe=1` says that field 1 is a message whose fields JSON writes straight into the parent; its row stands under that
name. Numbers are never used again for anything else, so a row is right for every version of Kubernetes.
Kinds of our own versions have no numbers and cannot be sent in this form.
"""

from __future__ import annotations

from typing import NamedTuple

from . import numbers_access as access
from . import numbers_groups as groups
from .numbers_core_cluster import CORE_CLUSTER
from .numbers_core_pods import CORE_PODS
from .numbers_core_volumes import CORE_VOLUMES

#: By the module (or package) of `apiserver.api` that the structs are in.
TABLES: dict[str, dict[str, str]] = {
    "core": {**CORE_PODS, **CORE_VOLUMES, **CORE_CLUSTER},
    "meta": groups.META,
    "apps": groups.APPS,
    "policy": groups.POLICY,
    "autoscaling": groups.AUTOSCALING,
    "scheduling": groups.SCHEDULING,
    "storage": groups.STORAGE,
    "coordination": groups.COORDINATION,
    "discovery": groups.DISCOVERY,
    "events": groups.EVENTS,
    "rbac": access.RBAC,
    "authentication": access.AUTHENTICATION,
    "authorization": access.AUTHORIZATION,
    "certificates": access.CERTIFICATES,
}
_PACKAGE = "apiserver.api."


class Numbered(NamedTuple):
    """A field, or with `inlined` the row whose fields stand in its place."""

    name: str
    number: int
    inlined: bool


def group_of(type_: type) -> str:
    """`apiserver.api.core.pod` → `core`; "" for what is no type of the API."""
    module = type_.__module__
    return module.removeprefix(_PACKAGE).partition(".")[0] if module.startswith(_PACKAGE) else ""


def row(group: str, name: str) -> tuple[Numbered, ...] | None:
    """The fields of a message; None when it has no row."""
    text = TABLES.get(group, {}).get(name)
    if text is None:
        return None
    return tuple(_numbered(word) for word in text.split())


def _numbered(word: str) -> Numbered:
    name, _, number = word.partition("=")
    return Numbered(name.lstrip("+"), int(number), name.startswith("+"))
