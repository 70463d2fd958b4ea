"""Requests that belong to the agent of a node: logs, exec, attach, port-forward, and its own pages."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from apiserver.admission.plugin import Lookup
from apiserver.api.errors import ServiceUnavailable
from apiserver.auth.user import User
from apiserver.http.paths import Target
from apiserver.verbs.reading import Reader


class NodeProxy:
    def __init__(self, reader: Reader, lookup: Lookup, pki_dir: Path) -> None:
        self._reader = reader
        self._lookup = lookup
        self._pki_dir = pki_dir

    async def __call__(self, request: web.BaseRequest, target: Target, user: User) -> web.StreamResponse:
        raise ServiceUnavailable(f"no agent can be reached for {target.resource.plural} {target.name!r}")
