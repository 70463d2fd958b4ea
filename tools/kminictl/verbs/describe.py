"""`kminictl describe`: objects in full, with what belongs to them and their events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found, Selection, Target
    from ..cluster.session import Session


@click.command("describe", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.selector
@take.all_namespaces
@click.option("--show-events", type=click.BOOL, default=None, help="With the events; as it is for one object.")
@click.option("--chunk-size", default=500, hidden=True)
@verb
async def describe(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Show objects in full: describe TYPE [NAME...]."""
    from ..cluster.selecting import Selection
    from ..describing.describers import described
    from ..failures import Several

    if not words and not given["filenames"]:
        session.tell(
            'You must specify the type of resource to describe. Use "kminictl api-resources" for a complete list of '
            "supported resources."
        )
        raise CommandError("Required resource not specified.")
    selection = Selection(
        words=words,
        files=take.split_files(given["filenames"]),
        recursive=given["recursive"],
        labels=given["labels"],
        all_namespaces=given["all_namespaces"],
    )
    found, errors = await _found(session, selection)
    wanted = len(found) == 1 if given["show_events"] is None else given["show_events"]
    begun = any(each.name not in selection.words for each in found) and len(selection.words) > 1
    for index, each in enumerate(found):
        sys.stdout.write("\n\n" if index and not begun else "")
        sys.stdout.write(await described(session, each.object, events=wanted) + ("\n" if begun else ""))
    if not found and not errors:
        where = "" if given["all_namespaces"] else f" in {session.namespace} namespace."
        session.tell(f"No resources found{where}")
    if errors:
        raise Several(errors)


async def _found(session: Session, selection: Selection) -> tuple[list[Found], list[Exception]]:
    """Of a name that nothing has, all that begin with it."""
    from apiserver.api.errors import ApiError, NotFound

    from ..cluster.selecting import fetch, targets

    found: list[Found] = []
    errors: list[Exception] = []
    for target in await targets(session, selection, verb="describe"):
        target = await _in_known_version(session, target)
        try:
            found += await fetch(session, target, selection)
        except NotFound as error:
            begun = await _beginning_with(session, target)
            found += begun
            if not begun:
                errors.append(error)
        except ApiError as error:
            errors.append(error)
    return found, errors


async def _in_known_version(session: Session, target: Target) -> Target:
    """Of a kind that is served in several versions, the one that descriptions know."""
    import msgspec

    kind = target.resource.kind
    other = next(
        (
            each
            for each in (await session.catalogue()).resources
            if each.preferred and each.kind.kind == kind.kind and each.kind.version == "v1" and not kind.group
        ),
        None,
    )
    if target.resource.preferred or other is None:
        return target
    return msgspec.structs.replace(target, resource=other)


async def _beginning_with(session: Session, target: Target) -> list[Found]:
    from ..cluster.selecting import Found

    listed = await session.api.list_(target.resource.kind, target.namespace)
    return [
        Found(resource=target.resource, object=each)
        for each in listed
        if each["metadata"]["name"].startswith(target.name)
    ]
