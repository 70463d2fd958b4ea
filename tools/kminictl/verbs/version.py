"""`kminictl version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

from ..command import Verb, switch


@click.command("version", cls=Verb)
@switch("--client", help="Only the version of this client.")
@click.option("-o", "--output", default="", help="json or yaml.")
def version(client: bool, output: str) -> None:
    """Print the version of this client, and the server's when one can be reached."""
    from ..failures import CommandError

    found: dict[str, object] = {"clientVersion": {"gitVersion": f"v{_own()}"}}
    problem: Exception | None = None
    if not client:
        import asyncio

        from ..cluster.session import Options

        try:
            found["serverVersion"] = asyncio.run(_server(click.get_current_context().ensure_object(Options)))
        except Exception as error:  # whatever it is: the client's version is said first
            problem = error
    if output == "json":
        from ..output import gojson

        click.echo(gojson.indented(found, 2))
    elif output == "yaml":
        from ..output import goyaml

        click.echo(goyaml.dump(found), nl=False)
    elif output:
        raise CommandError("--output must be 'yaml' or 'json'")
    else:
        click.echo(f"Client Version: v{_own()}")
        server = found.get("serverVersion")
        if isinstance(server, dict):
            click.echo(f"Server Version: {server.get('gitVersion', '')}")
    if problem is not None:
        raise problem


def _own() -> str:
    try:
        return version_of("kmini")
    except PackageNotFoundError:
        return "0+uninstalled"


async def _server(options: object) -> dict[str, object]:
    from apiserver.client import requests

    from ..cluster.session import Options, opened

    assert isinstance(options, Options)
    async with opened(options) as session:
        return await session.api.json(requests.get("/version"))
