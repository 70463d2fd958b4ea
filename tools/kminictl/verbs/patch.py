"""`kminictl patch`: change fields of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.selecting import Found
    from ..cluster.session import Session


@click.command("patch", cls=Verb)
@click.argument("words", nargs=-1)
@take.files
@take.output
@take.dry_run
@click.option("-p", "--patch", "text", default="", help="The patch, as JSON or YAML.")
@click.option("--patch-file", default="", help="File with the patch.")
@click.option("--type", "how", default="strategic", help="strategic, merge or json.")
@click.option("--subresource", default="", help="status or scale.")
@switch("--local", hidden=True)
@click.option("--field-manager", default="kubectl-patch", hidden=True)
@verb
async def patch(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Change fields of objects: patch TYPE NAME -p PATCH."""
    from apiserver.api.errors import ApiError

    from ..cluster.selecting import Selection, objects
    from .writing import Results

    if given["how"] not in ("json", "merge", "strategic"):
        raise CommandError(f'--type must be one of [json merge strategic], not "{given["how"]}"')
    if given["local"]:
        raise CommandError("cannot specify --local and server resources")
    body = _body(given["text"], given["patch_file"])
    dry_run = take.DryRun(given["dry_run"])
    results = Results(given["output"], take.DryRun("client" if dry_run.client else "none"))
    selection = Selection(words=words, files=take.split_files(given["filenames"]), recursive=given["recursive"])
    found, results.errors = await objects(session, selection, verb="patch")
    for each in found:
        try:
            changed = await _patch(session, each, body, given)
        except ApiError as error:
            results.errors.append(error)
            continue
        same = changed == each.object
        results.done(changed, "patched (no change)" if same and not given["subresource"] else "patched")
    results.end()


async def _patch(session: Session, found: Found, body: bytes, given: dict[str, Any]) -> dict[str, Any]:
    """A client's dry run is the server's too: it knows how lists are merged."""
    from apiserver.client.requests import Patch, WriteOptions

    how = {"json": Patch.JSON, "merge": Patch.MERGE, "strategic": Patch.STRATEGIC}[given["how"]]
    options = WriteOptions(dry_run=bool(take.DryRun(given["dry_run"])), field_manager=given["field_manager"])
    return await session.api.patch(
        found.resource.kind, found.namespace, found.name, body, how, options, subresource=given["subresource"]
    )


def _body(text: str, file: str) -> bytes:
    from pathlib import Path

    import msgspec
    import yaml

    from ..cluster.yaml_loading import Loader

    if bool(text) == bool(file):
        raise CommandError("must specify --patch or --patch-file containing the contents of the patch")
    if file:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"unable to read patch file: {file}: {error.strerror}") from None
    try:
        return msgspec.json.encode(yaml.load(text, Loader=Loader))  # noqa: S506 (it is a safe loader)
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise CommandError(f"unable to parse {msgspec.json.encode(text).decode()}: yaml: {told}") from None
