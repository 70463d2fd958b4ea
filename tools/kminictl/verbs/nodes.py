"""`kminictl cordon`, `uncordon` and `taint`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session
    from .writing import Results

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@click.command("cordon", cls=Verb)
@click.argument("names", nargs=-1)
@take.selector
@take.dry_run
@verb
async def cordon(session: Session, names: tuple[str, ...], labels: str, dry_run: str) -> None:
    """Let nodes take no new pods."""
    await _set_schedulable(session, names, labels, take.DryRun(dry_run), unschedulable=True)


@click.command("uncordon", cls=Verb)
@click.argument("names", nargs=-1)
@take.selector
@take.dry_run
@verb
async def uncordon(session: Session, names: tuple[str, ...], labels: str, dry_run: str) -> None:
    """Let nodes take pods again."""
    await _set_schedulable(session, names, labels, take.DryRun(dry_run), unschedulable=False)


async def _set_schedulable(
    session: Session, names: tuple[str, ...], labels: str, dry_run: take.DryRun, *, unschedulable: bool
) -> None:
    from .writing import Results

    results = Results("", dry_run)
    verb_word = "cordon" if unschedulable else "uncordon"
    found, results.errors = await nodes(session, names, labels, verb_word)
    for each in found:
        await set_schedulable(session, each, results, dry_run, unschedulable=unschedulable)
    results.end()


async def nodes(
    session: Session, names: tuple[str, ...], labels: str, verb_word: str
) -> tuple[list[Found], list[Exception]]:
    """Those named, with or without `node/`, or selected. Raises CommandError when none is named."""
    from ..cluster.selecting import Selection, objects

    if not names and not labels:
        raise CommandError(f"USAGE: {verb_word} NODE [flags]\nSee 'kminictl {verb_word} -h' for help and examples")
    if names and labels:
        raise CommandError("error: cannot specify both a node name and a --selector option")
    words = ("nodes", *(name.removeprefix("node/").removeprefix("nodes/") for name in names))
    return await objects(session, Selection(words=words, labels=labels), verb=verb_word)


async def set_schedulable(
    session: Session, found: Found, results: Results, dry_run: take.DryRun, *, unschedulable: bool
) -> None:
    """Says whether it was so already."""
    from .writing import write_options

    operation = "cordoned" if unschedulable else "uncordoned"
    if bool((found.object.get("spec") or {}).get("unschedulable")) == unschedulable:
        results.done(found.object, f"already {operation}")
        return
    if not dry_run.client:
        patch = {"spec": {"unschedulable": True if unschedulable else None}}
        await session.api.patch(
            found.resource.kind, None, found.name, patch, options=write_options(dry_run, "kubectl-cordon")
        )
    results.done(found.object, operation)


# --- taints -----------------------------------------------------------------------------------------


@click.command("taint", cls=Verb)
@click.argument("words", nargs=-1)
@take.output
@take.selector
@take.everything
@take.dry_run
@switch("--overwrite", help="Also those that are there.")
@verb
async def taint(session: Session, words: tuple[str, ...], overwrite: bool, **given: Any) -> None:
    """Set and take away taints: taint nodes NAME KEY=VALUE:EFFECT... KEY[:EFFECT]-..."""
    from ..cluster.selecting import Selection, objects
    from .writing import Results, write_options

    dry_run = take.DryRun(given["dry_run"])
    names, wanted = _sorted(words)
    if not names or names[0].partition(".")[0] not in ("node", "nodes", "no"):
        raise CommandError(
            f"invalid resource type {names[0]}, only node types are supported"
            if names
            else "one or more resources must be specified as <resource> <name> or <resource>/<name>"
        )
    results = Results(given["output"], dry_run)
    selection = Selection(words=names, labels=given["labels"], everything=given["everything"])
    found, results.errors = await objects(session, selection, verb="taint")
    for each in found:
        try:
            taints, operation = reorganised(each, wanted, overwrite=overwrite)
        except CommandError as error:
            results.errors.append(error)
            continue
        obj = each.object
        if not dry_run.client:
            patch = {"spec": {"taints": taints or None}}
            options = write_options(dry_run, "kubectl-taint")
            obj = await session.api.patch(each.resource.kind, None, each.name, patch, options=options)
        results.done(obj, operation)
    results.end()


def _sorted(words: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[dict[str, str], bool]]]:
    """Names of nodes, and taints with whether they go."""
    names: list[str] = []
    wanted: list[tuple[dict[str, str], bool]] = []
    for word in words:
        if "=" in word or ":" in word or word.endswith("-"):
            wanted.append(_parsed(word))
        else:
            names.append(word)
    if not wanted:
        raise CommandError("at least one taint update is required")
    return tuple(names), wanted


def _parsed(word: str) -> tuple[dict[str, str], bool]:
    """Raises CommandError."""
    goes = word.endswith("-")
    pair, colon, effect = word.removesuffix("-").partition(":") if goes else word.partition(":")
    key, _, value = pair.partition("=")
    made = {"key": key} | ({"value": value} if value else {}) | ({"effect": effect} if effect else {})
    if not key or (not goes and not colon) or effect.count(":"):
        raise CommandError(f"invalid taint spec: {word}")
    if effect and effect not in EFFECTS:
        raise CommandError(
            f"invalid taint effect: {effect}, unsupported taint effect\nSee 'kminictl taint -h' for help and examples"
        )
    return made, goes


def reorganised(
    found: Found, wanted: list[tuple[dict[str, str], bool]], *, overwrite: bool
) -> tuple[list[dict[str, Any]], str]:
    """The node's taints afterwards, and what that is called. Raises CommandError."""
    old: list[dict[str, Any]] = (found.object.get("spec") or {}).get("taints") or []
    added = [each for each, goes in wanted if not goes]
    removed = [each for each, goes in wanted if goes]
    taken = sorted({each["key"] for each in added if any(_same(each, known) for known in old)})
    if taken and not overwrite:
        raise CommandError(
            f"node {found.name} already has {', '.join(taken)} taint(s) with same effect(s) and --overwrite is false"
        )
    new = [*added, *(each for each in old if not any(_same(each, one) for one in added))]
    grown = len(new) != len(old)
    for one in removed:
        left = [each for each in new if not _matches(each, one)]
        if len(left) == len(new):
            shown = one["key"] + (f":{one['effect']}" if "effect" in one else "")
            raise CommandError(f'taint "{shown}" not found')
        new = left
    if overwrite or (added and removed):
        return new, "modified"
    return new, "tainted" if added and grown else "untainted"


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["key"] == other["key"] and one.get("effect") == other.get("effect"))


def _matches(taint_there: dict[str, Any], removed: dict[str, str]) -> bool:
    return taint_there["key"] == removed["key"] and ("effect" not in removed or _same(taint_there, removed))
