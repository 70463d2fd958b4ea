"""Transcripts of a shell: commands, what they print and how they end, as a file a person can read and review.

    # a remark
    $ kubectl get pods nope
    | Error from server (NotFound): pods "nope" not found
    = exit 1

Lines after `$` that begin with `>` go on with the command. `@-33|` and `@34-|` are lines of some versions only.
A command after `$~` is run again and again until it prints what is expected: for what comes true by itself, soon.
With KMINI_GOLDEN=1 the file is written anew from what each version prints, the newest one first.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

ALWAYS = (0, 10_000)
PATIENCE_S, REWRITING_PATIENCE_S = 90.0, 4.0
PAUSE_S = 0.1
_LINE = re.compile(r"(?:@(\d*)-(\d*))?\|(?: (.*))?")
_EXIT = re.compile(r"= exit (\d+)")


class Line(msgspec.Struct):
    """A line of output, and the first and last version that prints it."""

    text: str
    first: int = ALWAYS[0]
    last: int = ALWAYS[1]

    def shown(self, version: int) -> bool:
        return self.first <= version <= self.last

    def __str__(self) -> str:
        versions = ""
        if (self.first, self.last) != ALWAYS:
            versions = f"@{self.first or ''}-{self.last if self.last < ALWAYS[1] else ''}"
        return f"{versions}| {self.text}".rstrip()


class Step(msgspec.Struct):
    """`exit` is the command's code. `remarks` stand before it. `patient`: it is run until it is as expected."""

    command: list[str]
    lines: list[Line] = []
    exit: int = 0
    remarks: list[str] = []
    patient: bool = False

    def expected(self, version: int) -> list[str]:
        return [line.text for line in self.lines if line.shown(version)]

    def learn(self, version: int, actual: list[str], code: int) -> None:
        """Make this version print `actual`; newer versions print what they did."""
        self.exit = code
        matcher = difflib.SequenceMatcher(a=self.expected(version), b=actual, autojunk=False)
        places = [index for index, line in enumerate(self.lines) if line.shown(version)]
        places.append(len(self.lines))
        newest = not self.lines
        for kind, start, end, low, high in reversed(matcher.get_opcodes()):
            if kind == "equal":
                continue
            for index in places[start:end]:
                self.lines[index].first = version + 1
            new = [Line(text) if newest else Line(text, last=version) for text in actual[low:high]]
            self.lines[places[end] : places[end]] = new
        self.lines = [line for line in self.lines if line.first <= line.last]

    def __str__(self) -> str:
        first, *others = self.command
        sign = "$~" if self.patient else "$"
        shown = [*self.remarks, f"{sign} {first}", *(f"> {line}".rstrip() for line in others), *map(str, self.lines)]
        return "\n".join([*shown, *([f"= exit {self.exit}"] if self.exit else [])])


def parse(text: str) -> list[Step]:
    """Raises ValueError for a line that is none of a transcript's."""
    steps: list[Step] = []
    remarks: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        if line.startswith("#"):
            remarks.append(line)
        elif line.startswith(("$ ", "$~ ")):
            sign, command = line.split(" ", 1)
            steps.append(Step([command], remarks=remarks, patient=sign == "$~"))
            remarks = []
        elif line.startswith(">"):
            steps[-1].command.append(line[2:])
        elif match := _LINE.fullmatch(line):
            first, last, shown = match.groups()
            steps[-1].lines.append(Line(shown or "", int(first or ALWAYS[0]), int(last or ALWAYS[1])))
        elif match := _EXIT.fullmatch(line):
            steps[-1].exit = int(match[1])
        else:
            raise ValueError(f"line {number} is none of a transcript's: {line}")
    return steps


#: Runs a command; what it printed, and its exit code.
Run = Callable[[str], tuple[str, int]]


def _tried(step: Step, run: Run) -> tuple[list[str], int]:
    printed, code = run("\n".join(step.command))
    return printed.splitlines(), code


def play(path: Path, version: int, run: Run, *, rewrite: bool) -> list[str]:
    """Every step in order. What differs, in words; with `rewrite` the file is changed instead."""
    steps = parse(path.read_text(encoding="utf-8"))
    problems = []
    for step in steps:
        expected = step.expected(version)
        deadline = time.monotonic() + (REWRITING_PATIENCE_S if rewrite else PATIENCE_S) * step.patient
        actual, code = _tried(step, run)
        while (actual, code) != (expected, step.exit) and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
            actual, code = _tried(step, run)
        if (actual, code) == (expected, step.exit):
            continue
        difference = "\n".join(difflib.unified_diff(expected, actual, "expected", "printed", lineterm="", n=2))
        problems.append(f"$ {step.command[0]}\n{difference}\nexit {code}, expected {step.exit}")
        step.learn(version, actual, code)
    if rewrite:
        path.write_text("\n\n".join(map(str, steps)) + "\n", encoding="utf-8")
        return []
    return problems
