"""Strategic merge patch: a merge patch that knows which lists are maps in disguise.

The semantics are those of k8s.io/apimachinery/pkg/util/strategicpatch. Lists whose type says so are merged, by a key
or as a set; all others are replaced; maps are merged; null deletes. Directives in the patch:

    {"$patch": "replace" | "delete" | "merge"}   in a map, or in an element of a merged list
    "$deleteFromPrimitiveList/<list>": [...]     takes values out of a list
    "$setElementOrder/<list>": [...]             the order the elements named shall have
    "$retainKeys": [...]                         all other members of the map go

No directive ends up in the result. Neither argument is changed; the result may share parts with both.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from apiserver.api.errors import BadRequest

from .element_order import Identity, identity, ordered
from .shapes import PLAIN, Field, Shape, shape_of
from .values import check_depth

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PREFIX = "$deleteFromPrimitiveList/"
ORDER_PREFIX = "$setElementOrder/"

_GONE = object()  # what a patch deletes as a whole


def apply_strategic(document: dict[str, Any], patch: Any, type_: type[msgspec.Struct]) -> dict[str, Any]:
    """The changed document; `type_` is its struct. BadRequest says where the patch makes no sense and why."""
    if not isinstance(patch, dict):
        raise BadRequest("a strategic merge patch must be a JSON object")
    check_depth(patch, what="the patch")
    result = _merge_map(document, patch, shape_of(type_), "")
    return {} if result is _GONE else result


def _refuse(path: str, reason: str) -> NoReturn:
    raise BadRequest(f"strategic merge patch: {path}: {reason}" if path else f"strategic merge patch: {reason}")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- maps -----------------------------------------------------------------------------------------


def _merge_map(original: Any, patch: dict[str, Any], shape: Shape | None, path: str) -> Any:
    """The merged map, or `_GONE`."""
    before: dict[str, Any] = original if isinstance(original, dict) else {}
    if PATCH in patch:
        directive = patch[PATCH]
        if directive == "delete":
            return _GONE
        if directive == "replace":
            before = {}
        elif directive != "merge":
            _refuse(path, f"unknown patch type: {_shown(directive)}")
    if RETAIN_KEYS in patch:
        before = _retained(before, patch, path)
    result = dict(before)
    for key, value in patch.items():
        if key.startswith("$"):
            _check_directive(key, value, path)
            continue
        field = shape.field(key) if shape else PLAIN
        merged = _merge_value(before.get(key), value, field, _below(path, key))
        if merged is _GONE:
            result.pop(key, None)
        else:
            result[key] = merged
    for key in patch:
        if key.startswith((ORDER_PREFIX, DELETE_PREFIX)):
            _apply_list_directive(key, result, before, patch, shape, path)
    return result


def _merge_value(original: Any, patch: Any, field: Field, path: str) -> Any:
    if patch is None:
        return _GONE
    if isinstance(patch, dict):
        return _merge_map(original, patch, field.shape, path)
    if isinstance(patch, list):
        return _merge_list(original, patch, field, path)
    return patch


def _retained(original: dict[str, Any], patch: dict[str, Any], path: str) -> dict[str, Any]:
    keys = patch[RETAIN_KEYS]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        _refuse(path, "invalid patch format of retainKeys")
    kept = set(keys)
    if any(value is not None and not key.startswith("$") and key not in kept for key, value in patch.items()):
        _refuse(path, "invalid patch format of retainKeys: the patch sets what is not among them")
    return {key: value for key, value in original.items() if key in kept}


# --- lists ----------------------------------------------------------------------------------------


def _merge_list(original: Any, patch: list[Any], field: Field, path: str) -> list[Any]:
    if not field.merges or not isinstance(original, list):
        return _as_it_stands(patch, field, path)
    if field.merge_key:
        return _merge_by_key(original, patch, field, path)
    old, new = _scalars(original, path), _scalars(patch, path)
    return ordered({key: [key[1]] for key in [*old, *new]}, wanted=new, before=old)


def _as_it_stands(patch: list[Any], field: Field, path: str) -> list[Any]:
    """A list that becomes part of the document: nulls and directives in its elements are carried out."""
    elements = (_merge_map(None, each, field.shape, path) if isinstance(each, dict) else each for each in patch)
    markers = [isinstance(each, dict) and PATCH in each and field.merges for each in patch]
    return [each for each, marker in zip(elements, markers, strict=True) if each is not _GONE and not marker]


def _scalars(values: list[Any], path: str) -> list[Identity]:
    if any(isinstance(each, dict | list) for each in values):
        _refuse(path, "cannot merge lists of objects or of lists without merge key")
    return [identity(each) for each in values]


def _merge_by_key(original: list[Any], patch: list[Any], field: Field, path: str) -> list[Any]:
    """Elements with the same key are merged, others added; the patch's order wins among those it names."""
    directives = [_directive(each, path) for each in patch]
    additions = [each for each, directive in zip(patch, directives, strict=True) if directive is None]
    if "replace" in directives:
        return _as_it_stands(additions, field, path)
    deleted = {_key_of(each, field, path) for each in patch if PATCH in each}
    groups: dict[Identity, list[Any]] = {}
    for each in original:  # of elements with the same key only the first is merged
        groups.setdefault(_key_of(each, field, path), []).append(each)
    groups = {key: elements for key, elements in groups.items() if key not in deleted}
    before, wanted = list(groups), [_key_of(each, field, path) for each in additions]
    for key, each in zip(wanted, additions, strict=True):
        group = groups.setdefault(key, [])
        group[:1] = [_merge_map(group[0] if group else None, each, field.shape, path)]
    return ordered(groups, wanted=wanted, before=before)


