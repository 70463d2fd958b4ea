"""`kminictl scale`: how many replicas there are to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session


@click.command("scale", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@take.selector
@take.everything
@take.dry_run
@click.option("--replicas", type=int, default=None, help="How many.")
@click.option("--current-replicas", default=-1, help="Only when there are so many now.")
@click.option("--resource-version", default="", help="Only when the object is still at this version.")
@click.option("--timeout", default="0s", help="Wait so long until there are so many.")
@verb
async def scale(session: Session, words: tuple[str, ...], replicas: int | None, **given: Any) -> None:
    """Set how many replicas there are to be: scale TYPE NAME --replicas=COUNT."""
    from apiserver.api.errors import ApiError

    from ..cluster.selecting import Selection, objects
    from .writing import Results

    if replicas is None:
        raise CommandError('required flag(s) "replicas" not set')
    if replicas < 0:
        raise CommandError("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    results = Results(given["output"], take.DryRun(given["dry_run"]))
    selection = Selection(
        words=words,
        files=take.split_files(given["filenames"]),
        recursive=given["recursive"],
        labels=given["labels"],
        everything=given["everything"],
    )
    found, results.errors = await objects(session, selection, verb="scale")
    for each in found:
        try:
            await _scale(session, each, replicas, given)
            results.done(each.object, "scaled")
        except (ApiError, CommandError) as error:
            results.errors.append(error)
    if not found and not results.errors:
        raise CommandError("no objects passed to scale")
    results.end()


async def _scale(session: Session, found: Found, replicas: int, given: dict[str, Any]) -> None:
    from .writing import write_options

    kind = found.resource.kind
    if "scale" not in found.resource.subresources:
        raise CommandError(f"{found} cannot be scaled: {found.resource.qualified} have no scale")
    dry_run = take.DryRun(given["dry_run"])
    metadata: dict[str, Any] = {}
    if given["current_replicas"] >= 0 or given["resource_version"]:
        now = await session.api.get(kind, found.name, found.namespace, subresource="scale")
        _check(now, given)
        metadata["resourceVersion"] = now["metadata"]["resourceVersion"]  # it must not change in between
    patch: dict[str, Any] = {"spec": {"replicas": replicas}} | ({"metadata": metadata} if metadata else {})
    if not dry_run.client:
        options = write_options(dry_run, "kubectl-scale")
        await session.api.patch(kind, found.namespace, found.name, patch, options=options, subresource="scale")
    limit = given["timeout"]
    if limit not in ("0", "0s") and not dry_run:
        from ..output.ages import duration_s
        from .waiting import until

        def reached(obj: dict[str, Any]) -> bool:
            status = obj.get("status") or {}
            return bool(
                (status.get("replicas") or 0) == replicas
                and (status.get("observedGeneration") or 0) >= obj["metadata"].get("generation", 0)
            )

        if not await until(session, found, reached, timeout_s=duration_s(limit)):
            raise CommandError(f"timed out waiting for {found} to be scaled")


def _check(now: dict[str, Any], given: dict[str, Any]) -> None:
    wanted, there = given["current_replicas"], (now.get("spec") or {}).get("replicas") or 0
    if wanted >= 0 and wanted != there:
        raise CommandError(f"Expected replicas to be {wanted}, was {there}")
    version = now["metadata"]["resourceVersion"]
    if given["resource_version"] and given["resource_version"] != version:
        raise CommandError(f"Expected resource version to be {given['resource_version']}, was {version}")
