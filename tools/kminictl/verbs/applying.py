"""The work of `apply`: create what is not there, and patch the rest by what was applied last, what is, and the file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from apiserver.api.errors import ApiError, BadRequest, Conflict, Invalid, NotFound
from apiserver.client.requests import Patch, encode_body

from ..cluster import manifests, selecting
from ..cluster.openapi import Schema, schema_of
from ..cluster.selecting import Target
from ..failures import CommandError, about
from ..merging import json_merge, last_applied, strategic
from ..output import gojson
from .options import DryRun
from .writing import Results, write_options

if TYPE_CHECKING:
    from apiserver.api.kinds import Kind

    from ..cluster.session import Session

CONFLICTS_MAX = 5
CONFLICT_WAIT_S = 1.0
_GONE_TRIES, _GONE_WAIT_S = 120, 0.5


class Wanted(msgspec.Struct, kw_only=True):
    """The options of `apply`."""

    filenames: tuple[str, ...]
    dry_run: DryRun
    recursive: bool = False
    output: str = ""
    labels: str = ""
    everything: bool = False
    validate: str = "strict"
    force: bool = False
    prune: bool = False
    prune_allowlist: tuple[str, ...] = ()
    server_side: bool = False
    field_manager: str = ""
    grace_period: int = -1


class Patcher:
    """Makes the patch from an object that is there to one that is wanted; asks for each kind's schema once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._schemas: dict[Kind, Schema | None] = {}

    async def schema(self, kind: Kind) -> Schema | None:
        if kind not in self._schemas:
            self._schemas[kind] = await schema_of(self._session.api, kind)
        return self._schemas[kind]

    async def patch(self, kind: Kind, current: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], Patch]:
        """`wanted` carries the annotation already."""
        original = last_applied.of(current) or {}
        schema = await self.schema(kind)
        if schema is None:
            return json_merge.three_way(original, wanted, current), Patch.MERGE
        return strategic.three_way(original, wanted, current, schema), Patch.STRATEGIC

    async def two_way(self, kind: Kind, before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], Patch]:
        schema = await self.schema(kind)
        if schema is None:
            return json_merge.two_way(before, after), Patch.MERGE
        return strategic.two_way(before, after, schema), Patch.STRATEGIC


