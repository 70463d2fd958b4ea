"""`kminictl label` and `annotate`: KEY=VALUE sets, KEY- takes away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session
    from .writing import Results


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--field-manager", default="", hidden=True),
        click.option("--resource-version", default="", help="Only when the object is still at this version."),
        switch("--local", hidden=True),
        switch("--list", "listing", help="Show them."),
        switch("--overwrite", help="Also those that have another value."),
        take.everything,
        take.all_namespaces,
        take.field_selector,
        take.selector,
        take.dry_run,
        take.output,
        take.files,
        click.argument("words", nargs=-1),
    ):
        function = option(function)
    return function


@click.command("label", cls=Verb)
@_options
@verb
async def label(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set and take away labels: label TYPE NAME KEY=VALUE... KEY-..."""
    await _Marking(session, "labels", given).run(words)


@click.command("annotate", cls=Verb)
@_options
@verb
async def annotate(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Set and take away annotations: annotate TYPE NAME KEY=VALUE... KEY-..."""
    await _Marking(session, "annotations", given).run(words)


class _Marking:
    """`field` is labels or annotations."""

    def __init__(self, session: Session, field: str, given: dict[str, Any]) -> None:
        self._session = session
        self._field = field
        self._word = field.removesuffix("s")
        self._given = given
        self._new: dict[str, str] = {}
        self._removed: list[str] = []

    async def run(self, words: tuple[str, ...]) -> None:
        from apiserver.api.errors import ApiError

        from ..cluster.selecting import Selection, objects
        from .writing import Results

        given = self._given
        resources = self._sorted(words)
        selection = Selection(
            words=resources,
            files=take.split_files(given["filenames"]),
            recursive=given["recursive"],
            labels=given["labels"],
            fields=given["fields"],
            everything=given["everything"],
            all_namespaces=given["all_namespaces"],
        )
        if not selection.words and not selection.files:
            raise CommandError("one or more resources must be specified as <resource> <name> or <resource>/<name>")
        if not self._new and not self._removed and not given["listing"]:
            raise CommandError(f"at least one {self._word} update is required")
        results = Results(given["output"], take.DryRun(given["dry_run"]))
        verb = "label" if self._word == "label" else "annotate"
        found, results.errors = await objects(self._session, selection, verb=verb)
        for each in found:
            if given["listing"]:
                self._list(each, alone=len(found) == 1)
                continue
            try:
                await self._mark(each, results)
            except (ApiError, CommandError) as error:
                results.errors.append(error)
        results.end()

    def _sorted(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Take the pairs out; what is left names objects. Raises CommandError."""
        resources: list[str] = []
        for word in words:
            is_pair = "=" in word or (word.endswith("-") and word != "-")
            if not is_pair:
                if self._new or self._removed:
                    raise CommandError(f"all resources must be specified before {self._word} changes: {word}")
                resources.append(word)
            elif "=" in word:
                key, _, value = word.partition("=")
                self._check(key, value, word)
                self._new[key] = value
            else:
                self._removed.append(word[:-1])
        both = [key for key in self._removed if key in self._new]
        if both:
            verb = "label" if self._word == "label" else "annotation"
            raise CommandError(f"can not both modify and remove a {verb} in the same command")
        return tuple(resources)

    def _check(self, key: str, value: str, word: str) -> None:
        if self._word != "label":
            return
        from apiserver.api.names import is_label_value

        problems = is_label_value(value)
        if problems:
            raise CommandError(f'invalid label value: "{word}": {"; ".join(problems)}')

    def _list(self, found: Found, *, alone: bool) -> None:
        marks = found.object["metadata"].get(self._field) or {}
        indent = ""
        if not alone:
            kind = found.resource.kind
            named = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
            self._session.say(f"Listing {self._field} for {named}/{found.name}:")
            indent = " "
        for key in sorted(marks):
            self._session.say(f"{indent}{key}={marks[key]}")

    async def _mark(self, found: Found, results: Results) -> None:
        from .writing import write_options

        before = found.object["metadata"].get(self._field) or {}
        self._refuse_overwriting(before)
        changes: dict[str, str | None] = {key: value for key, value in self._new.items() if before.get(key) != value}
        for key in self._removed:
            if key in before:
                changes[key] = None
            elif self._word == "label":
                self._session.say(f'label "{key}" not found.')
        dry_run = take.DryRun(self._given["dry_run"])
        obj = found.object
        after = {key: value for key, value in (before | changes).items() if value is not None}
        if changes and not dry_run.client:
            patch: dict[str, Any] = {"metadata": {self._field: changes}}
            if self._given["resource_version"]:
                patch["metadata"]["resourceVersion"] = self._given["resource_version"]
            manager = self._given["field_manager"] or f"kubectl-{self._word}"
            obj = await self._session.api.patch(
                found.resource.kind, found.namespace, found.name, patch, options=write_options(dry_run, manager)
            )
        elif changes:
            obj = {**obj, "metadata": {**obj["metadata"], self._field: after}}
        results.done(obj, self._operation(before, after))

    def _operation(self, before: dict[str, str], after: dict[str, str]) -> str:
        if self._word != "label":
            return "annotated"
        if before == after:
            return "not labeled"
        from ..output import gojson

        shrunk = len(gojson.compact(after)) < len(gojson.compact(before))
        return "unlabeled" if shrunk and not self._given["overwrite"] else "labeled"

    def _refuse_overwriting(self, before: dict[str, str]) -> None:
        if self._given["overwrite"]:
            return
        taken = [key for key, value in self._new.items() if key in before and before[key] != value]
        if taken and self._word == "label":
            lines = [f"'{key}' already has a value ({before[key]}), and --overwrite is false" for key in taken]
            raise CommandError("\n".join(lines) if len(lines) == 1 else "[" + ", ".join(lines) + "]")
        if taken:
            shown = "; ".join(f"'{key}' already has a value ({before[key]})" for key in taken)
            raise CommandError(f"--overwrite is false but found the following declared annotation(s): {shown}")
