"""The annotation in which `apply` keeps what was applied last: kubectl's own, so that both can apply one object."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from ..output import gojson

JsonObject = dict[str, Any]
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def annotated(obj: JsonObject) -> JsonObject:
    """The object with itself in the annotation: what `apply` sends, and compares."""
    made = copy.deepcopy(obj)
    metadata = made.setdefault("metadata", {})
    annotations = metadata["annotations"] = dict(metadata.get("annotations") or {})
    annotations.pop(ANNOTATION, None)
    annotations[ANNOTATION] = gojson.compact(made) + "\n"
    return made


def of(obj: JsonObject) -> JsonObject | None:
    """What was applied last; None when the object was not applied. Raises ValueError for what is no object."""
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION)
    if not text:
        return None
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"the annotation {ANNOTATION} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"the annotation {ANNOTATION} holds no object")
    return found
