"""`kminictl get`: objects as the server's tables, or whole in any other form."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, switch, verb
from ..failures import CommandError
from . import options as take

if TYPE_CHECKING:
    from ..cluster.session import Session

NOT_SPECIFIED = (
    'You must specify the type of resource to get. Use "kminictl api-resources" for a complete list of supported '
    "resources.\n"
)


@click.command("get", cls=Verb)
@click.argument("words", nargs=-1)
@take.output
@take.selector
@take.field_selector
@take.all_namespaces
@take.files
@switch("-w", "--watch", help="Go on with every change.")
@switch("--watch-only", help="Changes alone, without what is there.")
@switch("--output-watch-events", help="Say of each line whether it was added, modified or deleted.")
@switch("--no-headers", help="Without the line of headers.")
@switch("--show-labels", help="A last column with all labels.")
@switch("--show-kind", help="The kind before each name.")
@switch("--show-managed-fields", hidden=True)
@switch("--ignore-not-found", help="What is not there is no error.")
@switch("--server-print", default=True, hidden=True)
@switch("--allow-missing-template-keys", default=True, hidden=True)
@click.option("-L", "--label-columns", multiple=True, help="A column for each of these labels.")
@click.option("--sort-by", default="", help="Order by what a jsonpath expression finds.")
@click.option("--chunk-size", default=500, help="How many objects are asked for at once; 0 for all.")
@click.option("--subresource", default="", help="status or scale of one object.")
@click.option("--raw", default="", help="A path of the server, printed as it answers.")
@verb
async def get(session: Session, words: tuple[str, ...], raw: str, **given: Any) -> None:
    """Show one or many objects."""
    from .getting import Asked, Getting

    if raw:
        await _raw(session, raw)
        return
    if not words and not given["filenames"]:
        session.tell(NOT_SPECIFIED)
        raise CommandError(
            "Required resource not specified.\n"
            'Use "kminictl explain <resource>" for a detailed description of that resource (e.g. kminictl explain '
            "pods).\nSee 'kminictl get -h' for help and examples"
        )
    labels = tuple(name for each in given.pop("label_columns") for name in each.split(","))
    given["filenames"] = take.split_files(given["filenames"])
    await Getting(session, Asked(words=words, label_columns=labels, **given)).run()


async def _raw(session: Session, path: str) -> None:
    from apiserver.client.requests import Request

    place, _, query = path.partition("?")
    pairs = tuple((name, value) for name, _, value in (each.partition("=") for each in query.split("&") if each))
    answer = await session.api.send(Request(method="GET", path=place, query=pairs))
    sys.stdout.write(answer.body.decode("utf-8", "replace"))
