"""`kminictl apply`: make objects what files say, and leave alone what others set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, loose, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session


@click.group("apply", cls=Verbs, invoke_without_command=True)
@take.files
@take.output
@take.selector
@take.dry_run
@take.everything
@loose("--validate", bare="strict", default="strict", help="strict, warn or ignore fields nobody knows.")
@switch("--force", help="Delete and create anew what cannot be changed.")
@switch("--overwrite", default=True, hidden=True)
@switch("--prune", help="Delete what was applied once and is in no file any more.")
@click.option("--prune-allowlist", multiple=True, help="Kinds to prune: group/version/kind.")
@switch("--server-side", help="Let the server merge.")
@switch("--force-conflicts", hidden=True)
@click.option("--field-manager", default="kubectl-client-side-apply", hidden=True)
@click.option("--grace-period", default=-1, help="Seconds given to what --force and --prune delete.")
@switch("--wait", help="Wait until what is deleted is gone.")
@click.option("--timeout", default="0s", hidden=True)
@click.option("--cascade", default="background", hidden=True)
def apply(**given: Any) -> None:
    """Make objects what files say."""
    if click.get_current_context().invoked_subcommand is None:
        _apply(**given)


@verb
async def _apply(session: Session, filenames: tuple[str, ...], **given: Any) -> None:
    from .applying import Applying, Wanted

    if not filenames:
        raise CommandError("must specify one of -f and -k")
    for unused in ("overwrite", "force_conflicts", "timeout", "cascade", "wait"):
        given.pop(unused)
    dry_run = take.DryRun(given.pop("dry_run"))
    await Applying(session, Wanted(filenames=take.split_files(filenames), dry_run=dry_run, **given)).run()


@apply.command("view-last-applied")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.everything
@click.option("-o", "--output", default="yaml", help="yaml or json.")
@verb
async def view_last_applied(session: Session, words: tuple[str, ...], filenames: tuple[str, ...], **given: Any) -> None:
    """Show what was applied last."""
    from ..cluster.selecting import Selection, objects
    from ..failures import Several
    from ..merging import last_applied
    from ..output import printers

    output = given.pop("output")
    if output not in ("yaml", "json"):
        raise CommandError(f"Unexpected -o output mode: {output}, the flag 'output' must be one of yaml|json")
    selection = Selection(words=words, files=take.split_files(filenames), **given)
    found, errors = await objects(session, selection, verb="apply view-last-applied")
    printer = printers.printer_of(output)
    for each in found:
        applied = last_applied.of(each.object)
        if applied is None:
            errors.append(CommandError(f"no last-applied-configuration annotation found on resource: {each.name}"))
        else:
            click.echo(printer.printed(applied), nl=False)
    if errors:
        raise Several(errors)


@apply.command("set-last-applied")
@take.files
@take.output
@take.dry_run
@switch("--create-annotation", help="Also on objects that were not applied.")
@verb
async def set_last_applied(
    session: Session, filenames: tuple[str, ...], recursive: bool, output: str, dry_run: str, create_annotation: bool
) -> None:
    """Write down files as what was applied last, without applying them."""
    from ..cluster.selecting import Selection, objects
    from ..merging import last_applied
    from .writing import Results, write_options

    dry = take.DryRun(dry_run)
    results = Results(output, dry)
    selection = Selection(files=take.split_files(filenames), recursive=recursive)
    found, results.errors = await objects(session, selection, verb="apply set-last-applied")
    for each in found:
        if last_applied.of(each.object) is None and not create_annotation:
            results.errors.append(
                CommandError(
                    f"no last-applied-configuration annotation found on resource: {each.name}, to create the "
                    "annotation, run the command with --create-annotation"
                )
            )
            continue
        assert each.manifest is not None
        local = each.manifest.object
        if each.resource.namespaced:
            local = {**local, "metadata": {**local["metadata"], "namespace": each.namespace}}
        annotation = last_applied.annotated(local)["metadata"]["annotations"][last_applied.ANNOTATION]
        patch = {"metadata": {"annotations": {last_applied.ANNOTATION: annotation}}}
        options = write_options(dry, "kubectl")
        changed = each.object
        if not dry.client:
            changed = await session.api.patch(each.resource.kind, each.namespace, each.name, patch, options=options)
        results.done(changed, "configured")
    results.end()
