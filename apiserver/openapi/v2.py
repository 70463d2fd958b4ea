"""OpenAPI v2 (swagger 2.0): one document of everything. kubectl reads it where it does not know v3 yet."""

from __future__ import annotations

from typing import Any

from .operations import JSON_TYPES, Body, Operation
from .parameters import Parameter
from .schemas import Definitions, Schema


def _schema(body: Body, definitions: Definitions) -> Schema:
    if body.type is None:
        return {"type": "string"}
    return definitions.list_of(body.type) if body.is_list else definitions.ref_to(body.type)


class _Writer:
    """Makes every parameter once, so that the protobuf form can encode it once too."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._parameters: dict[int, dict[str, Any]] = {}

    def parameter(self, parameter: Parameter) -> dict[str, Any]:
        made = self._parameters.get(id(parameter))
        if made is None:
            made = {
                "uniqueItems": True,
                **parameter.schema,
                "description": parameter.description,
                "name": parameter.name,
                "in": parameter.where,
            }
            if parameter.where == "path":
                made["required"] = True
            self._parameters[id(parameter)] = made
        return made

    def _body(self, operation: Operation) -> list[dict[str, Any]]:
        if operation.request is None:
            return []
        patch = operation.is_patch
        schema = self.definitions.patch() if patch else _schema(operation.request, self.definitions)
        required = {} if operation.method == "delete" else {"required": True}
        return [{"name": "body", "in": "body", **required, "schema": schema}]

    def operation(self, operation: Operation) -> dict[str, Any]:
        schema = _schema(operation.responses[0], self.definitions)
        is_text = operation.responses[0].type is None
        return {
            "description": operation.description,
            "consumes": list(operation.request_types) or ["*/*"],
            "produces": ["*/*"] if is_text else list(JSON_TYPES),
            "schemes": ["https"],
            "tags": [operation.tag],
            "operationId": operation.id,
            "parameters": [*self._body(operation), *(self.parameter(each) for each in operation.parameters)],
            "responses": {code: {"description": "Done.", "schema": schema} for code in operation.codes},
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": operation.kind.shown(),
        }


def document(operations: list[Operation], definitions: Definitions, *, title: str, version: str) -> dict[str, Any]:
    writer = _Writer(definitions)
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = writer.operation(each)
    return {
        "swagger": "2.0",
        "info": {"title": title, "version": version},
        "paths": dict(sorted(paths.items())),
        "definitions": dict(sorted(definitions.made.items())),
    }
