"""Paths to resources: what Kubernetes' addresses mean.

`/api/v1/namespaces/{namespace}/{resource}/{name}/{subresource}` and its shorter forms, `/apis/{group}/{version}/...`
alike. Each segment is unquoted by itself: an encoded slash stays within its segment, where no name may hold one.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from apiserver.api.errors import BadRequest
from apiserver.api.names import is_path_segment_name
from apiserver.decode import read_values
from apiserver.registry.resource import Resource
from apiserver.registry.table import Table

PATH_CHARACTERS_MAX = 4096
SEGMENTS_MAX = 64
NAME_CHARACTERS_SHOWN = 256
QUERY_CHARACTERS_MAX = 32 * 1024
PARAMETERS_MAX = 256
#: Subresources that take the rest of the path for themselves.
PROXY = "proxy"


class Target(NamedTuple):
    """What a path is about. `rest` is what follows a proxy subresource, with its leading slash."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def segments_of(path: str) -> list[str]:
    """The unquoted segments of a path. Raises BadRequest for one that no address of ours can be."""
    if len(path) > PATH_CHARACTERS_MAX:
        raise BadRequest(f"the path is longer than {PATH_CHARACTERS_MAX} characters")
    if not path.startswith("/"):
        raise BadRequest("the path must begin with /")
    segments = path[1:].removesuffix("/").split("/")
    if len(segments) > SEGMENTS_MAX:
        raise BadRequest(f"the path has more than {SEGMENTS_MAX} segments")
    if "%" in path:
        try:
            segments = [unquote(segment, errors="strict") for segment in segments]
        except UnicodeDecodeError:
            raise BadRequest("the path is not valid UTF-8") from None
    if not path.isprintable() or any(not segment.isprintable() for segment in segments):
        raise BadRequest("the path holds characters that no address has")
    return segments


def parse_target(table: Table, segments: list[str]) -> Target | None:
    """What segments mean; None when there is no such resource. Raises BadRequest."""
    if segments[0] == "api" and len(segments) > 2:
        group, version, rest = "", segments[1], segments[2:]
    elif segments[0] == "apis" and len(segments) > 3:
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    if any(segment in ("", ".", "..") for segment in rest) and PROXY not in rest:
        raise BadRequest("the path holds an empty segment, . or ..")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = table.find(group, version, rest[0])
    if resource is None or bool(namespace) > resource.namespaced:
        return None
    name = rest[1] if len(rest) > 1 else ""
    _check_segment("Namespace", namespace)
    _check_segment("Name", name)
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource == PROXY:
        return Target(resource, namespace, name, PROXY, "/" + "/".join(rest[3:]))
    if len(rest) > 3 or (name and resource.namespaced and not namespace):
        return None
    return Target(resource, namespace, name, subresource)


def in_namespace_of(body: bytes, content_type: str, target: Target) -> Target:
    """The target, in the namespace that the object of the body names; `default` when it names none.

    Raises BadRequest for a body that does not parse.
    """
    if not target.resource.namespaced:
        return target
    values = read_values(body, content_type)
    metadata = values.get("metadata") if isinstance(values, dict) else None
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return target._replace(namespace=namespace if namespace and isinstance(namespace, str) else "default")


def _check_segment(what: str, text: str) -> None:
    """No name of an object has a slash; one that came encoded must not end up in a key. Raises BadRequest."""
    rules = is_path_segment_name(text)
    if rules:
        raise BadRequest(f'{what} parameter invalid: "{text[:NAME_CHARACTERS_SHOWN]}": {"; ".join(rules)}')


def parse_query(query: str) -> dict[str, str]:
    """The first value of each parameter. Raises BadRequest."""
    if not query:
        return {}
    if len(query) > QUERY_CHARACTERS_MAX:
        raise BadRequest(f"the query is longer than {QUERY_CHARACTERS_MAX} characters")
    pieces = query.split("&")
    if len(pieces) > PARAMETERS_MAX:
        raise BadRequest(f"the query has more than {PARAMETERS_MAX} parameters")
    values: dict[str, str] = {}
    try:
        for piece in pieces:
            name, _, value = piece.partition("=")
            if name:
                values.setdefault(
                    unquote(name.replace("+", " "), errors="strict"), unquote(value.replace("+", " "), errors="strict")
                )
    except UnicodeDecodeError:
        raise BadRequest("the query is not valid UTF-8") from None
    return values
