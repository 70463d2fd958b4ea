"""`kmini doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import EXIT_FAILED, EXIT_OK
from ..layout import Layout
from ..options import command, data_dir_option, output_option

SIGNS = {"ok": "  ok    ", "warning": "  WARN  ", "bad": "  BAD   "}


@command("doctor")
@data_dir_option
@output_option
def doctor(data_dir: Path, output: str) -> int:
    """Check disk, clock, certificates, quorum and lag, and say what to do. Exit code 1 when something is bad."""
    import msgspec

    from ..checkup import examine

    findings = examine(Layout(data_dir.absolute()))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        for finding in findings:
            click.echo(f"{SIGNS[finding.level]} {finding.check}: {finding.says}")
            if finding.do:
                click.echo(f"          → {finding.do}")
    return EXIT_FAILED if any(finding.level == "bad" for finding in findings) else EXIT_OK