class Applying:
    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session = session
        self._wanted = wanted
        self._patcher = Patcher(session)
        self._results = Results(wanted.output, wanted.dry_run, together=True)
        self._seen: set[str] = set()
        self._namespaces: set[str] = set()

    async def run(self) -> None:
        wanted = self._wanted
        if wanted.prune and not wanted.labels and not wanted.everything:
            raise CommandError(
                "all resources selected for prune without explicitly passing --all. To prune all resources, pass the "
                "--all flag. If you did not mean to prune all resources, specify a label selector"
            )
        catalogue = await self._session.catalogue()
        found = manifests.read(wanted.filenames, recursive=wanted.recursive)
        for manifest in found:
            if wanted.labels and not is_selected(manifest.metadata.get("labels") or {}, wanted.labels):
                continue
            try:
                target = selecting.file_target(self._session, catalogue, manifest)
                await self._apply(target)
            except (ApiError, CommandError, ValueError) as error:
                self._results.errors.append(error)
        if not self._results.count and not self._results.errors:
            raise CommandError("no objects passed to apply")
        if wanted.prune and not self._results.errors:
            from .pruning import prune

            await prune(self._session, wanted, self._seen, self._namespaces, self._results)
        self._results.end()

    async def _apply(self, target: Target) -> None:
        wanted = self._wanted
        assert target.manifest is not None
        local = with_namespace(target)
        if not target.name:
            if (local.get("metadata") or {}).get("generateName"):
                raise CommandError(f"from {local['metadata']['generateName']}: cannot use generate name with apply")
            raise CommandError(
                f'error when retrieving current configuration of:\nResource: "{target.resource.kind.plural}"\n'
                "resource name may not be empty"
            )
        if wanted.server_side:
            await self._on_server(target, local)
            return
        modified = last_applied.annotated(local)
        try:
            current = await self._session.api.get(target.resource.kind, target.name, target.namespace)
        except NotFound:
            obj, operation = await self._create(target, modified), "created"
        else:
            obj, operation = await self._patched(target, current, modified)
        self._seen.add(str(obj["metadata"].get("uid", "")))
        if target.namespace:
            self._namespaces.add(target.namespace)
        self._results.done(obj, operation)

    async def _create(self, target: Target, modified: dict[str, Any]) -> dict[str, Any]:
        wanted = self._wanted
        if wanted.dry_run.client:
            return modified
        options = write_options(wanted.dry_run, wanted.field_manager, wanted.validate)
        try:
            return await self._session.api.create(target.resource.kind, target.namespace, modified, options)
        except ApiError as error:
            raise about(error, f"error when creating {gojson.quote(target.source)}") from None

    async def _patched(
        self, target: Target, current: dict[str, Any], modified: dict[str, Any]
    ) -> tuple[dict[str, Any], str]:
        wanted, kind = self._wanted, target.resource.kind
        if last_applied.of(current) is None:
            self._session.warn(
                f"resource {kind.plural}/{target.name} is missing the {last_applied.ANNOTATION} annotation which is "
                "required by kminictl apply. kminictl apply should only be used on resources created declaratively "
                "by either kminictl create --save-config or kminictl apply. The missing annotation will be patched "
                "automatically."
            )
        for attempt in range(CONFLICTS_MAX + 1):
            patch, how = await self._patcher.patch(kind, current, modified)
            if not patch:
                return current, "unchanged"
            if wanted.dry_run.client:
                return modified, "configured"
            try:
                return await self._send(target, patch, how), "configured"
            except Conflict as error:
                if attempt == CONFLICTS_MAX or type(error) is not Conflict:
                    raise
                await asyncio.sleep(CONFLICT_WAIT_S)
            except Invalid:
                if not wanted.force:
                    raise
                return await self._anew(target, modified), "configured"
            current = await self._session.api.get(kind, target.name, target.namespace)
        raise AssertionError("the last round returns or raises")

    async def _send(self, target: Target, patch: dict[str, Any], how: Patch) -> dict[str, Any]:
        wanted, kind = self._wanted, target.resource.kind
        options = write_options(wanted.dry_run, wanted.field_manager, wanted.validate)
        body = gojson.compact(patch)
        try:
            return await self._session.api.patch(kind, target.namespace, target.name, body.encode(), how, options)
        except ApiError as error:
            told = (
                f"error when applying patch:\n{body}\nto:\n{_place(kind)}\n"
                f'Name: "{target.name}", Namespace: "{target.namespace or ""}"\n'
                f'for: "{target.source}": error when patching "{target.source}"'
            )
            raise about(error, told) from None

    async def _anew(self, target: Target, modified: dict[str, Any]) -> dict[str, Any]:
        """Deleted, waited for, and created: what --force does where a change is forbidden."""
        from .deleting import delete_options, wait_gone

        kind = target.resource.kind
        gone = await self._session.api.delete(
            kind, target.namespace, target.name, delete_options("background", self._wanted.grace_period)
        )
        await wait_gone(self._session, target.resource, target.namespace, target.name, gone, timeout_s=0)
        return await self._create(target, modified)

    async def _on_server(self, target: Target, local: dict[str, Any]) -> None:
        """Server-side apply: as far as the server has it."""
        from apiserver.client.requests import Request, path_of

        kind = target.resource.kind
        query = [("fieldManager", "kubectl"), ("fieldValidation", "Strict")]
        request = Request(
            method="PATCH",
            path=path_of(kind, target.namespace, target.name),
            query=tuple(query + [("dryRun", "All")] * self._wanted.dry_run.server),
            headers=(("Accept", "application/json"), ("Content-Type", "application/apply-patch+yaml")),
            body=encode_body(local),
        )
        try:
            obj = await self._session.api.json(request)
        except ApiError as error:
            if isinstance(error, BadRequest) or error.status_code == 415:
                raise CommandError(
                    f"Server-side apply not available on the server: ({error.message})", prefix=False
                ) from None
            raise
        self._results.done(obj, "serverside-applied")


def with_namespace(target: Target) -> dict[str, Any]:
    """The file's object, in the namespace it goes to."""
    assert target.manifest is not None
    local = target.manifest.object
    if target.namespace is None or target.manifest.namespace:
        return local
    return {**local, "metadata": {**target.manifest.metadata, "namespace": target.namespace}}


def _place(kind: Kind) -> str:
    where = f"{kind.group}/{kind.version}"
    return f'Resource: "{where}, Resource={kind.plural}", GroupVersionKind: "{where}, Kind={kind.kind}"'


def is_selected(labels: dict[str, str], selector: str) -> bool:
    from apiserver.api.selectors import parse_labels

    return parse_labels(selector).matches(labels)
