"""`kminictl wait`: until a condition holds, a field has a value, or something is gone or there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, verb
from ..failures import CommandError, Several
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found, Selection
    from ..cluster.session import Session

Holds = Callable[[dict[str, Any]], bool]
CREATE_PAUSE_S = 0.5


@click.command("wait", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@take.selector
@take.field_selector
@take.all_namespaces
@take.everything
@click.option(
    "--for", "wanted", multiple=True, help="delete, create, condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE]."
)
@click.option("--timeout", "longest", default="30s", help="How long at most; 0 looks once, below 0 is a week.")
@verb
async def wait(session: Session, words: tuple[str, ...], wanted: tuple[str, ...], longest: str, **given: Any) -> None:
    """Wait until a condition holds."""
    from ..cluster.selecting import Selection
    from ..output.ages import duration_s
    from .waiting import LONG_S

    if not wanted:
        raise CommandError("condition must be specified via --for")
    limit_s = duration_s(longest)
    deadline = time.monotonic() + (LONG_S if limit_s < 0 else limit_s)
    selection = Selection(
        words=words,
        files=take.split_files(given["filenames"]),
        recursive=given["recursive"],
        labels=given["labels"],
        fields=given["fields"],
        everything=given["everything"],
        all_namespaces=given["all_namespaces"],
    )
    for each in wanted:
        await _Waiting(session, selection, given["output"], deadline, once=limit_s == 0).run(each)


class _Waiting:
    def __init__(self, session: Session, selection: Selection, output: str, deadline: float, *, once: bool) -> None:
        self._session = session
        self._selection = selection
        self._output = output
        self._deadline = deadline
        self._once = once

    async def run(self, wanted: str) -> None:
        from ..cluster.selecting import objects
        from .writing import Results

        gone = wanted.lower() == "delete"
        holds = (
            (lambda _obj: False) if gone else (lambda _obj: True) if wanted.lower() == "create" else condition(wanted)
        )
        if wanted.lower() == "create":
            await self._until_there()
        found, errors = await objects(self._session, self._selection, verb="wait", missing_ok=gone)
        results = Results(self._output, take.DryRun("none"))
        results.errors = errors
        if not found and not errors:
            if gone:
                return
            raise CommandError("no matching resources found")
        for each in found:
            try:
                await self._one(each, holds, gone=gone)
                results.done(each.object, "condition met")
            except CommandError as error:
                results.errors.append(error)
        results.end()

    async def _one(self, found: Found, holds: Holds, *, gone: bool) -> None:
        from ..output.progress import waiting
        from .waiting import until

        place = f"{found.resource.kind.plural}/{found.name}"
        if holds(found.object):
            return
        if self._once:
            raise CommandError(f"condition not met for {place}")
        left_s = max(self._deadline - time.monotonic(), 0.0)
        async with waiting(f"waiting for {found}"):
            if gone:
                done = await self._gone(found, left_s)
            else:
                done = await until(self._session, found, holds, timeout_s=left_s)
        if not done:
            raise CommandError(f"timed out waiting for the condition on {place}")

    async def _gone(self, found: Found, left_s: float) -> bool:
        from .deleting import wait_gone

        if left_s <= 0:
            return False
        try:
            await wait_gone(self._session, found.resource, found.namespace, found.name, found.object, timeout_s=left_s)
        except TimeoutError:
            return False
        return True

    async def _until_there(self) -> None:
        import asyncio

        from ..cluster.selecting import objects

        while True:
            found, errors = await objects(self._session, self._selection, verb="wait", missing_ok=True)
            if errors:
                raise Several(errors)
            if found:
                return
            if time.monotonic() >= self._deadline:
                raise CommandError("timed out waiting for the condition: nothing is there")
            await asyncio.sleep(CREATE_PAUSE_S)


def condition(wanted: str) -> Holds:
    """What `--for` asks of an object. Raises CommandError for what is no condition."""
    if wanted.startswith("condition="):
        name, equals, value = wanted.removeprefix("condition=").partition("=")
        return lambda obj: _condition_is(obj, name, value if equals else "true")
    if wanted.startswith("jsonpath="):
        return _jsonpath(wanted.removeprefix("jsonpath="))
    raise CommandError(f'unrecognized condition: "{wanted}"')


def _condition_is(obj: dict[str, Any], name: str, value: str) -> bool:
    for each in (obj.get("status") or {}).get("conditions") or []:
        if str(each.get("type", "")).lower() != name.lower():
            continue
        generation, observed = obj["metadata"].get("generation", 0), each.get("observedGeneration", 0)
        if observed and observed < generation:
            return False
        return str(each.get("status", "")).lower() == value.lower()
    return False


def _jsonpath(text: str) -> Holds:
    from ..output import gojson
    from ..output.jsonpath import JsonPath, relaxed

    expression, equals, value = text.strip("'").rpartition("}=") if "}=" in text else (text, "", "")
    if equals:
        expression += "}"
    elif not text.rstrip("'").endswith("}"):
        expression, equals, value = text.partition("=")
    if equals and not value:
        raise CommandError(
            "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3"
        )
    try:
        path = JsonPath(relaxed(expression.strip("'")))
    except ValueError as error:
        raise CommandError(str(error)) from None
    wanted = value.strip("\"'")

    def holds(obj: dict[str, Any]) -> bool:
        found = [each for results in path.values(obj) for each in results]
        if not equals:
            return bool(found)
        if len(found) > 1:
            raise CommandError("given jsonpath expression matches more than one value")
        if found and isinstance(found[0], dict | list):
            raise CommandError("jsonpath leads to a nested object or list which is not supported")
        return bool(found) and gojson.sprint(found[0]) == wanted

    return holds
