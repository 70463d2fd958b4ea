"""The root of the client's command line: one file per verb family hangs below it.

What kubectl has not comes first: `why`. For all other verbs the help names kubectl.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from .why import why


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The verbs that kubectl has too are not built yet: until they are, use kubectl with the same kubeconfig.",
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


main.add_command(why)
