"""What all writes of controllers have in common: they change what changed and nothing else, and only of the very object
that was looked at. Cached objects are trimmed, so none is ever sent back as a whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.errors import ApiError
from apiserver.api.meta import DeleteOptions, Preconditions, TopObject


def seen(obj: TopObject) -> dict[str, Any]:
    """The metadata that makes a patch a Conflict when the object is another one, or has changed since."""
    return {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}


def guarded(obj: TopObject, **change: Any) -> dict[str, Any]:
    """A merge patch that only holds for the version of the object that was looked at."""
    return {"metadata": seen(obj), **change}


def this_version(obj: TopObject, *, grace_s: int | None = None) -> DeleteOptions:
    """Options that delete the object as it was looked at, and nothing else."""
    meta = obj.metadata
    preconditions = Preconditions(uid=meta.uid, resource_version=meta.resource_version)
    return DeleteOptions(grace_period_seconds=grace_s, preconditions=preconditions)


def difference(old: msgspec.Struct, new: msgspec.Struct) -> dict[str, Any]:
    """The merge patch, one level deep, that turns one into the other; empty when they are equal."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    names = [*before, *(name for name in after if name not in before)]
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


def namespace_is_ending(error: ApiError) -> bool:
    """Nothing can be made any more where everything is about to go."""
    return any(cause.reason == "NamespaceTerminating" for cause in error.causes)
