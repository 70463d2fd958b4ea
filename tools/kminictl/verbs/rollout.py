"""`kminictl rollout`: status, history, undo, restart, pause and resume of deployments."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from ..command import Verbs, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..cluster.selecting import Found, Selection
    from ..cluster.session import Session
    from .writing import Results

PREFIX = "deployment.kubernetes.io/"
REVISION = f"{PREFIX}revision"


@click.group("rollout", cls=Verbs)
def rollout() -> None:
    """Watch, undo, restart, pause and resume rollouts."""


def _selection(words: tuple[str, ...], given: dict[str, Any]) -> Selection:
    from ..cluster.selecting import Selection

    return Selection(
        words=words,
        files=take.split_files(given["filenames"]),
        recursive=given["recursive"],
        labels=given.get("labels", ""),
    )


def _deployment(found: Found, doing: str) -> dict[str, Any]:
    """Raises CommandError for what has no rollouts."""
    if found.object["kind"] != "Deployment":
        if doing.endswith("ing"):
            raise CommandError(f'{found.resource.qualified} "{found.name}" {doing} is not supported')
        raise CommandError(f"no {doing} has been implemented for {found.object['kind']}")
    return found.object


# --- status -----------------------------------------------------------------------------------------


@rollout.command("status")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@switch("-w", "--watch", default=True, help="Until it is done.")
@click.option("--timeout", "longest", default="0s", help="How long at most; 0 is as long as it takes.")
@click.option("--revision", default=0, help="Only as long as this is the newest revision.")
@verb
async def status(
    session: Session, words: tuple[str, ...], watch: bool, longest: str, revision: int, **given: Any
) -> None:
    """Follow a rollout until it is done."""
    from ..cluster.selecting import objects
    from ..failures import Several
    from ..output.ages import duration_s

    found, errors = await objects(session, _selection(words, given), verb="rollout status")
    if errors:
        raise Several(errors)
    try:
        async with asyncio.timeout(duration_s(longest) or None):
            for each in found:
                await _follow(session, each, revision, watch=watch)
    except TimeoutError:
        raise CommandError("timed out waiting for the condition") from None


async def _follow(session: Session, found: Found, revision: int, *, watch: bool) -> None:
    from .waiting import LONG_S, until

    _deployment(found, "status viewer")

    def shown(obj: dict[str, Any]) -> bool:
        text, done = told_status(obj, revision)
        session.say(text)
        session.flush()
        return done

    if not watch:
        shown(found.object)
        return
    await until(session, found, _news_only(shown), timeout_s=LONG_S)


def _news_only(shown: Callable[[dict[str, Any]], bool]) -> Callable[[dict[str, Any]], bool]:
    """Every state of the object is told, and none twice."""
    seen: list[str] = [""]

    def told(obj: dict[str, Any]) -> bool:
        version = str(obj["metadata"].get("resourceVersion", ""))
        if version == seen[0]:
            return False
        seen[0] = version
        return shown(obj)

    return told


def told_status(obj: dict[str, Any], revision: int) -> tuple[str, bool]:
    """How far a deployment is, and whether that is the end. Raises CommandError when it will not get there."""
    metadata, spec, state = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    name = metadata["name"]
    if revision:
        newest = int((metadata.get("annotations") or {}).get(REVISION, 0))
        if newest != revision:
            raise CommandError(f"desired revision ({revision}) is different from the running revision ({newest})")
    if metadata.get("generation", 0) > state.get("observedGeneration", 0):
        return "Waiting for deployment spec update to be observed...", False
    for each in state.get("conditions") or []:
        if each["type"] == "Progressing" and each.get("reason") == "ProgressDeadlineExceeded":
            raise CommandError(f'deployment "{name}" exceeded its progress deadline')
    wanted, total = spec.get("replicas", 1), state.get("replicas", 0)
    updated, available = state.get("updatedReplicas", 0), state.get("availableReplicas", 0)
    begin = f'Waiting for deployment "{name}" rollout to finish'
    if updated < wanted:
        return f"{begin}: {updated} out of {wanted} new replicas have been updated...", False
    if total > updated:
        return f"{begin}: {total - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{begin}: {available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


# --- history and undo -------------------------------------------------------------------------------


def selector_text(selector: dict[str, Any] | None) -> str:
    """A LabelSelector as it goes into a query."""
    import msgspec

    from apiserver.api.meta import LabelSelector
    from apiserver.api.selectors import from_label_selector

    return str(from_label_selector(msgspec.convert(selector or {}, LabelSelector)))


async def revisions(session: Session, deployment: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Replica sets of a deployment by revision, the oldest first."""
    kind = (await session.catalogue()).find("replicasets.apps").kind
    labels = selector_text(deployment["spec"].get("selector"))
    found: dict[int, dict[str, Any]] = {}
    for each in await session.api.list_(kind, deployment["metadata"]["namespace"], labels=labels):
        metadata = each["metadata"]
        owner: dict[str, Any] = next(
            (one for one in metadata.get("ownerReferences") or [] if one.get("controller")), {}
        )
        revision = (metadata.get("annotations") or {}).get(REVISION, "")
        if owner.get("uid") == deployment["metadata"]["uid"] and revision.isdigit():
            found[int(revision)] = each
    return dict(sorted(found.items()))


