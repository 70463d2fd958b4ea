"""What a command can fail with, and the exit code it leaves.

    CommandError          1: it failed; the message says what happened, to what, and what to do
    +-- NotReady          3: it did not become ready in time
    click.UsageError      2: bad usage: a flag, an environment variable or the configuration file

A user sees one line on stderr and never a traceback, unless `--debug` is given.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_READY = 3


class CommandError(Exception):
    """The command failed; `str()` is the line the user sees."""

    exit_code = EXIT_FAILED


class NotReady(CommandError):
    """Something did not become ready within its time."""

    exit_code = EXIT_NOT_READY
