"""Strategic merge patches from versions of an object: what leads from one to another, and what three of them say.

Kubernetes' rules (apimachinery/util/strategicpatch): lists that merge are compared element by element under their
merge key, and the order they are to have goes along as `$setElementOrder`. `Lists` says how a field is merged; where
nothing is known of it, lists are replaced.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import msgspec

JsonObject = dict[str, Any]
ORDER, DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"
RETAIN_KEYS, PATCH = "$retainKeys", "$patch"


class Lists(Protocol):
    """How the fields of a place are merged: Schema of cluster/openapi.py is one."""

    @property
    def strategies(self) -> list[str]: ...

    @property
    def merge_key(self) -> str: ...

    @property
    def items(self) -> Lists | None: ...

    def field(self, name: str) -> Lists | None: ...


class _Take(msgspec.Struct, frozen=True):
    """Which differences count."""

    changes: bool
    deletions: bool


_BOTH = _Take(changes=True, deletions=True)
_CHANGES = _Take(changes=True, deletions=False)
_DELETIONS = _Take(changes=False, deletions=True)


def two_way(original: JsonObject, modified: JsonObject, lists: Lists | None) -> JsonObject:
    """What makes `original` into `modified`."""
    return _maps(original, modified, lists, _BOTH, retain=False)


def three_way(original: JsonObject, modified: JsonObject, current: JsonObject, lists: Lists | None) -> JsonObject:
    """What makes `current` what `modified` says, without what `original` said and `modified` no longer does.

    What others set is left alone."""
    changes = _maps(current, modified, lists, _CHANGES, retain=False)
    deletions = _maps(original, modified, lists, _DELETIONS, retain=False)
    return _merged(deletions, changes, lists)


def _maps(old: JsonObject, new: JsonObject, lists: Lists | None, take: _Take, *, retain: bool) -> JsonObject:
    patch: JsonObject = {}
    for key, value in new.items():
        if key not in old or type(old[key]) is not type(value):
            if take.changes:
                patch[key] = value
        else:
            _field(patch, key, old[key], value, lists, take)
    if take.deletions:
        patch |= {key: None for key in old if key not in new}
    if retain and new and (patch or any(key not in new for key in old)):
        patch[RETAIN_KEYS] = sorted(key for key, value in new.items() if value is not None)
    return patch


def _field(patch: JsonObject, key: str, old: Any, new: Any, lists: Lists | None, take: _Take) -> None:
    below = lists.field(key) if lists is not None else None
    strategies = below.strategies if below is not None else []
    retain = "retainKeys" in strategies
    if isinstance(new, dict) and "replace" not in strategies:
        found = _maps(old, new, below, take, retain=retain)
        if found:
            patch[key] = found
    elif isinstance(new, list) and "merge" in strategies:
        _list(patch, key, old, new, below, take)
    elif take.changes and old != new:
        patch[key] = new


# --- lists that merge -------------------------------------------------------------------------------


def _list(patch: JsonObject, key: str, old: list[Any], new: list[Any], lists: Lists | None, take: _Take) -> None:
    if not old:
        if new and take.changes:
            patch[key] = new
        return
    merge_key = lists.merge_key if lists is not None else ""
    if merge_key and all(isinstance(each, dict) and merge_key in each for each in [*old, *new]):
        added, order = _elements(old, new, merge_key, lists, take)
        deleted: list[Any] = []
    elif any(isinstance(each, dict | list) for each in [*old, *new]):
        if take.changes and old != new:
            patch[key] = new
        return
    else:
        added, deleted, order = _scalars(old, new, take)
    if added:
        patch[key] = added
    if deleted:
        patch[DELETE + key] = deleted
    if order:
        patch[ORDER + key] = order


def _elements(
    old: list[JsonObject], new: list[JsonObject], merge_key: str, lists: Lists | None, take: _Take
) -> tuple[list[Any], list[Any]]:
    """Elements that are new or differ, in the order of `new`, then those that go; and the order, when it matters."""
    before = {_identity(each[merge_key]): each for each in old}
    after = {_identity(each[merge_key]) for each in new}
    items = lists.items if lists is not None else None
    patch: list[Any] = []
    for each in new:
        known = before.get(_identity(each[merge_key]))
        if known is None:
            if take.changes:
                patch.append(each)
            continue
        found = _maps(known, each, items, take, retain=_retains(lists))
        if found:
            patch.append(found | {merge_key: each[merge_key]})
    if take.deletions:
        gone = [each for each in old if _identity(each[merge_key]) not in after]
        patch += [{PATCH: "delete", merge_key: each[merge_key]} for each in gone]
    keys = [each[merge_key] for each in new]
    moved = _are_moved([each[merge_key] for each in old], keys)
    return patch, [{merge_key: key} for key in keys] if patch or moved else []


def _are_moved(old: list[Any], new: list[Any]) -> bool:
    """What both have is in another order. What only others have put there is no reason to send anything again."""
    return [each for each in old if each in new] != [each for each in new if each in old]


def _retains(lists: Lists | None) -> bool:
    return lists is not None and "retainKeys" in lists.strategies


def _scalars(old: list[Any], new: list[Any], take: _Take) -> tuple[list[Any], list[Any], list[Any]]:
    added = [each for each in dict.fromkeys(new) if each not in old] if take.changes else []
    deleted = [each for each in dict.fromkeys(old) if each not in new] if take.deletions else []
    return added, deleted, new if added or deleted or _are_moved(old, new) else []


def _identity(value: Any) -> tuple[bool, Any]:
    """What tells 1 from true."""
    return isinstance(value, bool), value if not isinstance(value, dict | list) else repr(value)


# --- deletions and changes become one patch ---------------------------------------------------------


def _merged(deletions: JsonObject, changes: JsonObject, lists: Lists | None) -> JsonObject:
    merged = dict(deletions)
    for key, value in changes.items():
        known = merged.get(key)
        below = lists.field(key) if lists is not None else None
        if isinstance(value, dict) and isinstance(known, dict):
            merged[key] = _merged(known, value, below)
        elif isinstance(value, list) and isinstance(known, list) and not key.startswith("$"):
            order = changes.get(ORDER + key) or merged.get(ORDER + key) or []
            merged[key] = _merged_lists(known, value, below, order)
        else:
            merged[key] = value
    return merged


def _merged_lists(deletions: list[Any], changes: list[Any], lists: Lists | None, order: list[Any]) -> list[Any]:
    """Elements that are changed, with what is deleted inside them, in their order; then elements that are deleted."""
    merge_key = lists.merge_key if lists is not None else ""
    if not merge_key:
        return changes
    known = {_identity(each[merge_key]): each for each in deletions}
    items = cast("Lists", lists).items
    merged = []
    for each in changes:
        before = known.pop(_identity(each[merge_key]), None)
        merged.append(each if before is None else _merged(before, each, items))
    places = {_identity(each[merge_key]): index for index, each in enumerate(order)}
    last = len(places)
    return sorted([*merged, *known.values()], key=lambda each: places.get(_identity(each[merge_key]), last))
