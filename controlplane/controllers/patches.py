"""Merge patches of controllers: what changed and nothing else, and only of the very object that was looked at.

Cached objects are trimmed, so none is ever sent back as a whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.meta import TopObject


def seen(obj: TopObject) -> dict[str, str]:
    """The metadata that makes a patch a Conflict when the object is another one, or has changed since."""
    return {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}


def difference(old: msgspec.Struct, new: msgspec.Struct) -> dict[str, Any]:
    """The merge patch, one level deep, that turns one into the other; empty when they are equal."""
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    names = [*before, *(name for name in after if name not in before)]
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}
