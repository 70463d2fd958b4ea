"""`kmini up` and `kmini down`: one replica in the background, shown to work, and stopped."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ..addresses import PORT
from ..errors import CommandError
from ..layout import Layout, Running
from ..options import command, data_dir_option, option

NAME = "n1"
DEMO_KEY = b"kmini/hello"


@command("up")
@data_dir_option
@option("--api-port", type=PORT, default=6443, help="The Kubernetes API, health and metrics.")
@option("--peer-port", type=PORT, default=2380, help="Where the other replicas connect.")
@option("--etcd-port", type=PORT, default=2379, help="The etcd v3 face.")
@click.option("--foreground", is_flag=True, help="Run it here instead of in the background.")
def up(data_dir: Path, api_port: int, peer_port: int, etcd_port: int, foreground: bool) -> int | None:
    """Start one replica in the background and show that it works. Idempotent.

    There is no API server, controller or node agent yet: what runs is the store with its etcd v3 face.
    """
    layout = Layout(data_dir.absolute())
    arguments = ["--name", NAME, "--data-dir", str(layout.data_dir), "--api-port", str(api_port)]
    arguments += ["--peer-port", str(peer_port), "--etcd-port", str(etcd_port)]
    if foreground:
        from .server import server

        with server.make_context("server", arguments, parent=click.get_current_context().parent) as context:
            code: int | None = server.invoke(context)
            return code
    from ..supervise import start

    running = layout.running()
    if running is None:
        running = start(layout, arguments)
        click.echo(f"started {running.name} as process {running.pid}, data in {layout.data_dir}")
    else:
        click.echo(f"{running.name} runs already as process {running.pid}, data in {layout.data_dir}")
    show_it_works(layout, running)
    show_how_to_use_it(layout, running)
    return None


@command("down")
@data_dir_option
@click.option("--purge", is_flag=True, help="Remove its data too.")
def down(data_dir: Path, purge: bool) -> None:
    """Stop the replica that runs in the data directory. Idempotent."""
    from .. import supervise

    layout = Layout(data_dir.absolute())
    pid = supervise.stop(layout, warn=lambda message: click.echo(f"warning: {message}", err=True))
    click.echo(f"stopped process {pid}" if pid else f"nothing runs in {layout.data_dir}")
    if purge:
        supervise.purge(layout)
        click.echo(f"removed the data in {layout.data_dir}")


def show_it_works(layout: Layout, running: Running) -> None:
    """One put and one get over the etcd face. Raises CommandError when what comes back is not what went in."""
    if not running.etcd_port:
        click.echo("its etcd face is off (--etcd-port 0), so there is nothing to show")
        return
    from ..client import EtcdClient

    value = time.strftime("hello at %Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
    with EtcdClient(running.etcd_address, layout.pki) as client:
        put = client.put(DEMO_KEY, value)
        got = client.range(DEMO_KEY)
    if [kv.value for kv in got.kvs] != [value]:
        raise CommandError(f"put {value!r} at {DEMO_KEY!r} and got {[kv.value for kv in got.kvs]!r}")
    click.echo(f"put {DEMO_KEY.decode()} = {value.decode()!r}: revision {put.header.revision}")
    click.echo(f"got {DEMO_KEY.decode()} = {got.kvs[0].value.decode()!r}: revision {got.kvs[0].mod_revision}")


def show_how_to_use_it(layout: Layout, running: Running) -> None:
    click.echo(
        f"""
Use it with etcdctl (Debian: apt-get install etcd-client):
  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://{running.etcd_address} ETCDCTL_CACERT={layout.pki}/ca.crt \\
         ETCDCTL_CERT={layout.pki}/admin.crt ETCDCTL_KEY={layout.pki}/admin.key
  etcdctl get --prefix kmini/
See how it is: kmini status --data-dir {layout.data_dir}
Stop it:       kmini down --data-dir {layout.data_dir}"""
    )
