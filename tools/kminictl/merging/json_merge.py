"""JSON merge patches (RFC 7386) from versions of an object: for kinds of which no schema says how lists merge."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]


def two_way(original: JsonObject, modified: JsonObject) -> JsonObject:
    """What makes `original` into `modified`."""
    return _merged(_deletions(original, modified), changes(original, modified))


def three_way(original: JsonObject, modified: JsonObject, current: JsonObject) -> JsonObject:
    """What makes `current` what `modified` says, without what `original` said and `modified` no longer does."""
    return _merged(_deletions(original, modified), changes(current, modified))


def changes(old: JsonObject, new: JsonObject) -> JsonObject:
    """Fields that are new or other in `new`."""
    patch: JsonObject = {}
    for key, value in new.items():
        known = old.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            found = changes(known, value)
            if found:
                patch[key] = found
        elif key not in old or known != value or type(known) is not type(value):
            patch[key] = value
    return patch


def _deletions(old: JsonObject, new: JsonObject) -> JsonObject:
    patch: JsonObject = {}
    for key, value in old.items():
        if key not in new:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(new[key], dict):
            found = _deletions(value, new[key])
            if found:
                patch[key] = found
    return patch


def _merged(one: JsonObject, other: JsonObject) -> JsonObject:
    merged = dict(one)
    for key, value in other.items():
        known = merged.get(key)
        merged[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def applied(document: JsonObject, patch: JsonObject) -> JsonObject:
    """The document as the patch changes it."""
    made = dict(document)
    for key, value in patch.items():
        known = made.get(key)
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict):
            made[key] = applied(known if isinstance(known, dict) else {}, value)
        else:
            made[key] = value
    return made
