"""`kmini cluster`: many hosts on this machine, and what can be done to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..addresses import Duration
from ..errors import EXIT_FAILED, EXIT_OK, CommandError
from ..options import command, option, output_option

if TYPE_CHECKING:
    from ..cluster import Cluster


@click.group("cluster", context_settings={"help_option_names": ["-h", "--help"]})
def cluster() -> None:
    """Many hosts on this machine, and what can be done to them.

    A host is a network namespace and a cgroup; all hang on one bridge and are reached from here. Needs root.
    """


def _folder_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return option(
        "--dir", "folder", type=click.Path(file_okay=False, path_type=Path), required=True, help="The cluster's folder."
    )(function)


def _timeout_option(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--timeout", type=Duration(), default="60s", help="How long to wait until it is ready.", show_default=True
    )(function)


def _opened(folder: Path, **wish: Any) -> Cluster:
    from ..cluster import Cluster

    return Cluster(folder, say=lambda line: click.echo(line, err=True), **wish)


@command("up")
@_folder_option
@click.option("--servers", type=int, default=3, help="Hosts with a control-plane replica.", show_default=True)
@click.option("--nodes", type=int, default=0, help="Hosts with a node agent.", show_default=True)
@click.option(
    "--runtime",
    type=click.Choice(["containerd", "fake"]),
    default="containerd",
    help="What nodes run pods with: real containers, or nothing but the look of them.",
    show_default=True,
)
@click.option("--images", is_flag=True, help="Keep each host's disk in an image of its own, which can lose power.")
@click.option("--tmpfs", is_flag=True, help="Keep the hosts' disks in memory: faster, and gone with `down`.")
@_timeout_option
@output_option
def up(
    folder: Path, servers: int, nodes: int, runtime: str, images: bool, tmpfs: bool, timeout: float, output: str
) -> None:
    """Start a cluster and wait until it is ready. Idempotent."""
    found = _opened(folder, servers=servers, nodes=nodes, runtime=runtime, images=images, tmpfs=tmpfs)
    started = found.up(timeout_s=timeout)
    if output == "json":
        _report(found, output)
        return
    click.echo(f"the cluster in {found.files.folder} {'is ready' if started else 'runs already'}")
    click.echo(f"  export KUBECONFIG={found.kubeconfig}")
    click.echo(f"See how it is: kmini cluster status --dir {found.files.folder}")
    click.echo(f"Stop it:       kmini cluster down --dir {found.files.folder}")


@command("down")
@_folder_option
@click.option("--purge", is_flag=True, help="Remove its data too.")
def down(folder: Path, purge: bool) -> None:
    """Remove every process, namespace, link, cgroup and mount of a cluster. Idempotent."""
    found = _opened(folder)
    stopped = found.down(purge=purge)
    click.echo(f"the cluster in {found.files.folder} is down" if stopped else f"nothing runs in {found.files.folder}")
    if purge:
        click.echo(f"removed the data in {found.files.folder}")


@command("status")
@_folder_option
@output_option
def status(folder: Path, output: str) -> int:
    """Say how the hosts are. Exit code 1 when anything is not as it should be."""
    return EXIT_OK if _report(_opened(folder), output) else EXIT_FAILED


def _report(found: Cluster, output: str) -> bool:
    """Whether all is well."""
    from ..cluster import report

    facts = report.look(found.state, found.files)
    click.echo(report.as_json(facts) if output == "json" else report.as_text(facts))
    return facts.healthy


@command("kubeconfig")
@_folder_option
def kubeconfig(folder: Path) -> None:
    """Print the admin's kubeconfig: one context per server. It lies in DIR/kubeconfig."""
    path = _opened(folder).kubeconfig
    try:
        click.echo(path.read_text(encoding="utf-8"), nl=False)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error


