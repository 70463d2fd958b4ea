"""The server's schemas (OpenAPI v3): what `explain` tells, and how the lists of a kind are merged.

One group version is fetched at a time. A schema is followed lazily, through `$ref` and `allOf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apiserver.client import requests

if TYPE_CHECKING:
    from apiserver.api.kinds import Kind

    from .api import Api

_REFERENCE = "#/components/schemas/"
_KINDS = "x-kubernetes-group-version-kind"


class Schema:
    """Part of a document. `node` is what says something of this place; `target` what is referred to from there."""

    def __init__(self, document: dict[str, Any], node: dict[str, Any]) -> None:
        self._schemas = document
        self.node = node
        self.reference = _reference(node)
        self.target: dict[str, Any] = document.get(self.reference, {}) if self.reference else node

    @property
    def description(self) -> str:
        return str(self.node.get("description") or "")

    @property
    def own_description(self) -> str:
        """Of the type itself, wherever it is used."""
        return str(self.target.get("description") or "")

    @property
    def properties(self) -> dict[str, Schema]:
        found = self.target.get("properties") or {}
        return {name: Schema(self._schemas, found[name]) for name in sorted(found)}

    @property
    def required(self) -> list[str]:
        return list(self.target.get("required") or [])

    def field(self, name: str) -> Schema | None:
        """A field; of a map, whatever its key, the schema of its values."""
        found = (self.target.get("properties") or {}).get(name)
        if found is not None:
            return Schema(self._schemas, found)
        return self.values

    @property
    def items(self) -> Schema | None:
        found = self.target.get("items")
        return Schema(self._schemas, found) if isinstance(found, dict) else None

    @property
    def values(self) -> Schema | None:
        """Of a map, what its values are."""
        found = self.target.get("additionalProperties")
        return Schema(self._schemas, found) if isinstance(found, dict) else None

    # --- how it is merged -----------------------------------------------------------------------------

    @property
    def strategies(self) -> list[str]:
        found = self.node.get("x-kubernetes-patch-strategy") or self.target.get("x-kubernetes-patch-strategy") or ""
        return [each for each in str(found).split(",") if each]

    @property
    def merge_key(self) -> str:
        return str(self.node.get("x-kubernetes-patch-merge-key") or "")


def _reference(node: dict[str, Any]) -> str:
    found = node.get("$ref")
    if found is None:
        found = next((each["$ref"] for each in node.get("allOf") or [] if "$ref" in each), "")
    return str(found).removeprefix(_REFERENCE)


async def document_of(api: Api, group: str, version: str) -> dict[str, Any]:
    """The schemas of a group version by name; empty when the server has none."""
    index = await api.json(requests.get("/openapi/v3"))
    entry = (index.get("paths") or {}).get(f"apis/{group}/{version}" if group else f"api/{version}")
    if not entry:
        return {}
    place, _, query = str(entry["serverRelativeURL"]).partition("?")
    request = requests.Request(
        method="GET",
        path=place,
        query=tuple((name, value) for name, _, value in (each.partition("=") for each in query.split("&") if each)),
        headers=(("Accept", requests.JSON),),
    )
    found = (await api.json(request)).get("components") or {}
    return dict(found.get("schemas") or {})


async def schema_of(api: Api, kind: Kind) -> Schema | None:
    document = await document_of(api, kind.group, kind.version)
    wanted = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    for name, node in document.items():
        if wanted in (node.get(_KINDS) or []):
            return Schema(document, {"$ref": f"{_REFERENCE}{name}"})
    return None
