"""`kminictl edit`: objects in the user's editor; what was changed there is sent as a patch."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session
    from .writing import Results

EDITORS = ("KUBE_EDITOR", "EDITOR")
_HEADER = (
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n#\n"
)
ROUNDS_MAX = 100


@click.command("edit", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@switch("--save-config", help="Keep the object in the annotation of apply.")
@click.option("--subresource", default="", help="status or scale.")
@click.option("--validate", default="strict", help="strict, warn or ignore fields nobody knows.")
@click.option("--field-manager", default="kubectl-edit", hidden=True)
@verb
async def edit(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Edit objects: edit TYPE NAME."""
    from ..cluster.selecting import Selection, objects
    from ..failures import Several
    from .writing import Results

    selection = Selection(words=words, files=take.split_files(given["filenames"]), recursive=given["recursive"])
    found, errors = await objects(session, selection, verb="edit")
    if errors:
        raise Several(errors)
    results = Results(given["output"], take.DryRun("none"))
    for each in found:
        await _Editing(session, each, results, given).run()
    results.end()


class _Editing:
    def __init__(self, session: Session, found: Found, results: Results, given: dict[str, Any]) -> None:
        self._session = session
        self._found = found
        self._results = results
        self._given = given

    async def run(self) -> None:
        """The editor comes up again with what is wrong, until that is mended or nothing is changed any more."""
        from ..output import goyaml, printers

        original = goyaml.dump(printers.without_managed_fields(self._found.object))
        shown, complaint = original, ""
        for _ in range(ROUNDS_MAX):
            text = edited(_HEADER + complaint + shown)
            content = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
            if not content.strip():
                self._session.tell("Edit cancelled, saved file was empty.")
                return
            if content == original:
                self._session.tell("Edit cancelled, no changes made.")
                return
            if complaint and content == shown:
                self._keep(text)
                raise CommandError("Edit cancelled, no valid changes were saved.")
            problem = await self._send(content)
            if not problem:
                return
            shown = content
            complaint = "".join(f"# {line}\n" for line in problem.splitlines()) + "#\n"
        raise CommandError("Edit cancelled, no valid changes were saved.")

    async def _send(self, content: str) -> str:
        """What is wrong with it; empty when it was taken."""
        from apiserver.api.errors import ApiError, Invalid

        from ..cluster import manifests
        from ..failures import told

        try:
            (after,) = manifests.documents(content.encode(), "the edited file")
            await self._patch(after.object)
        except Invalid as error:
            self._session.tell(f'error: {self._found.resource.qualified} "{self._found.name}" is invalid')
            return told(error)
        except (ApiError, CommandError, ValueError) as error:
            self._session.tell(told(error))
            return told(error)
        return ""

    async def _patch(self, after: dict[str, Any]) -> None:
        from ..merging import last_applied
        from .applying import Patcher
        from .writing import write_options

        found, given = self._found, self._given
        if (after.get("metadata") or {}).get("name") != found.name or after.get("kind") != found.object["kind"]:
            raise CommandError("at least one of apiVersion, kind and name was changed")
        if given["save_config"] or last_applied.of(found.object) is not None:
            after = last_applied.annotated(_without_server_fields(after)) if given["save_config"] else after
        kind = found.resource.kind
        patch, how = await Patcher(self._session).two_way(kind, found.object, after)
        options = write_options(take.DryRun("none"), given["field_manager"], given["validate"])
        changed = await self._session.api.patch(
            kind, found.namespace, found.name, patch, how, options, subresource=given["subresource"]
        )
        self._results.done(changed, "edited")

    def _keep(self, text: str) -> None:
        name = written(text)
        self._session.tell(f'A copy of your changes has been stored to "{name}"')


def _without_server_fields(obj: dict[str, Any]) -> dict[str, Any]:
    """As a person would have written it."""
    own = ("creationTimestamp", "generation", "resourceVersion", "uid", "managedFields")
    metadata = {key: value for key, value in obj["metadata"].items() if key not in own}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": metadata}


def written(text: str) -> Path:
    """A new file that nobody else may read."""
    path = Path(tempfile.gettempdir()) / f"kminictl-edit-{secrets.randbelow(10**10)}.yaml"
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(number, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def edited(text: str) -> str:
    """What the user's editor makes of it. Raises CommandError."""
    program = next((os.environ[name] for name in EDITORS if os.environ.get(name)), "vi")
    path = written(text)
    try:
        words = shlex.split(program)
        try:
            code = subprocess.run([*words, str(path)], check=False).returncode
        except OSError as error:
            raise CommandError(f"unable to launch the editor {program!r}: {error.strerror}") from None
        if code:
            raise CommandError(f"there was a problem with the editor {program!r}")
        return path.read_text(encoding="utf-8")
    finally:
        path.unlink(missing_ok=True)
