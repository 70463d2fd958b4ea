"""`kminictl api-resources`, `api-versions` and `cluster-info`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..command import Verb, switch, verb
from ..failures import CommandError

if TYPE_CHECKING:
    from ..cluster.discovery import Resource
    from ..cluster.session import Session


@click.command("api-resources", cls=Verb)
@click.option("-o", "--output", default="", help="wide or name.")
@switch("--no-headers")
@click.option(
    "--namespaced",
    type=click.BOOL,
    is_flag=False,
    flag_value="true",
    default=None,
    help="Only those in namespaces, or only others.",
)
@click.option("--api-group", default=None, help="Only of this group.")
@click.option("--verbs", default="", help="Only those with all of these verbs.")
@click.option("--categories", default="", help="Only those in all of these categories.")
@click.option("--sort-by", default="", help="name or kind.")
@switch("--cached", hidden=True)
@verb
async def api_resources(
    session: Session,
    output: str,
    no_headers: bool,
    namespaced: bool | None,
    api_group: str | None,
    verbs: str,
    categories: str,
    sort_by: str,
    cached: bool,
) -> None:
    """List what kinds the server has."""
    from ..output.tabwriter import Columns

    if output not in ("", "wide", "name"):
        raise CommandError(f"--output {output} is not available: wide and name are")
    if sort_by not in ("", "name", "kind"):
        raise CommandError("--sort-by accepts only name or kind")
    wanted_verbs = {each for each in verbs.split(",") if each}
    wanted_categories = {each for each in categories.split(",") if each}
    found = [
        each
        for each in _listed((await session.catalogue()).resources)
        if (namespaced is None or each.namespaced == namespaced)
        and (api_group is None or each.kind.group == api_group)
        and wanted_verbs <= set(each.verbs)
        and wanted_categories <= set(each.categories)
    ]
    found.sort(key=lambda each: _order(each, sort_by))
    if output == "name":
        for each in found:
            session.say(each.qualified)
        return
    columns = Columns()
    if not no_headers:
        headers = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]
        columns.add(headers + (["VERBS", "CATEGORIES"] if output == "wide" else []))
    for each in found:
        kind = each.kind
        row = [kind.plural, ",".join(each.short_names), kind.api_version, str(kind.namespaced).lower(), kind.kind]
        columns.add(row + ([",".join(each.verbs), ",".join(each.categories)] if output == "wide" else []))
    click.echo(columns.flush(), nl=False)


def _listed(resources: list[Resource]) -> list[Resource]:
    """Each in the version its group prefers, or else in the only one that has it."""
    preferred = {(each.kind.group, each.kind.plural) for each in resources if each.preferred}
    return [
        each
        for each in resources
        if each.verbs and (each.preferred or (each.kind.group, each.kind.plural) not in preferred)
    ]


def _order(resource: Resource, sort_by: str) -> tuple[str, ...]:
    kind = resource.kind
    if sort_by == "kind":
        return (kind.kind,)
    return (kind.plural,) if sort_by == "name" else (kind.group, kind.plural)


@click.command("api-versions", cls=Verb)
@verb
async def api_versions(session: Session) -> None:
    """List the versions the server has."""
    from apiserver.client import requests

    groups = (await session.api.json(requests.get("/apis"))).get("groups") or []
    core = (await session.api.json(requests.get("/api"))).get("versions") or []
    found = [each["groupVersion"] for group in groups for each in group["versions"]]
    for each in sorted([*found, *core]):
        session.say(each)


@click.command("cluster-info", cls=Verb)
@verb
async def cluster_info(session: Session) -> None:
    """Say where the control plane is."""
    import sys

    from apiserver.client import requests

    await session.api.send(requests.get("/version"))
    green, yellow, end = ("\x1b[0;32m", "\x1b[0;33m", "\x1b[0m") if sys.stdout.isatty() else ("", "", "")
    session.say(f"{green}Kubernetes control plane{end} is running at {yellow}{session.server}{end}")
    session.say("\nTo further debug and diagnose cluster problems, use 'kminictl cluster-info dump'.")