@command("partition")
@_folder_option
@click.argument("hosts", nargs=-1, metavar="[HOST[,HOST...] [HOST[,HOST...]]]")
@click.option("--from", "sender", metavar="HOST[,HOST...]", help="One way: what these send ...")
@click.option("--to", "receiver", metavar="HOST[,HOST...]", help="... to these is lost.")
def partition(folder: Path, hosts: tuple[str, ...], sender: str | None, receiver: str | None) -> None:
    """Lose what hosts send each other, without a word: A from all others, A from B, or one way by --from and --to.

    `outside` stands for the root namespace of this machine.
    """
    if (sender is None) != (receiver is None):
        raise click.UsageError("--from and --to go together")
    if (sender is None) == (not hosts) or len(hosts) > 2:
        raise click.UsageError("name one or two hosts (or lists of them), or --from and --to")
    found = _opened(folder)
    if sender is not None and receiver is not None:
        found.partition(_listed(sender), _listed(receiver), one_way=True)
        click.echo(f"what {sender} sends to {receiver} is lost")
    else:
        found.partition(_listed(hosts[0]), _listed(hosts[1]) if len(hosts) == 2 else None)
        click.echo(f"{hosts[0]} is cut off from {hosts[1] if len(hosts) == 2 else 'all other hosts'}")


@command("heal")
@_folder_option
@click.argument("hosts", nargs=-1, metavar="[HOST[,HOST...] [HOST[,HOST...]]]")
def heal(folder: Path, hosts: tuple[str, ...]) -> None:
    """End all cuts, those of A, or those between A and B."""
    if len(hosts) > 2:
        raise click.UsageError("name at most two hosts (or lists of them)")
    _opened(folder).heal(*(_listed(each) for each in hosts))
    click.echo("healed")


@command("kill")
@_folder_option
@click.argument("host")
@click.option("--process", help="Only this daemon of the host: server, agent or containerd.")
def kill(folder: Path, host: str, process: str | None) -> None:
    """kill -9 everything in a host, or one daemon."""
    _opened(folder).kill(host, process=process)
    click.echo(f"{process or 'everything'} on {host} is killed")


@command("power-off")
@_folder_option
@click.argument("host")
def power_off(folder: Path, host: str) -> None:
    """Pull a host's plug: what it did not sync is lost. `start` boots it again. Needs `up --images`."""
    _opened(folder).power_off(host)
    click.echo(f"{host} has no power")


@command("start")
@_folder_option
@click.argument("host")
@_timeout_option
def start(folder: Path, host: str, timeout: float) -> None:
    """Start what does not run in a host, and wait until it is ready."""
    found = _opened(folder)
    found.start(host)
    found.wait_ready(host, timeout_s=timeout)


@command("restart")
@_folder_option
@click.argument("host")
@_timeout_option
def restart(folder: Path, host: str, timeout: float) -> None:
    """Stop a host's daemon in good order, start it again, and wait until it is ready."""
    found = _opened(folder)
    found.restart(host)
    found.wait_ready(host, timeout_s=timeout)


@command("pause")
@_folder_option
@click.argument("host")
def pause(folder: Path, host: str) -> None:
    """Freeze everything in a host."""
    _opened(folder).pause(host)
    click.echo(f"{host} is paused")


@command("resume")
@_folder_option
@click.argument("host")
def resume(folder: Path, host: str) -> None:
    """Let a paused host go on."""
    _opened(folder).resume(host)
    click.echo(f"{host} goes on")


@command("run", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@_folder_option
@click.argument("host")
@click.argument("argv", nargs=-1, required=True, metavar="COMMAND [ARGUMENT ...]", type=click.UNPROCESSED)
def run(folder: Path, host: str, argv: tuple[str, ...]) -> int:
    """Run a command in a host, with this terminal; its exit code is ours. Put -- before the command."""
    with _opened(folder).popen(host, argv) as process:
        code = process.wait()
    return code if code >= 0 else 128 - code


def _listed(value: str) -> list[str]:
    return [name for name in value.split(",") if name]


for each in (up, down, status, kubeconfig, partition, heal, kill, power_off, start, restart, pause, resume, run):
    cluster.add_command(each)
