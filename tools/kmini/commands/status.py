"""`kmini status`: what runs in a data directory, and the cluster it sees."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import EXIT_FAILED, EXIT_OK
from ..layout import Layout
from ..options import command, data_dir_option, output_option


@command("status")
@data_dir_option
@output_option
def status(data_dir: Path, output: str) -> int:
    """Say how the server and its cluster, the node and the sample are. Exit code 1 when anything is not as it should
    be."""
    from ..up.report import as_json, as_text, report

    found = report(Layout(data_dir.absolute()))
    click.echo(as_json(found) if output == "json" else as_text(found))
    return EXIT_OK if found.healthy else EXIT_FAILED
