"""`kmini dev`: a control plane for tests, in the foreground, gone without a trace when it ends."""

from __future__ import annotations

import click

from ..addresses import PORT
from ..controlling import Controlled, ControlledType
from ..errors import EXIT_OK, CommandError
from ..options import Invocation, command, option


@command("dev")
@option("--replicas", type=click.Choice(["1", "3"]), default="1", help="Of the control plane.")
@option("--port", type=PORT, help="The API's port on loopback. [default: a free one]")
@option("--controllers", type=ControlledType(), default="none", help="Where controllers and scheduler run.")
@click.pass_context
def dev(context: click.Context, /, replicas: str, port: int | None, controllers: Controlled) -> int:
    """Run a control plane with temporary data until SIGTERM or ^C; print KUBECONFIG=FILE once it is ready.

    What stands on stdin is done and answered in one line: `leader`, `partition [NAME...]`, `cut SENDER RECEIVER`,
    `pause NAME...`, `heal`.
    """
    from .. import logs
    from ..dev.console import Console
    from ..dev.control_plane import ControlPlane

    logs.set_up("text", debug=context.find_root().ensure_object(Invocation).debug, quiet=True)
    console = Console()
    try:
        with ControlPlane(replicas=int(replicas), port=port or 0, controllers=controllers) as plane:
            click.echo(f"KUBECONFIG={plane.kubeconfig}")
            console.run(plane)
    except OSError as error:
        raise CommandError(f"cannot start: {error.strerror or error}") from error
    return EXIT_OK
