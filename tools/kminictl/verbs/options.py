"""Options that many verbs take, written once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..command import loose, switch
from ..failures import CommandError

F = TypeVar("F", bound=Callable[..., Any])

FIELD_MANAGER = "kubectl"


def output(function: F) -> F:
    return click.option(
        "-o",
        "--output",
        default="",
        help="json, yaml, name, wide, jsonpath=TEMPLATE, custom-columns=SPEC, ...",
    )(function)


def selector(function: F) -> F:
    return click.option("-l", "--selector", "labels", default="", help="Labels: app=web,tier!=back.")(function)


def field_selector(function: F) -> F:
    return click.option("--field-selector", "fields", default="", help="Fields: status.phase=Running.")(function)


def all_namespaces(function: F) -> F:
    return switch("-A", "--all-namespaces", help="In every namespace.")(function)


def files(function: F) -> F:
    function = switch("-R", "--recursive", help="Also in the folders' folders.")(function)
    return click.option("-f", "--filename", "filenames", multiple=True, help="File, folder, or - for standard input.")(
        function
    )


def dry_run(function: F) -> F:
    return loose("--dry-run", bare="unchanged", default="none", help="client or server: do everything but the change.")(
        function
    )


def everything(function: F) -> F:
    return switch("--all", "everything", help="All objects of the kinds named.")(function)


class DryRun:
    """What --dry-run asks for. Raises CommandError for a word that is none of it."""

    def __init__(self, word: str) -> None:
        if word == "unchanged":
            word = "client"
        if word not in ("none", "client", "server"):
            raise CommandError(f'Invalid dry-run value ({word}). Must be "none", "server", or "client".')
        self.client = word == "client"
        self.server = word == "server"

    @property
    def suffix(self) -> str:
        """What stands after the operation: ` (dry run)`."""
        return " (dry run)" if self.client else " (server dry run)" if self.server else ""

    def __bool__(self) -> bool:
        return self.client or self.server


def split_files(filenames: tuple[str, ...]) -> tuple[str, ...]:
    """`-f a -f b`, `-f a,b`."""
    return tuple(each for name in filenames for each in name.split(",") if each)
