"""`python -m kmini.bench store [--quick] [-o json]`: what `make bench-store` calls."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import uvloop

from . import etcd, machine, report
from .measure import Plan, Run
from .process import disk_folder
from .rows import rows


@click.group()
def main() -> None:
    """Benchmarks beside a peer, in one run on one machine."""


@main.command()
@click.option("--quick", is_flag=True, help="Under 3 minutes: shorter loads, fewer keys and kills.")
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--dir", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder on a disk."
)
@click.option(
    "--results", type=click.Path(file_okay=False, path_type=Path), default=Path("bench-results"), show_default=True
)
def store(*, quick: bool, output: str, folder: Path | None, results: Path) -> None:
    """The store beside Debian's etcd: three durable members each."""
    try:
        etcd.require_tools()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            data, text = runner.run(_store(Plan.quick() if quick else Plan(), folder))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted: clusters ended, folders removed", err=True)
        sys.exit(1)
    except Exception as error:
        click.echo(f"error: {type(error).__name__}: {error}", err=True)
        sys.exit(1)
    path = report.write(data, results, at=datetime.now(UTC))
    click.echo(json.dumps(data, indent=2) if output == "json" else text)
    click.echo(f"written to {path}", err=True)


async def _store(plan: Plan, folder: Path | None) -> tuple[dict[str, Any], str]:
    """Run, and give the result as data and as text. A SIGTERM ends it in order, as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with disk_folder(folder) as data_folder:
        facts = machine.facts(data_folder)
        record = await Run(plan, data_folder, lambda text: click.echo(text, err=True)).all()
    made = rows(record, plan)
    setup = {
        "members": 3,
        "value_bytes": 1024,
        "etcd": etcd.version(),
        "peers": "mTLS between members of both",
        "clients": "h2c on loopback (gRPC), in process (ours)",
        "plan": plan,
    }
    text = "\n\n".join((f"{machine.described(facts)}; etcd {setup['etcd']}", report.table(made), report.notes(made)))
    return report.document(made, machine=facts, setup={**setup, "plan": _plain(plan)}), text


def _plain(plan: Plan) -> dict[str, float]:
    return {name: getattr(plan, name) for name in plan.__struct_fields__}


if __name__ == "__main__":
    main()
