"""`kmini server`: one control-plane replica in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..addresses import PORT, PORT_OR_OFF, Address, Cluster, Duration, Name
from ..controlling import ControlledType
from ..options import Invocation, command, data_dir_option, log_format_option, option

_folder = click.Path(file_okay=False, path_type=Path)


@command("server")
@option("--name", type=Name(), required=True, help="This replica's name in its cluster.")
@data_dir_option
@option("--state-dir", type=_folder, help="Where the state's cache lies, for instance on tmpfs. [default: DIR/state]")
@option("--bind", type=Address(), default="0.0.0.0", help="Address to listen on.")
@option("--advertise-address", type=Address(), help="Address the others reach this replica at.")
@option("--tls-san", multiple=True, help="A further name or address for the serving certificate. Repeatable.")
@option("--api-port", type=PORT, default=6443, help="The Kubernetes API, health and metrics.")
@option("--peer-port", type=PORT, default=2380, help="Where the other replicas connect.")
@option("--etcd-port", type=PORT_OR_OFF, default=2379, help="The etcd v3 face; 0 turns it off.")
@option("--ca-dir", type=_folder, help="What `kmini pki init` made; every replica of a cluster gets the same.")
@option("--initial-cluster", type=Cluster(), help="All replicas of the cluster, the same list on each.")
@option("--join", help="https://address:port of a server of the cluster to join; with --token-file.")
@option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds a server token of that cluster.")
@option("--token-auth-file", type=click.Path(dir_okay=False, path_type=Path), help="CSV of token,user,uid,groups.")
@option("--trace-endpoint", help="OTLP over HTTP: where traces of requests go. [default: none are made]")
@option("--service-cidr", default="10.96.0.0/16", help="Its first address goes into the serving certificate.")
@option("--cluster-cidr", default="10.244.0.0/16", help="Nodes get the ranges of their pods from it.")
@option("--cluster-domain", default="cluster.local", help="Names under it go into the serving certificate.")
@option("--controllers", type=ControlledType(), default="in-process", help="Where controllers and scheduler run.")
@option("--snapshot-every", type=Duration(), default="12h", help="Scheduled backups; 0 turns them off.")
@option("--snapshot-keep", type=click.IntRange(1), default=5, help="How many scheduled backups are kept.")
@option("--snapshot-dir", type=_folder, help="Where they go. [default: DIR/snapshots]")
@log_format_option
@click.pass_context
def server(context: click.Context, /, log_format: str, **flags: Any) -> int:
    """Run one replica of the control plane in the foreground until SIGTERM.

    What runs is the store, the Kubernetes API, the etcd v3 face, and, on the replica that leads, controllers and
    scheduler.
    """
    from .. import collector

    collector.starting()
    from .. import logs
    from ..serving import ServerOptions, run

    logs.set_up(log_format, debug=context.find_root().ensure_object(Invocation).debug)
    try:
        options = ServerOptions.from_flags(**flags)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return run(options)
