"""`kmini down`: what `kmini up` started ends, with all that it made outside of its data directory."""

from __future__ import annotations

from pathlib import Path

import click

from ..layout import Layout, worked_on
from ..options import command, data_dir_option


@command("down")
@data_dir_option
@click.option("--purge", is_flag=True, help="Remove its data too.")
def down(data_dir: Path, purge: bool) -> None:
    """Stop the server and the node of the data directory, and all containers of the node. Idempotent.

    What is in the API stays: `kmini up` brings it back.
    """
    from .. import supervise
    from ..up.ending import bring_down

    layout = Layout(data_dir.absolute())
    if not layout.run.is_dir():
        click.echo(f"nothing runs in {layout.data_dir}")
    else:
        with worked_on(layout):
            bring_down(layout, say=click.echo, warn=lambda message: click.echo(f"warning: {message}", err=True))
    if purge:
        supervise.purge(layout)
        click.echo(f"removed the data in {layout.data_dir}")
