"""What every object of the API is made of: one base class, and the scalar types Kubernetes gives meaning to.

Python names are snake_case and become Kubernetes' camelCase by `json_name`; a trailing underscore is dropped
(`continue_`). What is absent and what is empty are the same, as in Kubernetes (`omitempty`), but for fields made
with `always`: those are written even when they hold their zero value, because clients demand them. A field that
must tell "absent" from "zero" is `X | None = None`.

The docstring of a struct is what `kubectl explain` shows: a first paragraph for the type, then lines of
`python_name: what it means.` for its fields.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

#: Words that Kubernetes writes in capitals, unless they come first in a name.
_CAPITALS = {
    "api": "API",
    "ca": "CA",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
    "fqdn": "FQDN",
    "id": "ID",
    "ids": "IDs",
    "ip": "IP",
    "ipc": "IPC",
    "ips": "IPs",
    "pid": "PID",
    "uid": "UID",
    "uri": "URI",
    "url": "URL",
    "urls": "URLs",
    "uuid": "UUID",
    "wwns": "WWNs",
}


def json_name(python_name: str) -> str:
    """`cluster_ip` → `clusterIP`, `api_version` → `apiVersion`, `continue_` → `continue`."""
    first, *rest = python_name.rstrip("_").split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


class Object(msgspec.Struct, rename=json_name, omit_defaults=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Any struct of the API. Unknown fields do not decode: `apiserver.api.decode` says what happens then.

    Not tracked by the garbage collector: objects form trees, never cycles.
    """


def always(zero: T) -> Any:
    """A default that is written nevertheless, for fields without `omitempty` in Kubernetes.

    Each object gets an empty list or map of its own.
    """
    if isinstance(zero, list | dict):
        return msgspec.field(default_factory=lambda: zero.copy())
    return msgspec.field(default_factory=lambda: zero)


def merge_by(key: str, *, retain_keys: bool = False) -> msgspec.Meta:
    """A list that a strategic merge patch merges by `key`: `Annotated[list[Container], merge_by("name")]`."""
    strategy = "merge,retainKeys" if retain_keys else "merge"
    return msgspec.Meta(extra={"patch_strategy": strategy, "patch_merge_key": key})


def merge_values() -> msgspec.Meta:
    """A list of scalars that a strategic merge patch merges as a set (finalizers)."""
    return msgspec.Meta(extra={"patch_strategy": "merge"})


def retain_keys() -> msgspec.Meta:
    """A struct whose `$retainKeys` directive a strategic merge patch honours (a Deployment's strategy)."""
    return msgspec.Meta(extra={"patch_strategy": "retainKeys"})


Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1, extra={"format": "int32"})]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1, extra={"format": "int64"})]
IntOrString = Int32 | str
#: RFC 3339 in UTC with seconds (`2026-01-31T12:00:00Z`), or with microseconds. Checked by validation.
Time = Annotated[str, msgspec.Meta(extra={"format": "date-time"})]
MicroTime = Annotated[str, msgspec.Meta(extra={"format": "date-time", "micro": True})]
#: As it came; `apiserver.api.quantity` parses it and gives its canonical form.
Quantity = Annotated[str | int | float, msgspec.Meta(extra={"format": "quantity"})]
#: Base64 in JSON. Kept as text: nothing in the server looks into it.
Base64 = Annotated[str, msgspec.Meta(extra={"format": "byte"})]
StringMap = dict[str, str]
ResourceList = dict[str, Quantity]
