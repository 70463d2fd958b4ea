"""JSON merge patch (RFC 7386): what the patch names is set, what it sets to null goes, all else stays."""

from __future__ import annotations

from typing import Any

from apiserver.api.errors import BadRequest

from .values import check_depth


def apply_merge_patch(document: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The changed document. Neither argument is changed; the result may share parts with both.

    BadRequest when the patch is no object (it would replace the whole document by something else) or is too deep.
    """
    if not isinstance(patch, dict):
        raise BadRequest("a merge patch must be a JSON object")
    check_depth(patch, what="the patch")
    return _merged(document, patch)


def _merged(target: Any, patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merged(result.get(key), value)
        else:
            result[key] = value
    return result
