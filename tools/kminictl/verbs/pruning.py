"""`apply --prune`: delete what carries the annotation of an apply, fits the selector, and is in no file any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cluster.discovery import Catalogue, Resource
from ..failures import CommandError
from ..merging import last_applied
from .deleting import delete_options

if TYPE_CHECKING:
    from ..cluster.session import Session
    from .applying import Wanted
    from .writing import Results

#: What is pruned when nothing is named, as far as the server has it.
_DEFAULT = (
    "core/v1/ConfigMap",
    "core/v1/Endpoints",
    "core/v1/Namespace",
    "core/v1/PersistentVolumeClaim",
    "core/v1/PersistentVolume",
    "core/v1/Pod",
    "core/v1/Secret",
    "core/v1/Service",
    "apps/v1/Deployment",
)


async def prune(session: Session, wanted: Wanted, seen: set[str], namespaces: set[str], results: Results) -> None:
    catalogue = await session.catalogue()
    for resource in _resources(catalogue, wanted.prune_allowlist):
        for namespace in sorted(namespaces) if resource.namespaced else [None]:
            await _prune(session, wanted, resource, namespace, seen, results)


def _resources(catalogue: Catalogue, named: tuple[str, ...]) -> list[Resource]:
    found = []
    for name in named or _DEFAULT:
        parts = name.split("/")
        if len(parts) != 3:
            raise CommandError(f"invalid GroupVersionKind format: {name}, please follow <group/version/kind>")
        group, version, kind = parts
        resource = catalogue.of_object(version if group == "core" else f"{group}/{version}", kind)
        if resource is not None:
            found.append(resource)
        elif named:
            raise CommandError(f"the server has no {name} to prune")
    return sorted(found, key=lambda resource: not resource.namespaced)


async def _prune(
    session: Session, wanted: Wanted, resource: Resource, namespace: str | None, seen: set[str], results: Results
) -> None:
    for obj in await session.api.list_(resource.kind, namespace, labels=wanted.labels):
        metadata = obj["metadata"]
        annotations = metadata.get("annotations") or {}
        if last_applied.ANNOTATION not in annotations or metadata.get("uid") in seen:
            continue
        if not wanted.dry_run.client:
            options = delete_options("background", wanted.grace_period, dry_run=wanted.dry_run.server)
            await session.api.delete(resource.kind, namespace, metadata["name"], options)
        results.done(obj, "pruned")
