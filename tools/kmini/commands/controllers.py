"""`kmini controllers`: controllers and scheduler as a process of their own, anywhere the API can be reached from."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..addresses import PORT_OR_OFF, Address, Name
from ..errors import EXIT_OK, CommandError
from ..options import Invocation, command, log_format_option, option

if TYPE_CHECKING:
    from controlplane.runtime.options import Options


@command("controllers")
@option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Of a user with the rights of ClusterRole system:kmini:controllers.",
)
@option("--name", type=Name(), help="Of this candidate in the election. [default: the machine's]")
@option("--without", multiple=True, help="A controller that is left out. Repeatable.")
@option("--cluster-cidr", default="10.244.0.0/16", help="Nodes get the ranges of their pods from it.")
@option("--service-cidr", default="10.96.0.0/16", help="Services with an address from elsewhere are told so.")
@option("--bind", type=Address(), default="127.0.0.1", help="Address to listen on, with --metrics-port.")
@option("--metrics-port", type=PORT_OR_OFF, default=0, help="Health, and metrics for bearer tokens. 0: off")
@click.option("--parent", type=int, hidden=True, help="End when this process does.")
@log_format_option
@click.pass_context
def controllers(
    context: click.Context,
    /,
    kubeconfig: Path,
    name: str | None,
    without: tuple[str, ...],
    cluster_cidr: str,
    service_cidr: str,
    bind: str,
    metrics_port: int,
    parent: int | None,
    log_format: str,
) -> int:
    """Run all controllers and the scheduler in the foreground until SIGTERM; of several such processes one works."""
    from .. import logs
    from ..controlling import go_with_parent

    logs.set_up(log_format, debug=context.find_root().ensure_object(Invocation).debug)
    if parent is not None:
        go_with_parent(parent)
    import uvloop

    identity, options = name or socket.gethostname(), _options(cluster_cidr, service_cidr)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(kubeconfig, identity, without, options, bind, metrics_port))
    return EXIT_OK


def _options(cluster_cidr: str, service_cidr: str) -> Options:
    """Raises CommandError: what no controller can work with is better said now than in every term."""
    from controlplane.controllers.node_ipam import ranges_of
    from controlplane.runtime.options import Options

    options = Options(cluster_cidr=cluster_cidr, service_cidr=service_cidr)
    try:
        ranges_of(options)
    except ValueError as error:
        raise CommandError(f"--cluster-cidr: {error}") from error
    try:
        ipaddress.ip_network(service_cidr)
    except ValueError as error:
        raise CommandError(f"--service-cidr: {error}") from error
    return options


async def _run(
    kubeconfig: Path, identity: str, without: tuple[str, ...], options: Options, bind: str, port: int
) -> None:
    from apiserver.client import Client
    from controlplane.controllers import load, makers
    from controlplane.runtime.manager import Manager

    try:
        chosen, client = makers(without=without), Client.from_kubeconfig(kubeconfig, user_agent="kmini-controllers")
    except ValueError as error:
        raise CommandError(str(error)) from error
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with client, AsyncExitStack() as stack:
        manager = Manager(client, chosen, identity=identity, options=options, load=load)
        if port:
            from ..controllers_port import Port

            await stack.enter_async_context(Port(manager, client, identity).serve(bind, port))
        running = asyncio.create_task(manager.run(), name="controllers")
        waiting = asyncio.create_task(stopping.wait(), name="signal")
        click.echo(f"{identity} campaigns")
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            for task in (running, waiting):
                task.cancel()
            await asyncio.gather(running, waiting, return_exceptions=True)
