"""OpenAPI v3: one document per group and version."""

from __future__ import annotations

from typing import Any

from .operations import Body, Operation
from .parameters import Parameter
from .schemas import Definitions, Schema


def _schema(body: Body, definitions: Definitions) -> Schema:
    if body.type is None:
        return {"type": "string"}
    return definitions.list_of(body.type) if body.is_list else definitions.ref_to(body.type)


def _parameter(parameter: Parameter) -> dict[str, Any]:
    shown = {"name": parameter.name, "in": parameter.where, "description": parameter.description}
    required = {"required": True} if parameter.where == "path" else {}
    return {**shown, **required, "schema": {"uniqueItems": True, **parameter.schema}}


def _content(bodies: tuple[Body, ...], definitions: Definitions) -> dict[str, Any]:
    if bodies[0].type is None:
        return {"*/*": {"schema": {"type": "string"}}}
    schemas = [_schema(each, definitions) for each in bodies]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {media: {"schema": schema} for media in ("application/json", "application/yaml")}


def _request(operation: Operation, definitions: Definitions) -> dict[str, Any]:
    if operation.request is None:
        return {}
    schema = definitions.patch() if operation.is_patch else _schema(operation.request, definitions)
    content = {media: {"schema": schema} for media in operation.request_types}
    required = {} if operation.method == "delete" else {"required": True}
    return {"requestBody": {"content": content, **required}}


def _operation(operation: Operation, definitions: Definitions) -> dict[str, Any]:
    from apiserver.api.meta import Status

    content = _content(operation.responses, definitions)
    responses: dict[str, Any] = {code: {"description": "Done.", "content": content} for code in operation.codes}
    responses["default"] = {"description": "Failed.", "content": _content((Body(Status),), definitions)}
    return {
        "tags": [operation.tag],
        "description": operation.description,
        "operationId": operation.id,
        "parameters": [_parameter(each) for each in operation.parameters],
        **_request(operation, definitions),
        "responses": responses,
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": operation.kind.shown(),
    }


def document(operations: list[Operation], definitions: Definitions, *, title: str, version: str) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _operation(each, definitions)
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(definitions.made.items()))},
    }
