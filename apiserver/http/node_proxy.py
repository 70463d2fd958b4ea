"""Requests that belong to the agent of a node: logs, exec, attach, port-forward, and its own pages."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from apiserver.admission.plugin import Lookup
from apiserver.api.errors import BadRequest, ServiceUnavailable
from apiserver.auth.user import User
from apiserver.http.paths import Target
from apiserver.storage import decode
from apiserver.verbs.reading import Reader, not_found


class NodeProxy:
    def __init__(self, reader: Reader, lookup: Lookup, pki_dir: Path) -> None:
        self._reader = reader
        self._lookup = lookup
        self._pki_dir = pki_dir

    async def __call__(self, request: web.BaseRequest, target: Target, user: User) -> web.StreamResponse:
        """Raises NotFound, BadRequest for a pod that is on no node, ServiceUnavailable."""
        resource, where = target.resource, ""
        if resource.plural == "pods":
            stored = await self._reader.storage.read(resource, target.namespace, target.name)
            if stored is None:
                raise not_found(resource, target.name)
            node = decode(resource, stored).spec.node_name
            if not node:
                raise BadRequest(f"pod {target.name} does not have a host assigned")
            where = f" on node {node!r}"
        raise ServiceUnavailable(f"no agent can be reached for {resource.plural} {target.name!r}{where}")
