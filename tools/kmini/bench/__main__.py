"""`python -m kmini.bench store|api|sched|pods [--quick] [-o json]`: what `make bench-store` and its like call."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import uvloop

from . import api_kube, api_pods, api_rows, etcd, machine, pods_rows, report, sched_rows, wrk
from .api_measure import ApiPlan, ApiRun
from .measure import Plan, Run
from .pods_measure import PodsPlan, PodsRun
from .pods_measure import setup as pods_setup
from .pods_node import own_network
from .process import disk_folder
from .rows import rows
from .sched_measure import SchedPlan, SchedRun
from .sched_measure import setup as sched_setup


@click.group()
def main() -> None:
    """Benchmarks beside a peer, in one run on one machine."""


Ran = tuple[dict[str, Any], str]


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """The options that every benchmark has."""
    for option in (
        click.option("--quick", is_flag=True, help="Under 3 minutes: shorter loads, fewer repetitions."),
        click.option("-o", "output", type=click.Choice(["text", "json"]), default="text", show_default=True),
        click.option(
            "--dir", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder on a disk."
        ),
        click.option(
            "--results",
            type=click.Path(file_okay=False, path_type=Path),
            default=Path("bench-results"),
            show_default=True,
        ),
    ):
        function = option(function)
    return function


@main.command()
@_command
def store(*, quick: bool, output: str, folder: Path | None, results: Path) -> None:
    """The store beside Debian's etcd: three durable members each."""
    _measure(lambda: _store(Plan.quick() if quick else Plan(), folder), output, results)


@main.command()
@_command
def api(*, quick: bool, output: str, folder: Path | None, results: Path) -> None:
    """The API beside a bare hello of the same server stack, and Debian's etcd: three durable replicas each.

    A kube-apiserver on PATH is measured too, before that etcd.
    """
    _measure(lambda: _api(ApiPlan.quick() if quick else ApiPlan(), folder), output, results)


@main.command()
@_command
def sched(*, quick: bool, output: str, folder: Path | None, results: Path) -> None:
    """The scheduler: alone, and through the API of one replica; and what a cluster costs that does nothing."""
    _measure(lambda: _sched(SchedPlan.quick() if quick else SchedPlan(), folder), output, results, beside_etcd=False)


@main.command()
@_command
def pods(*, quick: bool, output: str, folder: Path | None, results: Path) -> None:
    """Pods on one node with real containers, through the API and beside the bare calls of the CRI. Needs root."""
    own_network()
    _measure(lambda: _pods(PodsPlan.quick() if quick else PodsPlan(), folder), output, results, beside_etcd=False)


def _measure(
    work: Callable[[], Coroutine[Any, Any, Ran]], output: str, results: Path, *, beside_etcd: bool = True
) -> None:
    """Run, print and keep what came out. Ends the program with 1 when nothing did."""
    try:
        if beside_etcd:
            etcd.require_tools()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            data, text = runner.run(work())
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("interrupted: clusters ended, folders removed", err=True)
        sys.exit(1)
    except Exception as error:
        click.echo(f"error: {type(error).__name__}: {error}", err=True)
        sys.exit(1)
    path = report.write(data, results, at=datetime.now(UTC))
    click.echo(json.dumps(data, indent=2) if output == "json" else text)
    click.echo(f"written to {path}", err=True)


def _end_in_order() -> None:
    """A SIGTERM ends the run as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _store(plan: Plan, folder: Path | None) -> Ran:
    """Run, and give the result as data and as text."""
    _end_in_order()
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


async def _api(plan: ApiPlan, folder: Path | None) -> Ran:
    """As `_store`."""
    wrk.require()
    _end_in_order()
    with disk_folder(folder) as data_folder:
        facts = machine.facts(data_folder)
        kube = api_kube.found()
        record = await ApiRun(plan, data_folder, lambda text: click.echo(text, err=True), kube).all()
    made = api_rows.rows(record, plan)
    setup = {
        "replicas": 3,
        "etcd": etcd.version(),
        "kube-apiserver": api_kube.version(kube) if kube else None,
        "pod_bytes": len(api_pods.pod(api_pods.pod_name(0))),
        "clients": "wrk over TLS with a ServiceAccount's token, and RBAC",
        "plan": _plain(plan),
    }
    peers = f"etcd {etcd.version()}; kube-apiserver {setup['kube-apiserver'] or 'not there'}"
    about = f"{machine.described(facts)}; {peers}"
    text = "\n\n".join((about, report.table(made), report.notes(made)))
    return report.document(made, machine=facts, setup=setup, benchmark="api"), text


async def _sched(plan: SchedPlan, folder: Path | None) -> Ran:
    """As `_store`."""
    _end_in_order()
    with disk_folder(folder) as data_folder:
        facts = machine.facts(data_folder)
        record = await SchedRun(plan, data_folder, lambda text: click.echo(text, err=True)).all()
    made = sched_rows.rows(record, plan)
    text = "\n\n".join((machine.described(facts), report.table(made), report.notes(made)))
    return report.document(made, machine=facts, setup=sched_setup(plan), benchmark="sched"), text


async def _pods(plan: PodsPlan, folder: Path | None) -> Ran:
    """As `_store`."""
    _end_in_order()
    with disk_folder(folder) as data_folder:
        facts = machine.facts(data_folder)
        record = await PodsRun(plan, data_folder, lambda text: click.echo(text, err=True)).all()
    made = pods_rows.rows(record, plan)
    text = "\n\n".join((machine.described(facts), report.table(made), report.notes(made)))
    return report.document(made, machine=facts, setup=pods_setup(plan), benchmark="pods"), text


def _plain(plan: Plan | ApiPlan) -> dict[str, float]:
    return {name: getattr(plan, name) for name in plan.__struct_fields__}


if __name__ == "__main__":
    main()
