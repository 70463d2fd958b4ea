"""The root of the daemon's command line.

Commands are imported when they run, never before: `kmini version` must not pay for gRPC. What a command
raises becomes one line on stderr and an exit code here (kmini.errors), and nowhere else.
"""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any

import click

from .errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from .options import Invocation

#: name -> (module, attribute, help line): help is here so that `kmini -h` imports no command.
COMMANDS = {
    "up": ("kmini.commands.up", "up", "Start a server and a node on this machine, and show that they work."),
    "down": ("kmini.commands.down", "down", "Stop what `kmini up` started."),
    "status": ("kmini.commands.status", "status", "Say how the server, its cluster and the node are."),
    "doctor": ("kmini.commands.doctor", "doctor", "Check disk, clock, certificates, quorum and lag."),
    "server": ("kmini.commands.server", "server", "Run one replica in the foreground."),
    "agent": ("kmini.commands.agent", "agent", "Run the agent of one node, or many simulated nodes."),
    "controllers": ("kmini.commands.controllers", "controllers", "Run controllers and scheduler by themselves."),
    "cluster": ("kmini.commands.cluster", "cluster", "Run many hosts on this machine, and hurt them, for tests."),
    "dev": ("kmini.commands.dev", "dev", "Run a control plane with temporary data, for tests."),
    "snapshot": ("kmini.commands.snapshot", "snapshot", "Save, verify and restore a backup."),
    "recover": ("kmini.commands.recover", "recover", "Start again from what a damaged replica still has."),
    "token": ("kmini.commands.token", "token", "Create, list and revoke the tokens that machines join with."),
    "keys": ("kmini.commands.keys", "keys", "Rotate the keys under which Secrets are encrypted at rest."),
    "pki": ("kmini.commands.pki", "pki", "Make the keys and certificates that replicas share."),
    "version": ("kmini.commands.version", "version", "Print the version."),
}


class LazyGroup(click.Group):
    """A group whose commands live in `COMMANDS` and are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _help = COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def root() -> None:
    """Run kmini's daemons. Every flag can be set as KMINI_FLAG or in --config FILE; flag > env > file."""


def _fail(message: str) -> None:
    click.echo("error: " + " ".join(message.split()), err=True)


def _cause(error: BaseException) -> BaseException:
    """Of tasks that failed together, the first one's error: the others were ended for it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    invocation = Invocation()
    try:
        result: Any = root.main(arguments, prog_name="kmini", standalone_mode=False, obj=invocation)
    except click.exceptions.Exit as caught:
        return caught.exit_code
    except click.Abort:
        _fail("interrupted")
        return 128 + 2
    except click.exceptions.NoArgsIsHelpError as caught:
        click.echo(caught.format_message(), err=True)
        return EXIT_USAGE
    except click.ClickException as caught:
        _fail(caught.format_message())
        return EXIT_USAGE if isinstance(caught, click.UsageError) else EXIT_FAILED
    except Exception as caught:
        if invocation.debug:
            traceback.print_exc()
        cause = _cause(caught)
        _fail(str(cause) if isinstance(cause, CommandError) else f"{type(cause).__name__}: {cause}")
        return cause.exit_code if isinstance(cause, CommandError) else EXIT_FAILED
    return result if isinstance(result, int) else EXIT_OK


def main() -> None:
    sys.exit(run(sys.argv[1:]))
