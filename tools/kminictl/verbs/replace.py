"""`kminictl replace`: objects become what files say, as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, loose, switch, verb
from ..failures import CommandError, about
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Target
    from ..cluster.session import Session
    from .writing import Results


@click.command("replace", cls=Verb)
@take.files
@take.output
@take.dry_run
@loose("--validate", bare="strict", default="strict", help="strict, warn or ignore fields nobody knows.")
@switch("--force", help="Delete and create anew.")
@switch("--save-config", help="Keep the file in the annotation of apply.")
@click.option("--grace-period", default=-1)
@click.option("--timeout", default="0s")
@loose("--cascade", bare="background", default="background")
@click.option("--subresource", default="", help="status or scale.")
@click.option("--field-manager", default="kubectl-replace", hidden=True)
@click.option("--raw", default="", help="A path of the server to send PUT to.")
@verb
async def replace(session: Session, filenames: tuple[str, ...], **given: Any) -> None:
    """Replace objects by what files say."""
    from apiserver.api.errors import ApiError

    from ..cluster import manifests, selecting
    from .writing import Results

    if not filenames:
        raise CommandError("must specify one of -f and -k")
    read = manifests.read(take.split_files(filenames), recursive=given["recursive"])
    results = Results(given["output"], take.DryRun(given["dry_run"]))
    found = selecting.file_targets(session, await session.catalogue(), read)
    if given["force"]:
        await _delete_all(session, found, given)
    for target in found:
        try:
            await _replace(session, target, given, results)
        except ApiError as error:
            results.errors.append(about(error, f'error when replacing "{target.source}"'))
    results.end()


async def _replace(session: Session, target: Target, given: dict[str, Any], results: Results) -> None:
    from ..merging import last_applied
    from .applying import with_namespace
    from .writing import write_options

    dry_run = take.DryRun(given["dry_run"])
    options = write_options(dry_run, given["field_manager"], given["validate"])
    obj, kind = with_namespace(target), target.resource.kind
    annotated = last_applied.ANNOTATION in (target.manifest_annotations())
    if given["save_config"] or annotated:
        obj = last_applied.annotated(obj)
    if dry_run.client:
        results.done(obj, "replaced")
        return
    if given["force"]:
        done = await session.api.create(kind, target.namespace, obj, options)
    else:
        done = await session.api.replace(
            kind, target.namespace, target.name, obj, options, subresource=given["subresource"]
        )
    results.done(done, "replaced")


async def _delete_all(session: Session, found: list[Target], given: dict[str, Any]) -> None:
    """What is there of it, waited for."""
    from apiserver.api.errors import NotFound

    from ..output.ages import duration_s
    from .deleting import delete_options, wait_gone

    gone = []
    for target in found:
        options = delete_options(given["cascade"], given["grace_period"])
        try:
            answer = await session.api.delete(target.resource.kind, target.namespace, target.name, options)
        except NotFound:
            continue
        where = f" from {target.namespace} namespace" if target.namespace else ""
        session.say(f'{target.resource.type_name} "{target.name}" deleted{where}')
        gone.append((target, answer))
    for target, answer in gone:
        limit_s = duration_s(given["timeout"])
        try:
            await wait_gone(session, target.resource, target.namespace, target.name, answer, timeout_s=limit_s)
        except TimeoutError:
            raise CommandError(f"timed out waiting for the condition on {target}") from None
