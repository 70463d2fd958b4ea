"""patch: the object as JSON values, changed by the patch, and from there on an update.

The patch is applied to what the request's version shows. When another write comes in between, it is applied anew to
what is there then, unless it names a resourceVersion.
"""

from __future__ import annotations

from typing import Any

import msgspec

from apiserver.api.errors import BadRequest, UnsupportedMediaType
from apiserver.decode import check_shape, convert_object, media_type, read_values
from apiserver.patch.json_patch import apply_json_patch
from apiserver.patch.merge_patch import apply_merge_patch
from apiserver.patch.strategic import apply_strategic
from apiserver.storage import Stored, decode
from apiserver.verbs.answer import ObjectAnswer
from apiserver.verbs.call import Call
from apiserver.verbs.writing import Build, Change, Writer

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)


def patch_kind(content_type: str) -> str:
    """Raises UnsupportedMediaType."""
    kind = media_type(content_type)
    if kind in PATCHES:
        return kind
    if kind.startswith("application/apply-patch"):
        raise UnsupportedMediaType(
            "server-side apply is not supported: use client-side apply (kubectl apply --server-side=false) "
            "or another kind of patch"
        )
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(PATCHES)}"
    )


def read_patch(call: Call) -> tuple[str, Any]:
    """Its kind and its values. Raises BadRequest, UnsupportedMediaType."""
    kind = patch_kind(call.content_type)
    return kind, read_values(call.body, "application/json")


def patched(kind: str, document: dict[str, Any], patch: Any, type_: type) -> Any:
    """The document after the patch; the document itself stays. Raises BadRequest, Invalid."""
    result = _applied(kind, document, patch, type_)
    check_shape(result)  # a short patch can make a document large
    return result


def _applied(kind: str, document: dict[str, Any], patch: Any, type_: type) -> Any:
    if kind == JSON_PATCH:
        return apply_json_patch(document, patch)
    if not isinstance(patch, dict):
        raise BadRequest("the patch must be an object")
    if kind == MERGE_PATCH:
        return apply_merge_patch(document, patch)
    return apply_strategic(document, patch, type_)


async def patch_object(writer: Writer, call: Call) -> ObjectAnswer:
    """PATCH of an object or its status."""
    call.check_options()
    return await writer.change(call, patch_of(writer, call))


def patch_of(writer: Writer, call: Call) -> Build:
    """What a PATCH makes of the object that is there. Raises BadRequest, UnsupportedMediaType."""
    kind, patch = read_patch(call)
    resource = call.resource

    def build(old: Any, stored: Stored) -> Change:
        shown = old if resource.conversion is None else resource.conversion.from_stored(old)
        document = msgspec.to_builtins(shown)
        decoded = convert_object(
            patched(kind, document, patch, resource.type), resource.type, strictness=call.strictness
        )
        for text in decoded.warnings:
            call.warn(text)
        obj = decoded.obj
        writer.check_kind(obj, resource)
        if obj.metadata.name != call.name:
            raise BadRequest("the name of the object may not be changed by a patch")
        writer.check_place(call, obj.metadata)
        conditional = _names_version(kind, patch)
        if resource.conversion is not None:
            obj = resource.conversion.to_stored(obj, decode(call.stored, stored))
        return Change(obj, conditional)

    return build


def _names_version(kind: str, patch: Any) -> bool:
    """Whether the patch says which version it is for."""
    if kind == JSON_PATCH:
        return any(isinstance(step, dict) and step.get("path") == "/metadata/resourceVersion" for step in patch)
    metadata = patch.get("metadata")
    return isinstance(metadata, dict) and metadata.get("resourceVersion") is not None
