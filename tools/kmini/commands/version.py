"""`kmini version`."""

from __future__ import annotations

import json
import platform

import click

from ..options import command, output_option


def package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kmini")
    except PackageNotFoundError:
        return "0+uninstalled"


@command("version")
@output_option
def version(output: str) -> None:
    """Print the version."""
    facts = {"version": package_version(), "python": platform.python_version(), "machine": platform.machine()}
    if output == "json":
        click.echo(json.dumps(facts))
    else:
        click.echo(f"kmini {facts['version']} (Python {facts['python']}, {facts['machine']})")