def _directive(element: Any, path: str) -> str | None:
    """What the patch does with an element: delete, replace (the whole list), or None: merge it."""
    directive = _object(element, path).get(PATCH)
    if directive is None and PATCH not in element:
        return None
    if directive not in ("delete", "replace"):
        _refuse(path, f"unknown patch type in a list: {_shown(directive)}")
    return str(directive)


def _object(element: Any, path: str) -> dict[str, Any]:
    if not isinstance(element, dict):
        _refuse(path, "list element types are not identical: expected objects")
    return element


def _key_of(element: Any, field: Field, path: str) -> Identity:
    """What names an element in its list: the value of the merge key, or a scalar itself."""
    if not field.merge_key:
        return _scalars([element], path)[0]
    value = _object(element, path).get(field.merge_key)
    if value is None or isinstance(value, dict | list):
        _refuse(path, f"an element does not contain declared merge key: {field.merge_key}")
    return identity(value)


# --- directives about lists -----------------------------------------------------------------------


def _check_directive(key: str, value: Any, path: str) -> None:
    if key in (PATCH, RETAIN_KEYS):
        return
    if not key.startswith((ORDER_PREFIX, DELETE_PREFIX)):
        _refuse(path, f"unknown directive: {_shown(key)}")
    if not isinstance(value, list):
        _refuse(path, f"invalid patch format of {key.partition('/')[0]}: expected a list")


def _apply_list_directive(
    key: str,
    result: dict[str, Any],
    before: dict[str, Any],
    patch: dict[str, Any],
    shape: Shape | None,
    path: str,
) -> None:
    name = key.partition("/")[2]
    field, current, at = shape.field(name) if shape else PLAIN, result.get(name), _below(path, name)
    if not isinstance(current, list):
        return
    if key.startswith(DELETE_PREFIX):
        gone = set(_scalars(patch[key], at))
        result[name] = [each for each in current if isinstance(each, dict | list) or identity(each) not in gone]
    elif field.merges:
        wanted = [_key_of(each, field, at) for each in patch[key]]
        _check_order(patch.get(name), wanted, field, at)
        result[name] = _reordered(current, wanted, before.get(name), field, at)


def _reordered(current: list[Any], wanted: list[Identity], before: Any, field: Field, path: str) -> list[Any]:
    groups: dict[Identity, list[Any]] = {}
    for each in current:
        groups.setdefault(_key_of(each, field, path), []).append(each)
    old = [_key_of(each, field, path) for each in before] if isinstance(before, list) else []
    return ordered(groups, wanted=wanted, before=old)


def _check_order(patch: Any, wanted: list[Identity], field: Field, path: str) -> None:
    """The elements of the patch's list must be among those that are ordered, in the same order."""
    if not isinstance(patch, list) or not wanted:
        return
    present = [each for each in patch if not (isinstance(each, dict) and PATCH in each)]
    rest = iter(wanted)
    if not all(_key_of(each, field, path) in rest for each in present):  # `in` goes on where it found the last one
        _refuse(path, f"the order in the patch list doesn't match {ORDER_PREFIX.rstrip('/')}")


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:100]
