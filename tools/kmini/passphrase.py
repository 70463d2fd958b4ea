"""Where a passphrase comes from: a file, the environment, or the person at the terminal; never the command line.

What is on a command line can be read by every user of the machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from .errors import CommandError

ENVIRONMENT = "KMINI_KEYS_PASSPHRASE"
FILE_BYTES_MAX = 4096


def passphrase_option(function: Callable[..., object]) -> Callable[..., object]:
    return click.option(
        "--passphrase-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help=f"Its first line is the passphrase. [default: {ENVIRONMENT}, else you are asked]",
    )(function)


def passphrase(file: Path | None, *, new: bool) -> str:
    """The passphrase of a file of keys. `new`: it is asked twice. Raises CommandError when there is none."""
    if file is not None:
        return _first_line(file)
    given = os.environ.get(ENVIRONMENT)
    if given:
        return given
    if not sys.stdin.isatty():
        raise CommandError(f"the keys need a passphrase: give --passphrase-file or set {ENVIRONMENT}")
    asked: str = click.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=new, err=True)
    return asked


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            lines = file.read(FILE_BYTES_MAX).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read a passphrase from {path}: {error}") from error
    if not lines or not lines[0]:
        raise CommandError(f"{path} holds no passphrase: its first line is empty")
    return lines[0]