@rollout.command("history")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.output
@click.option("--revision", default=0, help="One revision in full.")
@verb
async def history(session: Session, words: tuple[str, ...], revision: int, output: str, **given: Any) -> None:
    """List the revisions of a deployment."""
    from ..cluster.selecting import objects
    from .writing import Results

    results = Results("", take.DryRun("none"))
    found, results.errors = await objects(session, _selection(words, given), verb="rollout history")
    for each in found:
        known = await revisions(session, _deployment(each, "history viewer"))
        if output:
            _print_revision(known, revision, output)
            continue
        if revision:
            results.done(each.object, f"with revision #{revision}\n{_template_of(known, revision)}")
        else:
            results.done(each.object, f"\n{_table(known)}")
    results.end()


def _print_revision(known: dict[int, dict[str, Any]], revision: int, output: str) -> None:
    from ..output import printers

    printer = printers.printer_of(output)
    wanted = [revision] if revision else list(known)
    for each in wanted:
        if each not in known:
            raise CommandError("unable to find the specified revision")
        click.echo(printer.printed(known[each]), nl=False)
    click.echo(printer.finish(), nl=False)


def _table(known: dict[int, dict[str, Any]]) -> str:
    from ..output.tabwriter import aligned

    if not known:
        return "No rollout history found."
    lines = ["REVISION\tCHANGE-CAUSE"]
    for revision, each in known.items():
        cause = (each["metadata"].get("annotations") or {}).get("kubernetes.io/change-cause") or "<none>"
        lines.append(f"{revision}\t{cause}")
    return aligned("\n".join(lines) + "\n")


def _template_of(known: dict[int, dict[str, Any]], revision: int) -> str:
    from ..describing.templates import template_lines
    from ..describing.writer import Writer

    if revision not in known:
        raise CommandError("unable to find the specified revision")
    writer = Writer()
    replica_set = known[revision]
    template = dict(replica_set["spec"]["template"])
    cause = (replica_set["metadata"].get("annotations") or {}).get("kubernetes.io/change-cause")
    if cause:
        metadata = dict(template.get("metadata") or {})
        metadata["annotations"] = (metadata.get("annotations") or {}) | {"kubernetes.io/change-cause": cause}
        template["metadata"] = metadata
    template_lines(writer, template)
    return writer.raw()


@rollout.command("undo")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.output
@take.dry_run
@click.option("--to-revision", default=0, help="Which revision; 0 is the one before.")
@verb
async def undo(
    session: Session, words: tuple[str, ...], to_revision: int, output: str, dry_run: str, **given: Any
) -> None:
    """Go back to an earlier revision of a deployment."""
    dry = take.DryRun(dry_run)

    async def back(found: Found, results: Results) -> None:
        from ..merging import last_applied

        deployment = _deployment(found, "rollbacker")
        if last_applied.ANNOTATION in (deployment["metadata"].get("annotations") or {}):
            session.warn(
                f"resource {found.resource.kind.plural}/{found.name} was previously managed with 'kminictl apply'. "
                f"Rolling back will not update the {last_applied.ANNOTATION} annotation, which may cause unexpected "
                "behavior on future 'kminictl apply' operations. Consider using 'kminictl apply' with your previous "
                "configuration file instead."
            )
        results.done(deployment, await _undo(session, found, to_revision, dry))

    await _each(session, words, given, output, dry, "undo", back)


