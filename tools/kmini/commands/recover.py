"""`kmini recover`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import EXIT_FAILED, EXIT_OK
from ..layout import Layout
from ..options import command, data_dir_option, option, output_option

if TYPE_CHECKING:
    from ..recovery import Holding


@command("recover")
@data_dir_option
@option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="As the server's. [default: DIR/state]")
@click.option("--accept-data-loss", is_flag=True, help="Do it; without this nothing is changed.")
@output_option
def recover(data_dir: Path, state_dir: Path | None, accept_data_loss: bool, output: str) -> int:
    """Make a new cluster of one member from what this replica still has.

    For a single replica with a damaged journal, or the last one of a cluster that lost its quorum for good.
    Without --accept-data-loss it says what it would keep, changes nothing and ends with exit code 1.
    """
    import msgspec

    from .. import recovery

    layout = Layout(data_dir.absolute(), state_dir.absolute() if state_dir else None)
    holding = recovery.examine(layout)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(holding), indent=2).decode())
    else:
        click.echo(_as_text(holding))
    if not accept_data_loss:
        click.echo("error: nothing was changed: run it again with --accept-data-loss", err=True)
        return EXIT_FAILED
    saved, aside = recovery.recover(layout)
    click.echo(f"recovered as a new cluster of one member; a backup of it is {saved}", err=output == "json")
    click.echo(f"the old files are in {aside}: remove them when all is well", err=output == "json")
    return EXIT_OK


def _as_text(holding: Holding) -> str:
    damage = f", damaged: {holding.damage}" if holding.damage else ""
    lines = [
        f"{holding.name}: member {holding.member_id} of cluster {holding.cluster_id}: {', '.join(holding.members)}",
        f"journal   entries {holding.journal_first_index} to {holding.journal_last_index}{damage}",
        f"state     {_at(holding.state_index, holding.state_revision) or 'none that can be trusted'}",
        f"snapshot  {_at(holding.snapshot_index, holding.snapshot_revision) or 'none'}",
    ]
    return "\n".join(lines)


def _at(index: int, revision: int) -> str:
    return f"at entry {index}, revision {revision}" if index else ""
