"""`kmini agent`: one node's agent in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..addresses import PORT_OR_OFF
from ..options import Invocation, command, data_dir_option, log_format_option, option

_file = click.Path(dir_okay=False, path_type=Path)


@command("agent")
@option("--server", help="https://address:port of the servers, separated by commas.")
@option("--token-file", type=_file, help="Holds an agent token of the cluster; needed to join, not afterwards.")
@option("--kubeconfig", type=_file, help="Act as its user instead of joining: for tests and simulated nodes.")
@option("--node-name", required=True, help="Of this node; simulated ones are NAME-1, NAME-2, ...")
@data_dir_option
@option("--runtime", type=click.Choice(["containerd", "fake"]), default="containerd", help="What runs containers.")
@option("--containerd-socket", type=_file, help="Of a containerd that runs already. [default: a private one]")
@option("--cgroup", help="Control group of the node, with those of its pods below. [default: /NAME]")
@option("--overlay", type=click.Choice(["host-gw", "vxlan", "none"]), default="host-gw", help="Between nodes.")
@option("--node-port", type=PORT_OR_OFF, default=10250, help="Where the node's own API listens (0: off).")
@option("--simulate", type=click.IntRange(1, 10_000), help="So many nodes in this process; with --runtime fake.")
@log_format_option
@click.pass_context
def agent(context: click.Context, /, log_format: str, runtime: str, simulate: int | None, **flags: Any) -> int:
    """Run the agent of one node in the foreground until SIGTERM. Its containers stay when it ends.

    With `--simulate COUNT` many simulated nodes share this process. They act through one identity, which must be
    allowed to act for all of them: `--kubeconfig` of an administrator.
    """
    from .. import collector

    node_name = _checked_name(flags["node_name"])
    servers = _checked_servers(flags["server"])
    if simulate and runtime != "fake":
        raise click.UsageError("--simulate goes with --runtime fake")
    if simulate and flags["kubeconfig"] is None:
        raise click.UsageError("--simulate needs --kubeconfig of an administrator: no node may act for others")
    if flags["kubeconfig"] is None and not servers:
        raise click.UsageError("--server says where the cluster is")
    if flags["kubeconfig"] is not None and flags["token_file"] is not None:
        raise click.UsageError("--kubeconfig goes without --token-file: it is an identity already")
    if runtime == "fake" and flags["containerd_socket"] is not None:
        raise click.UsageError("--containerd-socket goes with --runtime containerd")
    collector.starting()
    collector.one_arena()
    from .. import logs
    from ..agent import AgentSettings, run

    logs.set_up(log_format, debug=context.find_root().ensure_object(Invocation).debug)
    settings = AgentSettings(
        servers=servers,
        token_file=flags["token_file"],
        kubeconfig=flags["kubeconfig"],
        node_name=node_name,
        data_dir=flags["data_dir"].absolute(),
        node_port=flags["node_port"],
        simulate=simulate or 0,
        containerd=runtime == "containerd",
        containerd_socket=flags["containerd_socket"],
        cgroup=_checked_group(flags["cgroup"] or f"/{node_name}"),
        overlay=flags["overlay"],
    )
    return run(settings)


def _checked_name(name: str) -> str:
    from apiserver.api.names import is_dns_subdomain

    problems = is_dns_subdomain(name)
    if problems:
        raise click.BadParameter(problems[0], param_hint="--node-name")
    return name


def _checked_group(text: str) -> str:
    parts = text.split("/")
    if parts[0] or len(parts) < 2 or any(each in ("", ".", "..") for each in parts[1:]):
        raise click.BadParameter("a path from the top of the hierarchy, such as /n1", param_hint="--cgroup")
    return text


def _checked_servers(text: str | None) -> tuple[str, ...]:
    from apiserver.client.servers import base_address

    try:
        return tuple(base_address(each) for each in (text or "").split(",") if each.strip())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--server") from error
