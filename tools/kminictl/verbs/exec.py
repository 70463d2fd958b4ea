"""`kminictl exec` and `attach`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from ..command import Verb, after_dash, switch, verb
from ..failures import CommandError, Silent

if TYPE_CHECKING:
    from ..cluster.commands import Streams
    from ..cluster.session import Session


@click.command("exec", cls=Verb)
@click.argument("words", nargs=-1)
@click.option("-c", "--container", default="", help="Container of the pod.")
@switch("-i", "--stdin", help="Pass standard input on.")
@switch("-t", "--tty", help="With a terminal.")
@switch("-q", "--quiet", help="Say nothing of one's own.")
@click.option("--pod-running-timeout", default="1m0s", hidden=True)
@verb
async def exec_(session: Session, words: tuple[str, ...], **given: Any) -> None:
    """Run a command in a container: exec POD [-c CONTAINER] -- COMMAND [ARGUMENTS...]."""
    from ..cluster.commands import run
    from ..cluster.pods import container_of, pod_of

    count = after_dash()
    if count is None and len(words) > 1:
        raise CommandError(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"
            "See 'kminictl exec -h' for help and examples"
        )
    names, command = words[: len(words) - (count or 0)], list(words[len(words) - (count or 0) :])
    if not names:
        raise CommandError("pod, type/name or --filename must be specified")
    if not command:
        raise CommandError("you must specify at least one command for the container")
    pod = await pod_of(session, names[0], verb="exec")
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CommandError(f"cannot exec into a container in a completed pod; current phase is {phase}")
    container = container_of(session, pod, given["container"], quiet=given["quiet"])
    metadata = pod["metadata"]
    tty, streams = streams_of(session, stdin=given["stdin"], tty=given["tty"])
    with tty:
        code = await run(session, metadata["name"], metadata["namespace"], container, command, streams)
    if code:
        if not given["quiet"]:
            session.tell(f"command terminated with exit code {code}")
        raise Silent(code)


@click.command("attach", cls=Verb)
@click.argument("word")
@click.option("-c", "--container", default="", help="Container of the pod.")
@switch("-i", "--stdin", help="Pass standard input on.")
@switch("-t", "--tty", help="With a terminal.")
@switch("-q", "--quiet", help="Say nothing of one's own.")
@click.option("--pod-running-timeout", default="1m0s", hidden=True)
@verb
async def attach(session: Session, word: str, **given: Any) -> None:
    """Attach to a running container: attach POD [-c CONTAINER]."""
    from ..cluster.pods import container_of, pod_of

    pod = await pod_of(session, word, verb="attach")
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed"):
        raise CommandError(f"cannot attach a container in a completed pod; current phase is {phase}")
    container = container_of(session, pod, given["container"], quiet=given["quiet"])
    if not given["quiet"]:
        session.tell(
            "All commands and output from this session will be recorded in container logs, including credentials and "
            "sensitive information passed through the command prompt.\n"
            "If you don't see a command prompt, try pressing enter."
        )
    metadata = pod["metadata"]
    await attach_to(session, metadata["name"], metadata["namespace"], container, stdin=given["stdin"], tty=given["tty"])


async def attach_to(session: Session, pod: str, namespace: str, container: str, *, stdin: bool, tty: bool) -> None:
    from ..cluster.commands import attach as join

    terminal, streams = streams_of(session, stdin=stdin, tty=tty)
    with terminal:
        code = await join(session, pod, namespace, container, streams)
    if code:
        raise Silent(code)


def streams_of(session: Session, *, stdin: bool, tty: bool) -> tuple[Any, Streams]:
    """This process's own, and what puts its terminal into raw mode when there is to be one."""
    from ..cluster.commands import Streams
    from ..cluster.terminal import raw_terminal, sizes, standard_input

    is_terminal = sys.stdin.isatty()
    if tty and not is_terminal:
        session.tell("Unable to use a TTY - input is not a terminal or the right kind of file")
        tty = False
    streams = Streams(
        stdin=standard_input() if stdin else None,
        stdout=_writer(sys.stdout),
        stderr=_writer(sys.stderr),
        tty=tty,
        sizes=sizes() if tty and sys.stdout.isatty() else None,
    )
    return (raw_terminal() if tty and stdin else nullcontext()), streams


def _writer(stream: Any) -> Any:
    def write(data: bytes) -> None:
        stream.buffer.write(data)
        stream.buffer.flush()

    return write
