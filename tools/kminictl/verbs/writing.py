"""What verbs that write share: options of a write, how the result is printed, errors of several objects."""

from __future__ import annotations

import sys
from typing import Any

from apiserver.client.requests import WriteOptions

from ..failures import CommandError, Several
from ..output import printers
from .options import DryRun

_VALIDATION = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}


def write_options(dry_run: DryRun, manager: str, validate: str = "") -> WriteOptions:
    """Raises CommandError for a --validate that is none."""
    validation = ""
    if validate:
        if validate not in _VALIDATION:
            raise CommandError(
                f'invalid - validate option "{validate}"; must be one of: strict (or true), warn, ignore (or false)'
            )
        validation = _VALIDATION[validate]
    return WriteOptions(dry_run=dry_run.server, field_manager=manager, field_validation=validation)


class Results:
    """Prints what was done to each object, and gathers what could not be done."""

    def __init__(self, output: str, dry_run: DryRun, *, together: bool = False) -> None:
        """`together`: several objects are printed as one List at the end."""
        self._output = output
        self._together = together and output.partition("=")[0] not in ("", "wide", "name")
        self._held: list[dict[str, Any]] = []
        self._suffix = dry_run.suffix
        self._printer = printers.printer_of(output)
        self.errors: list[Exception] = []
        self.count = 0

    def done(self, obj: dict[str, Any], operation: str) -> None:
        self.count += 1
        if self._together:
            self._held.append(printers.without_managed_fields(obj))
            return
        if self._output in ("", "wide"):
            text = printers.NamePrinter(operation + self._suffix).printed(obj)
        else:
            text = self._printer.printed(printers.without_managed_fields(obj))
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(self) -> None:
        """Raises Several when something could not be done."""
        if len(self._held) == 1:
            sys.stdout.write(self._printer.printed(self._held[0]))
        elif self._held:
            whole = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": self._held}
            sys.stdout.write(self._printer.printed(whole))
        sys.stdout.write(self._printer.finish())
        if self.errors:
            raise Several(self.errors)
