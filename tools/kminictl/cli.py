"""The root of the client's command line: one file per verb family hangs below it.

There is no API server yet, so there are no verbs yet: only `version` works, and the help says so.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API server is not built yet: until it is, use etcdctl or `kmini status` against the store.",
)
def main() -> None:
    """Talk to a kmini cluster the way kubectl does."""


@main.command("version")
def version_command() -> None:
    """Print the version of this client."""
    try:
        click.echo(f"kminictl {version('kmini')}")
    except PackageNotFoundError:
        click.echo("kminictl 0+uninstalled")