async def _undo(session: Session, found: Found, revision: int, dry_run: take.DryRun) -> str:
    from apiserver.client.requests import Patch

    from .writing import write_options

    deployment = found.object
    if (deployment.get("spec") or {}).get("paused"):
        raise CommandError(
            "you cannot rollback a paused deployment; resume it first with 'kminictl rollout resume' and try again"
        )
    replica_set = _to_go_back_to(await revisions(session, deployment), revision, found.name)
    template = without_hash(replica_set["spec"]["template"])
    if template == without_hash(deployment["spec"]["template"]):
        return f"skipped rollback (current template already matches revision {revision})"
    if dry_run.client:
        return "rolled back"
    patch = [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": _annotations(deployment, replica_set)},
    ]
    options = write_options(dry_run, "kubectl-rollout")
    await session.api.patch(found.resource.kind, found.namespace, found.name, patch, Patch.JSON, options)
    return "rolled back"


def _to_go_back_to(known: dict[int, dict[str, Any]], revision: int, name: str) -> dict[str, Any]:
    if revision:
        if revision not in known:
            raise CommandError(f"unable to find specified revision {revision} in history")
        return known[revision]
    if len(known) < 2:
        raise CommandError(f'no rollout history found for deployment "{name}"')
    return known[list(known)[-2]]


def without_hash(template: dict[str, Any]) -> dict[str, Any]:
    metadata = dict(template.get("metadata") or {})
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != "pod-template-hash"}
    return {**template, "metadata": metadata | {"labels": labels}}


def _annotations(deployment: dict[str, Any], replica_set: dict[str, Any]) -> dict[str, str]:
    """The replica set's, but for what only the deployment says of itself."""
    from ..merging import last_applied

    own = {last_applied.ANNOTATION, "deprecated.deployment.rollback.to"}
    own |= {f"{PREFIX}{each}" for each in ("revision", "revision-history", "desired-replicas", "max-replicas")}
    kept = {key: value for key, value in (deployment["metadata"].get("annotations") or {}).items() if key in own}
    then = replica_set["metadata"].get("annotations") or {}
    return kept | {key: value for key, value in then.items() if key not in own}


# --- restart, pause, resume -------------------------------------------------------------------------


async def _each(
    session: Session,
    words: tuple[str, ...],
    given: dict[str, Any],
    output: str,
    dry_run: take.DryRun,
    doing: str,
    change: Callable[[Found, Results], Awaitable[None]],
) -> None:
    from apiserver.api.errors import ApiError

    from ..cluster.selecting import objects
    from .writing import Results

    results = Results(output, dry_run)
    found, results.errors = await objects(session, _selection(words, given), verb=f"rollout {doing}")
    for each in found:
        try:
            await change(each, results)
        except (ApiError, CommandError) as error:
            results.errors.append(error)
    results.end()


async def _patched(session: Session, found: Found, patch: dict[str, Any]) -> dict[str, Any]:
    from .writing import write_options

    options = write_options(take.DryRun("none"), "kubectl-rollout")
    return await session.api.patch(found.resource.kind, found.namespace, found.name, patch, options=options)


@rollout.command("restart")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.output
@verb
async def restart(session: Session, words: tuple[str, ...], output: str, **given: Any) -> None:
    """Replace all pods of a deployment by new ones."""

    async def begin(found: Found, results: Results) -> None:
        from datetime import datetime

        deployment = _deployment(found, "restarting")
        if (deployment.get("spec") or {}).get("paused"):
            raise CommandError(
                f'{found.resource.qualified} "{found.name}" can\'t restart paused deployment (run rollout resume first)'
            )
        now = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
        annotations = {"kubectl.kubernetes.io/restartedAt": now}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        results.done(await _patched(session, found, patch), "restarted")

    await _each(session, words, given, output, take.DryRun("none"), "restart", begin)


@rollout.command("pause")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.output
@verb
async def pause(session: Session, words: tuple[str, ...], output: str, **given: Any) -> None:
    """Let a deployment change nothing until it is resumed."""

    async def hold(found: Found, results: Results) -> None:
        if (_deployment(found, "pausing").get("spec") or {}).get("paused"):
            raise CommandError(f'{found.resource.qualified} "{found.name}" is already paused')
        results.done(await _patched(session, found, {"spec": {"paused": True}}), "paused")

    await _each(session, words, given, output, take.DryRun("none"), "pause", hold)


@rollout.command("resume")
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.output
@verb
async def resume(session: Session, words: tuple[str, ...], output: str, **given: Any) -> None:
    """Let a paused deployment go on."""

    async def release(found: Found, results: Results) -> None:
        if not (_deployment(found, "resuming").get("spec") or {}).get("paused"):
            raise CommandError(f'{found.resource.qualified} "{found.name}" is not paused')
        results.done(await _patched(session, found, {"spec": {"paused": None}}), "resumed")

    await _each(session, words, given, output, take.DryRun("none"), "resume", release)
