"""`kminictl completion bash|zsh|fish`: the code that lets a shell complete verbs and options.

click asks the program itself, so what is completed is always what this version has.
"""

from __future__ import annotations

import click

from ..command import Verb

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_KMINICTL_COMPLETE"


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the code for a shell's completion: source <(kminictl completion bash)."""
    from click.shell_completion import get_completion_class

    from ..cli import root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, "kminictl", VARIABLE).source())
